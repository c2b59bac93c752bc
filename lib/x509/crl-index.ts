/**
 * The entries of a CRL, answerable: is this serial number on it, since when and why?
 *
 * A million entries are a few arrays, not a million objects: serial numbers one behind the other, times and reasons
 * by number of the entry, and a hash table of these numbers.
 */
import { randomInt } from 'node:crypto';

/** What a CRL says of one certificate. */
export interface RevokedEntry {
  /** Epoch milliseconds. */
  readonly revocationDate: number;
  /** RFC 5280 reason code; 0 where the entry gives none. */
  readonly revocationReason: number;
}

/** Octets of the shortest entry: SEQUENCE, INTEGER of one octet, UTCTime. */
const MIN_ENTRY_BYTES = 20;
const MULTIPLIER = 0x01000193;

/** Filled by `add`, made answerable by `close`. */
export class CrlIndex {
  // As large as they can get: memory that nothing was written to costs nothing.
  readonly #serials: Uint8Array;
  readonly #ends: Uint32Array;
  readonly #dates: Float64Array;
  readonly #reasons: Uint8Array;
  readonly #seed = randomInt(0x1_0000_0000);
  #table = new Uint32Array(0);
  #count = 0;
  #serialBytes = 0;

  /** @param bytes length of the entries in the CRL */
  constructor(bytes: number) {
    const most = Math.ceil(bytes / MIN_ENTRY_BYTES);
    this.#serials = new Uint8Array(bytes);
    this.#ends = new Uint32Array(most);
    this.#dates = new Float64Array(most);
    this.#reasons = new Uint8Array(most);
  }

  /** Entries. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of memory it needs. */
  get memoryBytes(): number {
    return this.#serialBytes + this.#count * 13 + this.#table.byteLength;
  }

  /** Takes in an entry, its serial number being the content of the INTEGER between two positions. */
  add(bytes: Uint8Array, start: number, end: number, revocationDate: number): void {
    const serials = this.#serials;
    let to = this.#serialBytes;
    for (let from = start; from < end; from++) serials[to++] = bytes[from] as number;
    this.#serialBytes = to;
    this.#ends[this.#count] = to;
    this.#dates[this.#count] = revocationDate;
    this.#count += 1;
  }

  /** Says why the certificate taken in last was revoked. */
  addReason(revocationReason: number): void {
    this.#reasons[this.#count - 1] = revocationReason;
  }

  /** Makes the entries answerable. Of a serial number that stands twice the first entry counts. */
  close(): void {
    let size = 16;
    while (size < this.#count * 1.5) size *= 2;
    const table = new Uint32Array(size);
    const mask = size - 1;
    let start = 0;
    for (let entry = 0; entry < this.#count; entry++) {
      const end = this.#ends[entry] as number;
      let slot = this.#hash(this.#serials, start, end) & mask;
      while (table[slot] !== 0) slot = (slot + 1) & mask;
      table[slot] = entry + 1;
      start = end;
    }
    this.#table = table;
  }

  /** The entry of a serial number, given as content of an INTEGER; undefined = it is not on the CRL. */
  find(serialNumber: Uint8Array): RevokedEntry | undefined {
    const mask = this.#table.length - 1;
    if (mask < 0) return undefined;
    let slot = this.#hash(serialNumber, 0, serialNumber.length) & mask;
    for (let held = this.#table[slot] ?? 0; held !== 0; held = this.#table[slot] ?? 0) {
      const entry = held - 1;
      if (this.#isAt(entry, serialNumber)) {
        return { revocationDate: this.#dates[entry] ?? 0, revocationReason: this.#reasons[entry] ?? 0 };
      }
      slot = (slot + 1) & mask;
    }
    return undefined;
  }

  #isAt(entry: number, serialNumber: Uint8Array): boolean {
    const start = entry === 0 ? 0 : (this.#ends[entry - 1] ?? 0);
    const end = this.#ends[entry] ?? 0;
    if (end - start !== serialNumber.length) return false;
    for (let i = 0; i < serialNumber.length; i++) if (this.#serials[start + i] !== serialNumber[i]) return false;
    return true;
  }

  /** Seeded, so that nobody can choose serial numbers that all meet in one slot. */
  #hash(bytes: Uint8Array, start: number, end: number): number {
    let hash = this.#seed;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), MULTIPLIER);
    hash ^= hash >>> 15;
    hash = Math.imul(hash, 0x85ebca6b);
    return (hash ^ (hash >>> 13)) >>> 0;
  }
}
