/**
 * The part of CBOR (RFC 8949) that rows are made of: integers, byte and text strings, null, one array.
 *
 * Deterministic in both directions (RFC 8949 §4.2.1): lengths and integers in their shortest form,
 * nothing indefinite. So the bytes of a row are its identity, and equal rows have equal bytes.
 */
import { PeerError } from '../errors.ts';

const UINT = 0x00;
const NEGATIVE = 0x20;
const BYTES = 0x40;
const TEXT = 0x60;
const ARRAY = 0x80;
const NULL = 0xf6;

const TWO_32 = 0x1_0000_0000;

/** Appends CBOR items to a buffer that grows. */
export class CborWriter {
  #buffer: Buffer;
  #length = 0;

  /** @param capacity bytes to begin with */
  constructor(capacity = 4096) {
    this.#buffer = Buffer.allocUnsafeSlow(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** What was written, in memory of its own; the writer is empty afterwards. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = new Uint8Array(this.#buffer.subarray(0, this.#length));
    this.#length = 0;
    return taken;
  }

  /** What was written, valid until the next write. */
  view(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  /** Items that are encoded already. */
  raw(encoded: Uint8Array): void {
    this.#reserve(encoded.length);
    this.#buffer.set(encoded, this.#length);
    this.#length += encoded.length;
  }

  array(items: number): void {
    this.#head(ARRAY, items);
  }

  /** @param value a safe integer */
  integer(value: number): void {
    if (value < 0) this.#head(NEGATIVE, -1 - value);
    else this.#head(UINT, value);
  }

  bytes(value: Uint8Array | null): void {
    if (value === null) return this.null();
    this.#head(BYTES, value.length);
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  /** @param value bytes in hexadecimal digits */
  hex(value: string | null): void {
    if (value === null) return this.null();
    const length = value.length / 2;
    this.#head(BYTES, length);
    this.#reserve(length);
    this.#length += this.#buffer.write(value, this.#length, 'hex');
  }

  text(value: string | null): void {
    if (value === null) return this.null();
    // Nearly every name is short and ASCII; where the guess of one byte per character is wrong, it is written again.
    const start = this.#length;
    this.#head(TEXT, value.length);
    // The head of the second try may be longer than this one.
    this.#reserve(value.length * 3 + 8);
    const written = this.#buffer.write(value, this.#length, 'utf8');
    if (written === value.length) {
      this.#length += written;
      return;
    }
    this.#length = start;
    this.#head(TEXT, written);
    this.#length += this.#buffer.write(value, this.#length, 'utf8');
  }

  null(): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = NULL;
  }

  #head(major: number, value: number): void {
    this.#reserve(9);
    const buffer = this.#buffer;
    const at = this.#length;
    if (value < 24) {
      buffer[at] = major | value;
      this.#length = at + 1;
    } else if (value < 0x100) {
      buffer[at] = major | 24;
      buffer[at + 1] = value;
      this.#length = at + 2;
    } else if (value < 0x1_0000) {
      buffer[at] = major | 25;
      buffer[at + 1] = value >>> 8;
      buffer[at + 2] = value & 0xff;
      this.#length = at + 3;
    } else if (value < TWO_32) {
      buffer[at] = major | 26;
      this.#length = buffer.writeUInt32BE(value, at + 1);
    } else {
      buffer[at] = major | 27;
      buffer.writeUInt32BE(Math.floor(value / TWO_32), at + 1);
      this.#length = buffer.writeUInt32BE(value % TWO_32, at + 5);
    }
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

/** Walks CBOR items from front to back. Every method throws PeerError ERR_MALFORMED_MESSAGE. */
export class CborReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Offset of the next item. */
  get position(): number {
    return this.#at;
  }

  /** The bytes from an earlier position to here; a view. */
  since(start: number): Uint8Array {
    return this.#buffer.subarray(start, this.#at);
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#buffer.length;
  }

  /** The number of items of the array that begins here. */
  array(): number {
    return this.#argument(ARRAY, this.#initial());
  }

  integer(): number {
    const initial = this.#initial();
    if ((initial & 0xe0) === NEGATIVE) return -1 - this.#argument(NEGATIVE, initial);
    return this.#argument(UINT, initial);
  }

  /** A view, not a copy. */
  bytes(): Uint8Array {
    const length = this.#argument(BYTES, this.#initial());
    const start = this.#skip(length);
    return this.#buffer.subarray(start, start + length);
  }

  bytesOrNull(): Uint8Array | null {
    return this.skipNull() ? null : this.bytes();
  }

  text(): string {
    const length = this.#argument(TEXT, this.#initial());
    const start = this.#skip(length);
    const text = this.#buffer.toString('utf8', start, start + length);
    // Broken UTF-8 shows as U+FFFD; written back it would be other bytes than those that came.
    if (
      text.includes('\uFFFD') &&
      Buffer.compare(Buffer.from(text), this.#buffer.subarray(start, start + length)) !== 0
    ) {
      throw malformed('text that is not UTF-8', start);
    }
    return text;
  }

  textOrNull(): string | null {
    return this.skipNull() ? null : this.text();
  }

  /** Passes over a null, if one stands here. */
  skipNull(): boolean {
    if (this.#buffer[this.#at] !== NULL) return false;
    this.#at += 1;
    return true;
  }

  #initial(): number {
    const initial = this.#buffer[this.#at];
    if (initial === undefined) throw malformed('the end', this.#at);
    this.#at += 1;
    return initial;
  }

  #argument(major: number, initial: number): number {
    if ((initial & 0xe0) !== major) throw malformed('an item of another type', this.#at - 1);
    const info = initial & 0x1f;
    if (info < 24) return info;
    if (info === 24) return this.#shortest(this.#buffer[this.#skip(1)] ?? 0, 24);
    if (info === 25) return this.#shortest(this.#buffer.readUInt16BE(this.#skip(2)), 0x100);
    if (info === 26) return this.#shortest(this.#buffer.readUInt32BE(this.#skip(4)), 0x1_0000);
    if (info === 27) return this.#long(this.#skip(8));
    throw malformed('an item of indefinite length', this.#at - 1);
  }

  #long(at: number): number {
    const value = this.#buffer.readUInt32BE(at) * TWO_32 + this.#buffer.readUInt32BE(at + 4);
    if (value >= Number.MAX_SAFE_INTEGER) throw malformed('a number beyond 2^53', at);
    return this.#shortest(value, TWO_32);
  }

  #shortest(value: number, least: number): number {
    if (value < least) throw malformed('a number that is not in its shortest form', this.#at);
    return value;
  }

  #skip(bytes: number): number {
    const start = this.#at;
    if (start + bytes > this.#buffer.length) throw malformed('the end', start);
    this.#at = start + bytes;
    return start;
  }
}

/** Reads the head of an array that must have so many items. @throws PeerError ERR_MALFORMED_MESSAGE */
export function expectItems(reader: CborReader, items: number): void {
  const at = reader.position;
  const found = reader.array();
  if (found !== items) throw malformed(`an array of ${found} items instead of ${items}`, at);
}

function malformed(what: string, at: number): PeerError {
  return new PeerError('ERR_MALFORMED_MESSAGE', `The CBOR is not readable: ${what} at byte ${at}`);
}
