/** Certificates in PEM (RFC 7468), one or many, as files, mails and copied text hold them. */
import { PeerError } from '../errors.ts';
import { DerCursor, DerError } from './der.ts';

/** What is read from PEM text. */
export interface PemOptions {
  /**
   * What becomes of blocks that are no certificates, such as keys: `skip` passes over them,
   * `refuse` fails with ERR_INVALID_CERTIFICATE. Default `skip`.
   */
  readonly otherBlocks?: 'skip' | 'refuse';
}

const BEGIN = '-----BEGIN ';
const CERTIFICATE_LABELS = ['CERTIFICATE', 'X509 CERTIFICATE', 'TRUSTED CERTIFICATE'];

/**
 * DER of the certificates in a PEM text, in its order; at least one.
 *
 * Text around the blocks, indentation, CRLF and missing line breaks do no harm. Of a `TRUSTED CERTIFICATE`
 * (OpenSSL) only the certificate is taken. What the blocks hold is not looked into otherwise.
 *
 * @throws PeerError ERR_INVALID_CERTIFICATE when there is none, or a block is not complete or not base64
 */
export function readPem(pem: string, options: PemOptions = {}): readonly Uint8Array[] {
  const certificates: Uint8Array[] = [];
  for (let at = pem.indexOf(BEGIN); at !== -1; ) {
    const { label, bodyStart } = readLabel(pem, at);
    const end = pem.indexOf(`-----END ${label}-----`, bodyStart);
    const next = pem.indexOf(BEGIN, bodyStart);
    if (end === -1 || (next !== -1 && next < end)) throw invalid(`The PEM block ${label} has no end`);
    if (CERTIFICATE_LABELS.includes(label)) certificates.push(decode(pem.slice(bodyStart, end), label));
    else if (options.otherBlocks === 'refuse') throw invalid(`The PEM text holds a ${label} where certificates belong`);
    at = next;
  }
  if (certificates.length === 0) throw invalid('There is no PEM certificate in the text');
  return certificates;
}

/**
 * DER of the first block with this label, such as a certificate request.
 *
 * @throws PeerError ERR_INVALID_CERTIFICATE when there is none, or it is not complete or not base64
 */
export function readPemBlock(pem: string, label: string): Uint8Array {
  const begin = `-----BEGIN ${label}-----`;
  const at = pem.indexOf(begin);
  const end = pem.indexOf(`-----END ${label}-----`, at);
  if (at === -1 || end === -1) throw invalid(`There is no complete PEM block ${label} in the text`);
  return decode(pem.slice(at + begin.length, end), label);
}

/** PEM of one DER value, lines of 64 characters, with a final line break. */
export function toPem(der: Uint8Array, label = 'CERTIFICATE'): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString('base64');
  const lines = base64.replaceAll(/.{1,64}/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`;
}

function readLabel(pem: string, at: number): { readonly label: string; readonly bodyStart: number } {
  const start = at + BEGIN.length;
  const end = pem.indexOf('-----', start);
  const label = end === -1 ? '' : pem.slice(start, Math.min(end, start + 100));
  if (end === -1 || !/^[A-Z0-9 .#/_-]*$/i.test(label)) throw invalid('A PEM block begins without a proper label');
  return { label, bodyStart: end + 5 };
}

function decode(body: string, label: string): Uint8Array {
  const base64 = body.replaceAll(/\s+/g, '');
  if (base64 === '') throw invalid(`The PEM block ${label} is empty`);
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64) || base64.length % 4 !== 0) {
    throw invalid(`The PEM block ${label} is not base64`);
  }
  const der = Buffer.from(base64, 'base64');
  return label === 'TRUSTED CERTIFICATE' ? withoutTrust(der) : der;
}

/** OpenSSL appends what the certificate is trusted for as a second element. */
function withoutTrust(der: Uint8Array): Uint8Array {
  try {
    const cursor = new DerCursor(der);
    cursor.read();
    return cursor.element();
  } catch (error) {
    if (error instanceof DerError) throw invalid(`The PEM block TRUSTED CERTIFICATE is not readable: ${error.message}`);
    throw error;
  }
}

function invalid(detail: string): PeerError {
  return new PeerError('ERR_INVALID_CERTIFICATE', detail);
}
