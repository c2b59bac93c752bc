/**
 * What an OCSP answer needs to know of a certificate, and nothing more.
 */
import { decimalFromInteger } from '../x509/serial-number.ts';
import type { CertificateData } from './certificate-data.ts';
import { fromColumns, readRows } from './certificate-row.ts';
import type { StoreEngine } from './store-engine.ts';

/** Rows of one issuer and serial number that are looked at. The pair is not unique in real life. */
export const MAX_SAME_SERIAL = 1_000;

/** A certificate asked about. */
export interface CertificateQuestion {
  readonly issuerDN: string;
  /** Content of a DER INTEGER in its shortest form. */
  readonly serialNumber: Uint8Array;
}

/** The part of a row of certificate data that says how a certificate stands. */
export type CertificateStatus = Pick<
  CertificateData,
  'status' | 'revocationReason' | 'revocationDate' | 'updateTime' | 'expireDate' | 'caFingerprint'
>;

/** All rows of each certificate asked about, in the order of the questions; an empty list where there is none. */
export type StatusesOf = readonly (readonly CertificateStatus[])[];

/** The same from an engine that has no shorter way. */
export async function findStatuses(
  engine: StoreEngine,
  questions: readonly CertificateQuestion[],
): Promise<StatusesOf> {
  const statuses: CertificateStatus[][] = [];
  for (const { issuerDN, serialNumber } of questions) {
    const rows = await engine.findBySerialNumber(issuerDN, decimalFromInteger(serialNumber));
    statuses.push(readRows(rows).map(fromColumns).map(statusOf));
  }
  return statuses;
}

function statusOf(row: CertificateData): CertificateStatus {
  const { status, revocationReason, revocationDate, updateTime, expireDate, caFingerprint } = row;
  return { status, revocationReason, revocationDate, updateTime, expireDate, caFingerprint };
}
