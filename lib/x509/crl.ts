/**
 * Reads CRLs of any size (RFC 5280 5.1), strictly: what is not DER, not complete or not understood is refused.
 *
 * Owns what a CRL is. First its frame is read, all but the entries, by which it may be refused cheaply; then the
 * entries go by, a chunk at a time, under the signature check. Which CRL is wanted, and trusted, is for the callers.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { PeerError } from '../errors.ts';
import { EntryWalker } from './crl-entries.ts';
import { type CrlExtensions, expectDer, NO_EXTENSIONS, readCrlExtensions } from './crl-extensions.ts';
import { CrlIndex } from './crl-index.ts';
import type { CrlSource } from './crl-source.ts';
import { DerCursor, DerError, TAG } from './der.ts';
import { readStrictTime, UNKNOWN_TIME } from './der-time.ts';
import { readDistinguishedName } from './distinguished-name-reader.ts';
import { SignatureCheck, signatureAlgorithmFrom } from './signature-check.ts';

/** Largest CRL that is read, bytes. */
const MAX_CRL_BYTES = 512 * 1024 * 1024;

/** What a CRL says besides its entries. */
export interface CrlFacts extends Readonly<CrlExtensions> {
  /** In EJBCA's form. */
  readonly issuerDN: string;
  /** The Name of the issuer, DER. */
  readonly issuerDer: Uint8Array;
  /** Epoch milliseconds. */
  readonly thisUpdate: number;
  /** Epoch milliseconds; -1 = none. */
  readonly nextUpdate: number;
  /** Short name such as `sha256WithECDSA`. */
  readonly signatureAlgorithm: string;
  /** Bytes. */
  readonly size: number;
}

/** The frame of a CRL and where its entries are. */
export interface CrlFrame {
  readonly facts: CrlFacts;
  readonly source: CrlSource;
  readonly layout: Layout;
}

interface Layout {
  readonly isVersion2: boolean;
  /** AlgorithmIdentifier, DER. */
  readonly algorithm: Uint8Array;
  readonly signature: Uint8Array;
  readonly signedStart: number;
  readonly signedEnd: number;
  readonly entriesStart: number;
  readonly entriesEnd: number;
}

/** A CRL that was read to its end. */
export interface CrlContent {
  /** SHA-1 of the DER, 40 lower-case hex digits. */
  readonly fingerprint: string;
  readonly index: CrlIndex;
  /** The first of the keys that made the signature; undefined = none of them did. */
  readonly key: KeyObject | undefined;
}

/** What stands before the entries: names, times. */
const MAX_HEAD_BYTES = 64 * 1024;
/** What stands after them: extensions, signature. */
const MAX_TAIL_BYTES = 256 * 1024;
const CHUNK_BYTES = 1024 * 1024;
const EXTENSIONS = 0xa0;

/**
 * Reads all but the entries.
 *
 * @throws PeerError ERR_INVALID_CRL when the bytes are not one CRL and nothing else, or it has a critical extension
 *   or a signature algorithm that is not known; ERR_TOO_LARGE above MAX_CRL_BYTES
 */
export function openCrl(source: CrlSource): CrlFrame {
  if (source.size > MAX_CRL_BYTES)
    throw new PeerError('ERR_TOO_LARGE', `The CRL has ${source.size} bytes, at most ${MAX_CRL_BYTES} are read`);
  return named(() => {
    const head = readHead(source);
    const tail = readTail(source, head);
    const algorithm = signatureAlgorithmFrom(head.algorithm);
    if (algorithm === undefined) throw new DerError('a signature algorithm that is not accepted', 0);
    if (tail.extensions.issuingDistributionPoint?.indirect)
      throw new DerError('an indirect CRL, which is not supported', head.entriesEnd);
    const { issuerDN, issuerDer, thisUpdate, nextUpdate } = head;
    const { name: signatureAlgorithm } = algorithm;
    return {
      facts: { issuerDN, issuerDer, thisUpdate, nextUpdate, ...tail.extensions, signatureAlgorithm, size: source.size },
      source,
      layout: { ...head, signature: tail.signature },
    };
  });
}

/**
 * Reads the entries and checks the signature, in pieces, so that whoever calls can do other work between them.
 *
 * @param keys that may have made the signature; none = it is not checked
 * @throws PeerError ERR_INVALID_CRL when an entry is not as RFC 5280 5.1.2.6 has it
 */
export function* readEntries(
  { facts, source, layout }: CrlFrame,
  keys: readonly KeyObject[],
): Generator<void, CrlContent> {
  const { signedStart, signedEnd, entriesStart, entriesEnd, signature, isVersion2 } = layout;
  const algorithm = named(() => signatureAlgorithmFrom(layout.algorithm));
  const fingerprint = createHash('sha1');
  const check = algorithm === undefined ? undefined : new SignatureCheck(algorithm, keys);
  const index = new CrlIndex(entriesEnd - entriesStart);
  const walker = new EntryWalker(index);
  const take = (bytes: Buffer, position: number): void => {
    fingerprint.update(bytes);
    check?.update(bytes.subarray(Math.max(0, signedStart - position), Math.max(0, signedEnd - position)));
  };
  take(readWhole(source, 0, entriesStart), 0);
  // What a chunk leaves over is the beginning of an entry; it is read once more with the next chunk.
  let taken = entriesStart;
  for (let at = entriesStart; at < entriesEnd; ) {
    const bytes = readWhole(source, at, Math.min(CHUNK_BYTES, entriesEnd - at));
    take(bytes.subarray(taken - at), taken);
    taken = at + bytes.length;
    const walked = named(() => walker.walk(bytes, taken === entriesEnd), at);
    at += walked;
    yield;
  }
  take(readWhole(source, entriesEnd, source.size - entriesEnd), entriesEnd);
  if (walker.hasExtensions && !isVersion2) throw invalid('it has version 1 and extensions');
  if (walker.hasRemovals && facts.deltaCrlIndicator === null)
    throw invalid('it says removeFromCRL, which only a delta CRL may (RFC 5280 5.3.1)');
  index.close();
  return { fingerprint: fingerprint.digest('hex'), index, key: check?.keyThatMade(signature) };
}

interface Head extends Omit<Layout, 'signature'> {
  readonly issuerDN: string;
  readonly issuerDer: Uint8Array;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

function readHead(source: CrlSource): Head {
  const bytes = source.read(0, Math.min(MAX_HEAD_BYTES, source.size));
  // The elements around it may be longer than what was read of them; those that are read here may not.
  const outer = new DerCursor(bytes, 0, source.size);
  expectDer(outer, TAG.sequence);
  if (outer.hasMore) throw new DerError(`${source.size - outer.end} bytes too many`, outer.end);
  const frame = outer.enter();
  expectDer(frame, TAG.sequence);
  const tbs = frame.enter();
  const isVersion2 = readVersion(tbs);
  expectDer(tbs, TAG.sequence);
  const algorithm = new Uint8Array(tbs.element());
  expectDer(tbs, TAG.sequence);
  if (tbs.end > bytes.length) throw new DerError('the name of the issuer is too long', tbs.start);
  const issuerDer = new Uint8Array(tbs.element());
  const issuerDN = readDistinguishedName(tbs);
  if (issuerDN === '') throw new DerError('no issuer', tbs.start);
  const thisUpdate = readUpdate(tbs);
  const hasNextUpdate = isTimeNext(tbs);
  const nextUpdate = hasNextUpdate ? readUpdate(tbs) : UNKNOWN_TIME;
  const hasEntries = tbs.hasMore && bytes[tbs.end] === TAG.sequence;
  if (hasEntries) expectDer(tbs, TAG.sequence);
  const entriesStart = hasEntries ? tbs.contentStart : tbs.end;
  if (entriesStart > bytes.length) throw new DerError('the head is too long', tbs.start);
  if (hasEntries && tbs.contentStart === tbs.contentEnd) throw new DerError('an empty list of entries', tbs.start);
  return {
    isVersion2,
    algorithm,
    issuerDer,
    issuerDN,
    thisUpdate,
    nextUpdate,
    signedStart: frame.start,
    signedEnd: frame.end,
    entriesStart,
    entriesEnd: tbs.end,
  };
}

/** The version is 2, which is written as 1, or absent in version 1 (RFC 5280 5.1.2.1). */
function readVersion(tbs: DerCursor): boolean {
  if (tbs.bytes[tbs.end] !== TAG.integer) return false;
  expectDer(tbs, TAG.integer);
  if (tbs.contentEnd - tbs.contentStart !== 1 || tbs.bytes[tbs.contentStart] !== 1)
    throw new DerError('a version other than 2', tbs.start);
  return true;
}

function isTimeNext(tbs: DerCursor): boolean {
  const tag = tbs.hasMore ? tbs.bytes[tbs.end] : undefined;
  return tag === TAG.utcTime || tag === TAG.generalizedTime;
}

function readUpdate(tbs: DerCursor): number {
  if (!tbs.read()) throw new DerError('no time', tbs.end);
  const time = readStrictTime(tbs.bytes, tbs.tag, tbs.contentStart, tbs.contentEnd);
  if (time === UNKNOWN_TIME || tbs.contentStart - tbs.start !== 2)
    throw new DerError('a time that is not one', tbs.start);
  return time;
}

interface Tail {
  readonly extensions: CrlExtensions;
  readonly signature: Uint8Array;
}

function readTail(source: CrlSource, head: Head): Tail {
  const { entriesEnd, signedEnd, algorithm } = head;
  if (source.size - entriesEnd > MAX_TAIL_BYTES) throw new DerError('extensions that are too long', entriesEnd);
  // A copy: the extensions are looked at, the signature kept, while the entries are read.
  const bytes = Buffer.from(readWhole(source, entriesEnd, source.size - entriesEnd));
  const signed = new DerCursor(bytes, 0, signedEnd - entriesEnd);
  const extensions = signed.hasMore ? readExtensionsField(signed, head.isVersion2) : { ...NO_EXTENSIONS };
  const rest = new DerCursor(bytes, signedEnd - entriesEnd);
  expectDer(rest, TAG.sequence);
  if (Buffer.compare(rest.element(), algorithm) !== 0)
    throw new DerError('two different signature algorithms', entriesEnd + rest.start);
  expectDer(rest, TAG.bitString);
  if (rest.hasMore || bytes[rest.contentStart] !== 0)
    throw new DerError('no proper signature', entriesEnd + rest.start);
  return { extensions, signature: rest.content().subarray(1) };
}

function readExtensionsField(signed: DerCursor, isVersion2: boolean): CrlExtensions {
  expectDer(signed, EXTENSIONS);
  if (signed.hasMore) throw new DerError('fields after the extensions', signed.end);
  if (!isVersion2) throw new DerError('extensions in version 1', signed.start);
  const wrapper = signed.enter();
  expectDer(wrapper, TAG.sequence);
  if (wrapper.hasMore) throw new DerError('two lists of extensions', wrapper.end);
  return readCrlExtensions(wrapper);
}

function readWhole(source: CrlSource, position: number, length: number): Buffer {
  const bytes = source.read(position, length);
  if (bytes.length !== length) throw invalid(`it ends at byte ${position + bytes.length}`);
  return bytes;
}

/** Turns what the reader of DER says into the error of this package. */
function named<Value>(read: () => Value, offset = 0): Value {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    const where = offset === 0 ? '' : `, counted from byte ${offset}`;
    throw new PeerError('ERR_INVALID_CRL', `The CRL cannot be used: ${error.message}${where}`, { cause: error });
  }
}

function invalid(detail: string): PeerError {
  return new PeerError('ERR_INVALID_CRL', `The CRL cannot be used: ${detail}`);
}
