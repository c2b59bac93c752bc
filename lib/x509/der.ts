/**
 * Reads DER, and BER where real certificates use it.
 *
 * Owns walking over tag-length-value elements in place: nothing is copied, nothing recurses,
 * no byte outside the given range is read. What the elements mean is for the callers.
 * Lengths may be non-minimal or indefinite (X.690 8.1.3); tags above 30 keep their first octet only.
 */

/** Identifier octets used by X.509, CRLs and OCSP. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  objectIdentifier: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  teletexString: 0x14,
  videotexString: 0x15,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  graphicString: 0x19,
  visibleString: 0x1a,
  generalString: 0x1b,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

const CONSTRUCTED = 0x20;
const HIGH_TAG_NUMBER = 0x1f;
const INDEFINITE = -1;

/** Bytes that are not well-formed BER. Callers turn it into a `PeerError` with their own code. */
export class DerError extends Error {
  /** Position of the element at fault, in bytes from the start of the buffer. */
  readonly offset: number;

  constructor(detail: string, offset: number) {
    super(`${detail} at byte ${offset}`);
    this.name = 'DerError';
    this.offset = offset;
  }
}

/**
 * Walks over the elements of one range of bytes, one level at a time.
 *
 * After `read()` the fields describe the current element; they are overwritten by the next one,
 * so a walk over a million elements allocates nothing.
 */
export class DerCursor {
  readonly bytes: Buffer;
  /** First byte after the range. */
  limit: number;
  /** Identifier octet of the current element; 0 before the first. */
  tag = 0;
  /** First byte of the current element, its tag. */
  start = 0;
  contentStart = 0;
  /** First byte after the content. */
  contentEnd = 0;
  /** First byte after the element; beyond `contentEnd` only where the length is indefinite. */
  end: number;

  constructor(bytes: Uint8Array, start = 0, limit = bytes.length) {
    // The same memory; a Buffer, because its parts become strings without another copy.
    this.bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.limit = limit;
    this.end = start;
  }

  /** Whether bytes are left after the current element. */
  get hasMore(): boolean {
    return this.end < this.limit;
  }

  /**
   * Goes on to the next element. False when there is none.
   *
   * @throws DerError when what follows is not an element that ends within the range
   */
  read(): boolean {
    if (this.end >= this.limit) return false;
    const length = this.#readHeader(this.end);
    if (length === INDEFINITE) {
      const { tag, start, contentStart } = this;
      this.end = this.#findEndOfContents(contentStart);
      this.tag = tag;
      this.start = start;
      this.contentStart = contentStart;
      this.contentEnd = this.end - 2;
    } else {
      this.contentEnd = this.contentStart + length;
      this.end = this.contentEnd;
    }
    return true;
  }

  /**
   * Goes on to the next element, which must be there and have this tag.
   *
   * @throws DerError otherwise
   */
  expect(tag: number): void {
    const position = this.end;
    if (!this.read()) throw new DerError(`nothing where tag ${hex(tag)} was expected`, position);
    if (this.tag !== tag) throw new DerError(`tag ${hex(this.tag)} where ${hex(tag)} was expected`, position);
  }

  /** A cursor over what the current element holds. */
  enter(): DerCursor {
    return new DerCursor(this.bytes, this.contentStart, this.contentEnd);
  }

  /** Starts anew over what the current element of another cursor, or of this one, holds; allocates nothing. */
  moveInto({ contentStart, contentEnd }: DerCursor): void {
    this.end = contentStart;
    this.limit = contentEnd;
  }

  /** The content octets, as a view. */
  content(): Uint8Array {
    return this.bytes.subarray(this.contentStart, this.contentEnd);
  }

  /** The content octets as text. */
  text(encoding: BufferEncoding): string {
    return this.bytes.toString(encoding, this.contentStart, this.contentEnd);
  }

  /** The hex digits of the whole element. */
  hex(): string {
    return this.bytes.toString('hex', this.start, this.end);
  }

  /** The whole element with its tag and length, as a view. */
  element(): Uint8Array {
    return this.bytes.subarray(this.start, this.end);
  }

  /** Sets `tag`, `start` and `contentStart`; gives the length, which is known to fit into the range. */
  #readHeader(position: number): number {
    const { bytes, limit } = this;
    const tag = bytes[position] ?? 0;
    let at = position + 1;
    if ((tag & HIGH_TAG_NUMBER) === HIGH_TAG_NUMBER) {
      while (at < limit && ((bytes[at] ?? 0) & 0x80) !== 0) at++;
      at++;
    }
    if (at >= limit) throw new DerError('the element is cut off', position);
    const first = bytes[at] ?? 0;
    this.tag = tag;
    this.start = position;
    this.contentStart = at + 1;
    const length = first < 0x80 ? first : this.#readLongLength(first, tag);
    if (length > limit - this.contentStart) throw new DerError('the element is longer than what holds it', position);
    return length;
  }

  /** Length of more than one octet, or indefinite; moves `contentStart` behind it. */
  #readLongLength(first: number, tag: number): number {
    if (first === 0x80) {
      if ((tag & CONSTRUCTED) !== 0) return INDEFINITE;
      throw new DerError('an indefinite length on a primitive element', this.start);
    }
    const last = this.contentStart + (first & 0x7f);
    if (last > this.limit) throw new DerError('the length is cut off', this.start);
    let length = 0;
    // Stops growing beyond the range, so that the number stays exact however many octets there are.
    for (let i = this.contentStart; i < last; i++) length = Math.min(length * 256 + (this.bytes[i] ?? 0), 0xffffffff);
    this.contentStart = last;
    return length;
  }

  /** Position after the end-of-contents octets that close an indefinite length; counts instead of recursing. */
  #findEndOfContents(from: number): number {
    let position = from;
    let open = 1;
    while (open > 0) {
      if (position + 2 > this.limit) throw new DerError('no end of contents', position);
      if (this.bytes[position] === 0 && this.bytes[position + 1] === 0) {
        open--;
        position += 2;
      } else {
        const length = this.#readHeader(position);
        if (length === INDEFINITE) open++;
        position = this.contentStart + Math.max(length, 0);
      }
    }
    return position;
  }
}

function hex(tag: number): string {
  return tag.toString(16).padStart(2, '0');
}
