/**
 * Reads OCSP requests (RFC 6960 4.1): DER alone, within limits of size and number.
 *
 * Owns what a request says. Signatures on requests are well-formed or the request is refused; they are not verified,
 * because what is answered is told to everybody (RFC 9919 3.1).
 */
import { PeerError } from '../errors.ts';
import { DerCursor, DerError, TAG } from '../x509/der.ts';
import { OCSP_OID } from './ocsp-oids.ts';

/** Largest request, in bytes. */
export const MAX_REQUEST_BYTES = 65_536;
/** Most certificates that one request may ask about. */
export const MAX_CERT_IDS = 100;

const MAX_EXTENSIONS = 20;
const MAX_SERIAL_BYTES = 1_024;
/** RFC 9654 2.1. */
const MAX_NONCE_BYTES = 128;

const NULL_PARAMETERS = 2;
const CONTEXT_0 = 0xa0;
const CONTEXT_1 = 0xa1;
const CONTEXT_2 = 0xa2;

/** One certificate asked about. The views share the memory of the request. */
export interface CertId {
  /** The whole element as it was asked. */
  readonly der: Uint8Array;
  /** Names the issuer: hash algorithm, hash of its name, hash of its key, see `issuerKey`. */
  readonly issuer: string;
  /** Content of the INTEGER. */
  readonly serialNumber: Uint8Array;
}

/** What a request asks. */
export interface OcspRequest {
  /** At least one. */
  readonly certIds: readonly CertId[];
  /** 1 to 128 bytes; undefined = none. */
  readonly nonce: Uint8Array | undefined;
}

/** The issuer of a CertID as a key for maps: content octets of the algorithm's object identifier, then both hashes. */
export function issuerKey(algorithm: Uint8Array, nameHash: Uint8Array, keyHash: Uint8Array): string {
  return `${latin1(algorithm)}|${latin1(nameHash)}|${latin1(keyHash)}`;
}

/**
 * Reads a request.
 *
 * @throws PeerError ERR_TOO_LARGE above MAX_REQUEST_BYTES
 * @throws PeerError ERR_MALFORMED_MESSAGE when it is not a request in DER, asks about nothing or too much, has a nonce
 *   of 0 or more than 128 bytes, or an unknown critical extension
 */
export function readOcspRequest(der: Uint8Array): OcspRequest {
  if (der.length > MAX_REQUEST_BYTES) {
    throw new PeerError('ERR_TOO_LARGE', `The request has ${der.length} bytes, at most ${MAX_REQUEST_BYTES} are read`);
  }
  try {
    return readRequest(new DerCursor(der));
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw new PeerError('ERR_MALFORMED_MESSAGE', `Not an OCSP request: ${error.message}`, { cause: error });
  }
}

function readRequest(outer: DerCursor): OcspRequest {
  const frame = enter(outer, TAG.sequence);
  expectEnd(outer);
  const tbs = enter(frame, TAG.sequence);
  if (isNext(frame, CONTEXT_0)) readSignature(enterOnly(frame, CONTEXT_0, TAG.sequence));
  expectEnd(frame);
  if (isNext(tbs, CONTEXT_0)) readVersion(enter(tbs, CONTEXT_0));
  if (isNext(tbs, CONTEXT_1)) readRequestorName(enter(tbs, CONTEXT_1));
  const certIds = readRequestList(enter(tbs, TAG.sequence));
  const nonce = isNext(tbs, CONTEXT_2) ? readExtensions(enterOnly(tbs, CONTEXT_2, TAG.sequence)) : undefined;
  expectEnd(tbs);
  return { certIds, nonce };
}

function readVersion(version: DerCursor): void {
  expectDer(version, TAG.integer);
  if (version.content().length !== 1 || version.content()[0] !== 0) throw new DerError('no version 1', version.start);
  expectEnd(version);
}

/** Whoever asks gets the same answer. */
function readRequestorName(name: DerCursor): void {
  if (!name.read()) throw new DerError('no name', name.end);
  expectEnd(name);
}

function readSignature(signature: DerCursor): void {
  expectDer(signature, TAG.sequence);
  expectDer(signature, TAG.bitString);
  if (isNext(signature, CONTEXT_0)) {
    const certificates = enterOnly(signature, CONTEXT_0, TAG.sequence);
    while (certificates.hasMore) expectDer(certificates, TAG.sequence);
  }
  expectEnd(signature);
}

function readRequestList(list: DerCursor): readonly CertId[] {
  const certIds: CertId[] = [];
  while (list.hasMore) {
    if (certIds.length === MAX_CERT_IDS) throw new DerError(`more than ${MAX_CERT_IDS} certificates`, list.end);
    const request = enter(list, TAG.sequence);
    certIds.push(readCertId(request));
    if (isNext(request, CONTEXT_0)) readExtensions(enterOnly(request, CONTEXT_0, TAG.sequence));
    expectEnd(request);
  }
  if (certIds.length === 0) throw new DerError('no certificate', list.end);
  return certIds;
}

function readCertId(request: DerCursor): CertId {
  const fields = enter(request, TAG.sequence);
  const algorithm = enter(fields, TAG.sequence);
  expectDer(algorithm, TAG.objectIdentifier);
  const oid = algorithm.content();
  if (algorithm.hasMore) expectDer(algorithm, TAG.null);
  if (algorithm.tag === TAG.null && algorithm.end - algorithm.start !== NULL_PARAMETERS)
    throw new DerError('a NULL with content', algorithm.start);
  expectEnd(algorithm);
  expectDer(fields, TAG.octetString);
  const nameHash = fields.content();
  expectDer(fields, TAG.octetString);
  const issuer = issuerKey(oid, nameHash, fields.content());
  expectDer(fields, TAG.integer);
  const serialNumber = fields.content();
  if (!isShortest(serialNumber)) throw new DerError('a serial number that is not DER', fields.start);
  expectEnd(fields);
  return { der: request.element(), issuer, serialNumber };
}

/** X.690 8.3.2: the first nine bits are not all equal. */
function isShortest(content: Uint8Array): boolean {
  const [first, second] = content;
  if (first === undefined || content.length > MAX_SERIAL_BYTES) return false;
  return second === undefined || !((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
}

/** Gives the nonce, if there is one. Critical extensions must be known (RFC 6960 4.4). */
function readExtensions(list: DerCursor): Uint8Array | undefined {
  let nonce: Uint8Array | undefined;
  let count = 0;
  while (list.hasMore) {
    count += 1;
    const fields = enter(list, TAG.sequence);
    expectDer(fields, TAG.objectIdentifier);
    const oid = latin1(fields.content());
    const isCritical = isNext(fields, TAG.boolean) && readBoolean(fields);
    expectDer(fields, TAG.octetString);
    if (oid === OCSP_OID.nonce.key) {
      if (nonce !== undefined) throw new DerError('two nonces', fields.start);
      nonce = readNonce(fields.enter());
    } else if (isCritical && !KNOWN_EXTENSIONS.has(oid)) {
      throw new DerError('an unknown critical extension', fields.start);
    }
    expectEnd(fields);
  }
  if (count === 0 || count > MAX_EXTENSIONS) throw new DerError(`${count} extensions`, list.end);
  return nonce;
}

/** What they ask for is what is done anyway: a basic response, with the one algorithm that the key has. */
const KNOWN_EXTENSIONS: ReadonlySet<string> = new Set([
  OCSP_OID.acceptableResponses.key,
  OCSP_OID.preferredSignatureAlgorithms.key,
]);

function readBoolean(fields: DerCursor): boolean {
  expectDer(fields, TAG.boolean);
  const [value] = fields.content();
  if (fields.content().length !== 1 || (value !== 0 && value !== 0xff)) throw new DerError('no boolean', fields.start);
  return value === 0xff;
}

function readNonce(value: DerCursor): Uint8Array {
  expectDer(value, TAG.octetString);
  const nonce = value.content();
  if (nonce.length === 0 || nonce.length > MAX_NONCE_BYTES) {
    throw new DerError(`a nonce of ${nonce.length} bytes`, value.start);
  }
  expectEnd(value);
  return nonce;
}

function isNext(cursor: DerCursor, tag: number): boolean {
  return cursor.hasMore && cursor.bytes[cursor.end] === tag;
}

function enter(cursor: DerCursor, tag: number): DerCursor {
  expectDer(cursor, tag);
  return cursor.enter();
}

/** Into the one element that an explicit tag holds. */
function enterOnly(cursor: DerCursor, tag: number, inner: number): DerCursor {
  const wrapper = enter(cursor, tag);
  const content = enter(wrapper, inner);
  expectEnd(wrapper);
  return content;
}

/** The next element must have this tag and, beyond what the cursor asks, the shortest definite length. */
function expectDer(cursor: DerCursor, tag: number): void {
  cursor.expect(tag);
  const { start, contentStart, contentEnd, end } = cursor;
  const length = contentEnd - contentStart;
  const octets = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x10000 ? 2 : 3;
  if (contentStart - start !== 2 + octets || contentEnd !== end) throw new DerError('a length that is not DER', start);
}

function expectEnd(cursor: DerCursor): void {
  if (cursor.hasMore) throw new DerError('more than belongs there', cursor.end);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
