/**
 * From a row of EJBCA's tables to a row of certificate data.
 *
 * What cannot be converted harms no other row: it is left out and named.
 */
import { hash } from 'node:crypto';
import { PeerError } from '../errors.ts';
import { integerFromDecimal } from '../x509/serial-number.ts';
import { faultOf, type RowColumns, type RowFault } from './certificate-row.ts';
import type { SqlRow } from './ejbca-connection.ts';

/** A row that could not be read as it is, in the words of a sync report. */
export interface SkippedRow {
  readonly fingerprint: string;
  readonly subjectDN: string;
  readonly issuerDN: string;
  /** Stable code of `lib/errors.ts`. */
  readonly code: string;
  readonly detail: string;
}

/** A row, and whether its certificate is stored. */
export interface SourceRow {
  /** With the certificate only when that was asked for. */
  readonly columns: RowColumns;
  readonly hasCertificate: boolean;
}

/** Told of rows that are skipped. */
export type OnSkipped = (skipped: SkippedRow) => void;

/** 20 bytes in lower-case hex; every collation sorts those alike. */
const FINGERPRINT = /^[0-9a-f]{40}$/;

/** Converts a row; undefined = skipped. The values are those of `selectRows`. */
export function readSourceRow(values: SqlRow, isWhole: boolean, onSkipped: OnSkipped): SourceRow | undefined {
  const skip = ({ code, detail }: RowFault): void =>
    onSkipped({
      fingerprint: text(values[0]) ?? '',
      issuerDN: text(values[1]) ?? '',
      subjectDN: text(values[2]) ?? '',
      code,
      detail,
    });
  try {
    const columns = columnsOf(values);
    const fault = faultOf(columns);
    if (fault !== undefined) return void skip(fault);
    const body = values[17];
    if (!isWhole) return { columns, hasCertificate: Number(body) === 1 };
    const certificate = bodyOf(body, columns.fingerprint, skip);
    return { columns: { ...columns, certificate }, hasCertificate: certificate !== null };
  } catch (error) {
    if (!(error instanceof PeerError)) throw error;
    skip({ code: error.code, detail: error.message });
    return undefined;
  }
}

function columnsOf(values: SqlRow): RowColumns {
  const fingerprint = text(values[0]) ?? '';
  if (!FINGERPRINT.test(fingerprint)) throw malformed(`a fingerprint that is not 40 lower-case hexadecimal digits`);
  const issuerDN = text(values[1]);
  if (issuerDN === null) throw malformed('no issuerDN');
  const cAFingerprint = text(values[10]) || null;
  const subjectKeyId = text(values[11]) || null;
  return {
    fingerprint: Buffer.from(fingerprint, 'hex'),
    issuerDN,
    subjectDN: text(values[2]) ?? '',
    serialNumber: integerFromDecimal(text(values[3]) ?? ''),
    status: number(values[4], -1),
    revocationReason: number(values[5], -1),
    revocationDate: number(values[6], -1),
    updateTime: number(values[7], -1),
    expireDate: number(values[8], -1),
    notBefore: number(values[9], -1),
    caFingerprint: cAFingerprint === null ? null : Buffer.from(cAFingerprint, 'hex'),
    subjectKeyId: subjectKeyId === null ? null : Buffer.from(subjectKeyId, 'base64'),
    type: number(values[12], 0),
    tag: text(values[13]),
    crlPartitionIndex: number(values[14], 0),
    certificateProfileId: number(values[15], 0),
    username: text(values[16]),
    certificate: null,
  };
}

/** The certificate; where it is not that of the fingerprint the state goes without it, because OCSP needs the state. */
function bodyOf(body: unknown, fingerprint: Uint8Array, skip: (fault: RowFault) => void): Uint8Array | null {
  const base64 = text(body);
  if (base64 === null) return null;
  const isPem = base64.includes('-----');
  const certificate = Buffer.from(isPem ? base64.replaceAll(/-----[^-]*-----/g, '') : base64, 'base64');
  if (hash('sha1', certificate, 'buffer').equals(fingerprint)) return certificate;
  skip({
    code: 'ERR_INVALID_CERTIFICATE',
    detail: 'The fingerprint is not that of the stored certificate; the row goes without the certificate',
  });
  return null;
}

/** Columns of binary types come as bytes. */
function text(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return Buffer.isBuffer(value) ? value.toString('utf8') : String(value);
}

function number(value: unknown, missing: number): number {
  if (value === null || value === undefined) return missing;
  const read = Number(value);
  if (!Number.isSafeInteger(read)) throw malformed(`a number that is none or too large: ${String(value).slice(0, 30)}`);
  return read;
}

function malformed(what: string): PeerError {
  return new PeerError('ERR_MALFORMED_MESSAGE', `The row has ${what}`);
}
