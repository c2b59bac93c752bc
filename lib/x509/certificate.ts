/**
 * Reads the facts of a certificate that certificate data is made of.
 *
 * Owns what counts as a certificate here: bytes whose issuer, serial number, validity, subject and key can be
 * found where RFC 5280 4.1 has them. Whether it is well made, valid or trusted is not asked, because what a CA
 * has issued must be published and revoked whatever it looks like; trust decisions are node:crypto's.
 */
import { hash } from 'node:crypto';
import { PeerError } from '../errors.ts';
import { type ExtensionFacts, readExtensions } from './certificate-extensions.ts';
import { DerCursor, DerError, TAG } from './der.ts';
import { readTime, UNKNOWN_TIME } from './der-time.ts';
import { readDistinguishedName } from './distinguished-name-reader.ts';
import { keyAlgorithmOf } from './key-algorithm.ts';
import { decimalFromInteger } from './serial-number.ts';

/** Largest certificate that is read, in bytes. */
export const MAX_CERTIFICATE_BYTES = 524_288;

/** What is read from one certificate. The views share the memory of the certificate. */
export interface CertificateFacts extends Readonly<ExtensionFacts> {
  /** SHA-1 of the DER, 40 lower-case hex digits. */
  readonly fingerprint: string;
  /** In EJBCA's form; '' for an empty name. */
  readonly issuerDN: string;
  /** In EJBCA's form; '' for an empty name. */
  readonly subjectDN: string;
  /** Decimal, possibly negative. */
  readonly serialNumber: string;
  /** Epoch milliseconds; -1 = unreadable. */
  readonly notBefore: number;
  /** Epoch milliseconds; -1 = unreadable. */
  readonly expireDate: number;
  /** Whether issuer and subject are the same, byte for byte. */
  readonly selfIssued: boolean;
  /** Short name such as `RSA`, `EC`, `Ed25519`, `ML-DSA-44`; a dotted object identifier for others; '' = unreadable. */
  readonly keyAlgorithm: string;
  /** The Name of the issuer, DER. */
  readonly issuerDer: Uint8Array;
  /** The Name of the subject, DER. */
  readonly subjectDer: Uint8Array;
  /** The SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
}

const CONSTRUCTED = 0x20;
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;

/** SHA-1 of a certificate or CRL, 40 lower-case hex digits: its name in certificate data. */
export function fingerprintOf(der: Uint8Array): string {
  return hash('sha1', der, 'hex');
}

/**
 * Reads a DER certificate; BER is read too.
 *
 * @throws PeerError ERR_TOO_LARGE above MAX_CERTIFICATE_BYTES, or with a serial number above 16,384 octets
 * @throws PeerError ERR_INVALID_CERTIFICATE when the bytes are not one certificate and nothing else
 */
export function readCertificate(der: Uint8Array): CertificateFacts {
  if (der.length > MAX_CERTIFICATE_BYTES) {
    throw new PeerError(
      'ERR_TOO_LARGE',
      `The certificate has ${der.length} bytes, at most ${MAX_CERTIFICATE_BYTES} are read`,
    );
  }
  try {
    return readFields(der);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw new PeerError(
      'ERR_INVALID_CERTIFICATE',
      `These ${der.length} bytes are not a certificate: ${error.message}`,
      {
        cause: error,
      },
    );
  }
}

function readFields(bytes: Uint8Array): CertificateFacts {
  const tbs = enterCertificate(bytes);
  tbs.read();
  if (tbs.tag === VERSION) tbs.read();
  if (tbs.tag !== TAG.integer) throw new DerError('no serial number', tbs.start);
  const serialNumber = decimalFromInteger(tbs.content());
  tbs.expect(TAG.sequence); // the signature algorithm
  tbs.expect(TAG.sequence);
  const issuerDer = tbs.element();
  const issuerDN = readIssuer(tbs);
  tbs.expect(TAG.sequence);
  const validity = readValidity(tbs);
  tbs.expect(TAG.sequence);
  const subjectDer = tbs.element();
  const selfIssued = Buffer.compare(issuerDer, subjectDer) === 0;
  const subjectDN = selfIssued ? issuerDN : readDistinguishedName(tbs);
  tbs.expect(TAG.sequence);
  const spki = tbs.element();
  const keyAlgorithm = readKeyAlgorithm(tbs);
  const { subjectKeyId, authorityKeyId, isCa, hasPoison } = readExtensions(findExtensions(tbs));
  return {
    fingerprint: fingerprintOf(bytes),
    issuerDN,
    subjectDN,
    serialNumber,
    notBefore: validity.notBefore,
    expireDate: validity.notAfter,
    subjectKeyId,
    authorityKeyId,
    isCa,
    hasPoison,
    selfIssued,
    keyAlgorithm,
    issuerDer,
    subjectDer,
    spki,
  };
}

/** A cursor over the fields of the TBSCertificate, once the frame around it is that of a certificate. */
function enterCertificate(bytes: Uint8Array): DerCursor {
  const outer = new DerCursor(bytes);
  outer.expect(TAG.sequence);
  if (outer.hasMore) throw new DerError(`${bytes.length - outer.end} bytes too many`, outer.end);
  const frame = outer.enter();
  frame.expect(TAG.sequence);
  const tbs = frame.enter();
  frame.expect(TAG.sequence);
  if (!frame.read() || (frame.tag & ~CONSTRUCTED) !== TAG.bitString) throw new DerError('no signature', frame.start);
  return tbs;
}

/** Few CAs issue many certificates, so the names of issuers are worth remembering: DER as latin1, text. */
const issuers = new Map<string, string>();
const MAX_ISSUERS = 256;
const MAX_ISSUER_BYTES = 1024;

function readIssuer(name: DerCursor): string {
  if (name.end - name.start > MAX_ISSUER_BYTES) return readDistinguishedName(name);
  const key = name.text('latin1');
  const known = issuers.get(key);
  if (known !== undefined) return known;
  const text = readDistinguishedName(name);
  if (issuers.size >= MAX_ISSUERS) issuers.clear();
  issuers.set(key, text);
  return text;
}

function readValidity(validity: DerCursor): { readonly notBefore: number; readonly notAfter: number } {
  const times = validity.enter();
  const read = (): number =>
    quietly(() => times.read(), false)
      ? readTime(times.bytes, times.tag, times.contentStart, times.contentEnd)
      : UNKNOWN_TIME;
  return { notBefore: read(), notAfter: read() };
}

function readKeyAlgorithm(spki: DerCursor): string {
  return quietly(() => keyAlgorithmOf(spki), '');
}

/** Goes on to the extensions, past the unique identifiers and whatever else stands there. */
function findExtensions(tbs: DerCursor): DerCursor | undefined {
  while (quietly(() => tbs.read(), false)) if (tbs.tag === EXTENSIONS) return tbs;
  return undefined;
}

/** What the function reads, or the default where the bytes are not well-formed. */
function quietly<Value>(read: () => Value, otherwise: Value): Value {
  try {
    return read();
  } catch (error) {
    if (error instanceof DerError) return otherwise;
    throw error;
  }
}
