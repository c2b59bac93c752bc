/**
 * Makes certificate data of what a flow hands over: PEM, DER, objects with a status, arrays of these.
 *
 * Every item stands alone: an unreadable one becomes a failure beside its neighbours.
 */
import { hash } from 'node:crypto';
import { types } from 'node:util';
import { PeerError, toPeerError } from '../errors.ts';
import { CERTIFICATE_STATUS, CERTIFICATE_TYPE, type CertificateData } from '../store/certificate-data.ts';
import { type CertificateFacts, readCertificate } from '../x509/certificate.ts';
import { readPem } from '../x509/pem.ts';
import { parseRevocationReason, REVOCATION_REASONS } from '../x509/revocation-reason.ts';

// Not instanceof: what a function node makes comes from another realm.
const { isDate, isUint8Array } = types;

/** One readable or unreadable item of the input. */
export type InputItem = { readonly row: CertificateData } | { readonly failure: PeerError };

/**
 * Reads an input, whatever its form.
 *
 * @param now epoch milliseconds; becomes the updateTime of a stated status without one
 * @throws PeerError ERR_INVALID_INPUT when the input as a whole says nothing
 */
export function readCertificateInput(input: unknown, now: number): readonly InputItem[] {
  const items = Array.isArray(input) ? input.flatMap((element) => readElement(element, now)) : readElement(input, now);
  if (items.length === 0)
    throw new PeerError('ERR_INVALID_INPUT', 'The message holds no certificate: its payload is empty');
  return items;
}

function readElement(element: unknown, now: number): InputItem[] {
  try {
    if (typeof element === 'string') return readBundle(element, now);
    if (isUint8Array(element))
      return isDer(element) ? [attempt(() => rowOf(element, {}, now))] : readBundle(textOfBytes(element), now);
    if (typeof element === 'object' && element !== null && !Array.isArray(element)) {
      return [attempt(() => readObject(element as CertificateObject, now))];
    }
    const kind = element === null ? 'null' : typeof element;
    throw new PeerError('ERR_INVALID_INPUT', `A certificate is PEM text, DER bytes or an object, not ${kind}`);
  } catch (error) {
    return [{ failure: toPeerError(error) }];
  }
}

function attempt(read: () => CertificateData): InputItem {
  try {
    return { row: read() };
  } catch (error) {
    return { failure: toPeerError(error, 'ERR_INVALID_CERTIFICATE') };
  }
}

/** Each block of a bundle by itself, so that a damaged one harms no other. */
function readBundle(text: string, now: number): InputItem[] {
  if (text.trim() === '') throw new PeerError('ERR_INVALID_INPUT', 'The message holds no certificate: it is empty');
  const blocks = text.split(/(?=-----BEGIN )/).filter((block) => CERTIFICATE_BLOCK.test(block));
  const readable = blocks.length === 0 ? [text] : blocks;
  return readable.map((block) => attempt(() => rowOf(onlyCertificate(block), {}, now)));
}

const CERTIFICATE_BLOCK = /^-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----/;
const DER_SEQUENCE = 0x30;
const MAX_SERIAL_DIGITS = 400;

function isDer(bytes: Uint8Array): boolean {
  return bytes[0] === DER_SEQUENCE;
}

function textOfBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function onlyCertificate(pem: string): Uint8Array {
  const [der, ...others] = readPem(pem);
  if (der === undefined || others.length > 0) {
    throw new PeerError(
      'ERR_INVALID_INPUT',
      `"certificate" holds ${others.length + 1} certificates; an object speaks of one`,
    );
  }
  return der;
}

/**
 * An input object: a certificate with what is known about it. All but `certificate` may be absent; a status may also be
 * published without the certificate, which is then named by issuer and serial number.
 */
interface CertificateObject {
  readonly certificate?: unknown;
  readonly status?: unknown;
  readonly revocationDate?: unknown;
  readonly revocationReason?: unknown;
  readonly updateTime?: unknown;
  readonly username?: unknown;
  readonly certificateProfileId?: unknown;
  readonly tag?: unknown;
  readonly crlPartitionIndex?: unknown;
  /** Only without `certificate`, as the following. */
  readonly issuerDN?: unknown;
  readonly serialNumber?: unknown;
  readonly fingerprint?: unknown;
  readonly subjectDN?: unknown;
  readonly expireDate?: unknown;
}

function readObject(object: CertificateObject, now: number): CertificateData {
  const { certificate } = object;
  if (certificate === undefined && object.issuerDN !== undefined) return entryOf(object, now);
  if (typeof certificate !== 'string' && !isUint8Array(certificate)) {
    const detail = 'The object has no "certificate" (PEM text or DER bytes) and no "issuerDN" and "serialNumber"';
    throw new PeerError('ERR_INVALID_INPUT', detail);
  }
  const isBytes = isUint8Array(certificate);
  const der =
    isBytes && isDer(certificate) ? certificate : onlyCertificate(isBytes ? textOfBytes(certificate) : certificate);
  return rowOf(der, object, now);
}

function rowOf(der: Uint8Array, object: CertificateObject, now: number): CertificateData {
  const facts = readCertificate(der);
  const extras = extrasOf(object);
  return {
    fingerprint: facts.fingerprint,
    issuerDN: facts.issuerDN,
    subjectDN: facts.subjectDN,
    serialNumber: facts.serialNumber,
    ...stateOf(object, facts, now),
    expireDate: facts.expireDate,
    notBefore: facts.notBefore,
    caFingerprint: null,
    subjectKeyId: facts.subjectKeyId,
    type: typeOf(facts),
    ...extras,
    tag: extras.tag ?? (facts.hasPoison ? 'P' : null),
    certificate: der,
  };
}

/** What EJBCA has as subject of a certificate that it never stored. */
const LIMITED_SUBJECT = 'CN=limited';

/**
 * The status of a certificate that is not here.
 *
 * Without a fingerprint it is EJBCA's limited entry: a revocation of a certificate that the CA has never stored.
 */
function entryOf(object: CertificateObject, now: number): CertificateData {
  const issuerDN = textOf(object.issuerDN, 'issuerDN') ?? '';
  const serialNumber = decimalOf(object.serialNumber);
  const fingerprint = textOf(object.fingerprint, 'fingerprint')?.toLowerCase();
  const state = stateOf(object, { notBefore: now }, now);
  if (issuerDN === '') throw new PeerError('ERR_INVALID_INPUT', 'An entry without a certificate needs an "issuerDN"');
  if (fingerprint === undefined && state.status !== CERTIFICATE_STATUS.revoked) {
    throw new PeerError('ERR_INVALID_INPUT', 'Without certificate and fingerprint only a revocation can be published');
  }
  if (fingerprint !== undefined && !/^[0-9a-f]{40}$/.test(fingerprint)) {
    throw new PeerError('ERR_INVALID_INPUT', `"${fingerprint.slice(0, 50)}" is not a fingerprint of 40 hex digits`);
  }
  return {
    fingerprint: fingerprint ?? hash('sha1', `${serialNumber};${issuerDN}`, 'hex'),
    issuerDN,
    subjectDN: textOf(object.subjectDN, 'subjectDN') ?? LIMITED_SUBJECT,
    serialNumber,
    ...state,
    expireDate: timeOf(object.expireDate, 'expireDate') ?? -1,
    notBefore: -1,
    caFingerprint: null,
    subjectKeyId: null,
    type: CERTIFICATE_TYPE.endEntity,
    ...extrasOf(object),
    certificate: null,
  };
}

function decimalOf(value: unknown): string {
  const text = typeof value === 'number' || typeof value === 'bigint' ? String(value) : value;
  if (typeof text === 'string' && text.length <= MAX_SERIAL_DIGITS && /^-?\d+$/.test(text))
    return BigInt(text).toString();
  throw new PeerError('ERR_INVALID_INPUT', 'An entry without a certificate needs a decimal "serialNumber"');
}

function extrasOf(object: CertificateObject) {
  return {
    tag: textOf(object.tag, 'tag') ?? null,
    crlPartitionIndex: numberOf(object.crlPartitionIndex, 'crlPartitionIndex') ?? 0,
    certificateProfileId: numberOf(object.certificateProfileId, 'certificateProfileId') ?? 0,
    username: textOf(object.username, 'username') ?? null,
  };
}

type State = Pick<CertificateData, 'status' | 'revocationReason' | 'revocationDate' | 'updateTime'>;

function stateOf(object: CertificateObject, facts: Pick<CertificateFacts, 'notBefore'>, now: number): State {
  const reason = object.revocationReason === undefined ? undefined : parseRevocationReason(object.revocationReason);
  const status = statusOf(object, reason);
  const isRevoked = status === CERTIFICATE_STATUS.revoked;
  const revocationDate = timeOf(object.revocationDate, 'revocationDate');
  // A certificate of which nothing is said counts as known since it began: publishing it again can
  // neither undo a hold nor change anything else.
  const isStated = object.status !== undefined || reason !== undefined || revocationDate !== undefined;
  const updateTime = timeOf(object.updateTime, 'updateTime') ?? (isStated ? now : Math.max(0, facts.notBefore));
  return {
    status,
    revocationReason: reason ?? (isRevoked ? REVOCATION_REASONS.unspecified : -1),
    revocationDate: revocationDate ?? (isRevoked ? updateTime : -1),
    updateTime,
  };
}

function statusOf({ status, revocationDate }: CertificateObject, reason: number | undefined): number {
  if (status === undefined) {
    // Taken off hold (RFC 5280 5.3.1): the one reason that ends a revocation.
    if (reason === REVOCATION_REASONS.removeFromCRL) return CERTIFICATE_STATUS.active;
    const isRevocation = revocationDate !== undefined || reason !== undefined;
    return isRevocation ? CERTIFICATE_STATUS.revoked : CERTIFICATE_STATUS.active;
  }
  if (typeof status === 'string' && Object.hasOwn(CERTIFICATE_STATUS, status)) {
    return CERTIFICATE_STATUS[status as keyof typeof CERTIFICATE_STATUS];
  }
  const known = Object.values(CERTIFICATE_STATUS).find((value) => value === Number(status));
  if (known === undefined || status === '')
    throw new PeerError('ERR_INVALID_INPUT', `"${status}" is not a certificate status`);
  return known;
}

/** A CA that signs itself is a root for whoever publishes it. */
function typeOf(facts: CertificateFacts): number {
  if (!facts.isCa) return CERTIFICATE_TYPE.endEntity;
  return facts.selfIssued ? CERTIFICATE_TYPE.rootCA : CERTIFICATE_TYPE.subCA;
}

function timeOf(value: unknown, name: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  const time = isDate(value) ? value.getTime() : typeof value === 'string' ? Date.parse(value) : value;
  if (typeof time !== 'number' || !Number.isSafeInteger(time) || time < -1) {
    throw new PeerError('ERR_INVALID_INPUT', `"${name}" is not a date, ISO 8601 text or epoch milliseconds`);
  }
  return time;
}

function numberOf(value: unknown, name: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value)) {
    throw new PeerError('ERR_INVALID_INPUT', `"${name}" is not a whole number`);
  }
  return value;
}

function textOf(value: unknown, name: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw new PeerError('ERR_INVALID_INPUT', `"${name}" is not text`);
  return value;
}
