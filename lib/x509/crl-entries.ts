/**
 * Walks over the entries of a CRL by hand: offsets in, typed arrays out, no object per entry.
 */

import { expectDer, readEntryExtensions } from './crl-extensions.ts';
import type { CrlIndex } from './crl-index.ts';
import { DerCursor, DerError, TAG } from './der.ts';
import { readStrictTime, UNKNOWN_TIME } from './der-time.ts';
import { REVOCATION_REASONS } from './revocation-reason.ts';

/** Longest entry, bytes. */
const MAX_ENTRY_BYTES = 8_192;
/** Longest serial number, octets. RFC 5280 4.1.2.2 allows 20; real CAs exceed it. */
const MAX_SERIAL_OCTETS = 127;
/** SEQUENCE { SEQUENCE { reasonCode, OCTET STRING { ENUMERATED of one octet } } }, up to the code itself. */
const ONLY_A_REASON = Buffer.from('300c300a0603551d1504030a01', 'hex');
const REMOVE_FROM_CRL = REVOCATION_REASONS.removeFromCRL;

/** Takes entries into an index, chunk by chunk. */
export class EntryWalker {
  readonly #index: CrlIndex;
  #hasExtensions = false;
  #hasRemovals = false;

  constructor(index: CrlIndex) {
    this.#index = index;
  }

  /** Whether an entry has extensions, which version 1 does not know. */
  get hasExtensions(): boolean {
    return this.#hasExtensions;
  }

  /** Whether an entry says `removeFromCRL`, which only a delta CRL may (RFC 5280 5.3.1). */
  get hasRemovals(): boolean {
    return this.#hasRemovals;
  }

  /**
   * Walks over the whole entries at the front of some bytes.
   *
   * @param isLast whether nothing follows, so that the bytes must end with an entry
   * @returns how many bytes they are; the others are the beginning of the next chunk
   * @throws DerError when an entry is not as RFC 5280 5.1.2.6 has it
   */
  walk(bytes: Buffer, isLast: boolean): number {
    const limit = bytes.length;
    let at = 0;
    while (at < limit) {
      if (!isLast && limit - at < MAX_ENTRY_BYTES) return at;
      at = this.#readEntry(bytes, at, limit);
    }
    return at;
  }

  /** Gives the position after the entry. */
  #readEntry(bytes: Buffer, start: number, limit: number): number {
    // The usual entry is short; the general reader does the others.
    const length = bytes[start + 1] as number;
    const end = start + 2 + length;
    const serialLength = bytes[start + 3] as number;
    const timeStart = start + 4 + serialLength;
    const time = timeStart + 2;
    const isPlain =
      length < 0x80 &&
      end <= limit &&
      bytes[start] === TAG.sequence &&
      bytes[start + 2] === TAG.integer &&
      serialLength < 0x80 &&
      time + 13 <= end &&
      bytes[timeStart] === TAG.utcTime &&
      bytes[timeStart + 1] === 13;
    if (!isPlain) return this.#readSlowly(bytes, start, limit);
    this.#add(bytes, start + 4, timeStart, readStrictTime(bytes, TAG.utcTime, time, time + 13));
    const rest = time + 13;
    if (rest < end) this.#readExtensions(bytes, rest, end);
    return end;
  }

  #readSlowly(bytes: Buffer, start: number, limit: number): number {
    const outer = new DerCursor(bytes, start, limit);
    expectDer(outer, TAG.sequence);
    if (outer.end - outer.start > MAX_ENTRY_BYTES) throw new DerError('an entry that is too long', start);
    const fields = outer.enter();
    expectDer(fields, TAG.integer);
    const { contentStart, contentEnd } = fields;
    if (!fields.read()) throw new DerError('an entry without a date', start);
    const date = readStrictTime(bytes, fields.tag, fields.contentStart, fields.contentEnd);
    if (fields.contentStart - fields.start !== 2) throw new DerError('a length that is not DER', fields.start);
    this.#add(bytes, contentStart, contentEnd, date);
    if (fields.hasMore) this.#readExtensions(bytes, fields.end, outer.contentEnd);
    return outer.end;
  }

  #add(bytes: Buffer, start: number, end: number, date: number): void {
    const length = end - start;
    if (length === 0 || length > MAX_SERIAL_OCTETS) throw new DerError('a serial number of impossible length', start);
    const first = bytes[start] as number;
    const second = bytes[start + 1] as number;
    // X.690 8.3.2: the first nine bits are not all equal.
    if (length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80)))
      throw new DerError('a serial number that is not DER', start);
    if (date === UNKNOWN_TIME) throw new DerError('a revocation date that is not one', end);
    this.#index.add(bytes, start, end, date);
  }

  #readExtensions(bytes: Buffer, start: number, end: number): void {
    this.#hasExtensions = true;
    const reason = isOnlyAReason(bytes, start, end)
      ? (bytes[end - 1] as number)
      : readListedExtensions(bytes, start, end);
    if (reason === REMOVE_FROM_CRL) this.#hasRemovals = true;
    if (reason !== 0) this.#index.addReason(reason);
  }
}

/** The usual extensions of an entry, which are recognised rather than read. */
function isOnlyAReason(bytes: Buffer, start: number, end: number): boolean {
  if (end - start !== ONLY_A_REASON.length + 1) return false;
  for (let i = 0; i < ONLY_A_REASON.length; i++) if (bytes[start + i] !== ONLY_A_REASON[i]) return false;
  const reason = bytes[end - 1] as number;
  return reason <= REVOCATION_REASONS.aACompromise && reason !== 7;
}

function readListedExtensions(bytes: Buffer, start: number, end: number): number {
  const list = new DerCursor(bytes, start, end);
  expectDer(list, TAG.sequence);
  if (list.hasMore) throw new DerError('an entry with too many fields', list.end);
  return readEntryExtensions(list);
}
