/**
 * Which rows a comparison or synchronisation is about.
 */
import { ALL_CAS, type CaScope, isCaInScope } from '../x509/ca-scope.ts';
import { type CborReader, type CborWriter, expectItems } from './cbor.ts';
import { CERTIFICATE_STATUS } from './certificate-data.ts';
import type { RowColumns } from './certificate-row.ts';

/** `active` is what EJBCA counts as active: 20 and 21. The order is that of the wire. */
export const STATUS_CHOICES = ['all', 'revoked', 'active'] as const;

/** One of STATUS_CHOICES. */
export type StatusChoice = (typeof STATUS_CHOICES)[number];

/** A subset of certificate data. Plain data. */
export interface RowFilter {
  readonly cas: CaScope;
  readonly status: StatusChoice;
  /** Epoch milliseconds; only rows whose updateTime is not before it. 0 = all. */
  readonly changedSince: number;
  /** Epoch milliseconds; rows that expired before it are left out. 0 = none is. */
  readonly expiredBefore: number;
  /** Whether it matters that the certificate itself is there, too. */
  readonly withCertificate: boolean;
}

/** Every row with its certificate. */
export const EVERY_ROW: RowFilter = {
  cas: ALL_CAS,
  status: 'all',
  changedSince: 0,
  expiredBefore: 0,
  withCertificate: true,
};

/** Statuses that a choice takes; undefined = any. */
export function statusesOf(choice: StatusChoice): readonly number[] | undefined {
  if (choice === 'all') return undefined;
  if (choice === 'revoked') return [CERTIFICATE_STATUS.revoked];
  return [CERTIFICATE_STATUS.active, CERTIFICATE_STATUS.notifiedAboutExpiration];
}

/** Whether a row belongs to the subset. */
export function passesFilter(row: RowColumns, filter: RowFilter): boolean {
  if (row.updateTime < filter.changedSince) return false;
  if (row.expireDate !== -1 && row.expireDate < filter.expiredBefore) return false;
  const statuses = statusesOf(filter.status);
  if (statuses !== undefined && !statuses.includes(row.status)) return false;
  return isCaInScope(row.issuerDN, filter.cas);
}

/** Writes a filter as CBOR: [others, [[name, allowed]…], status, changedSince, expiredBefore, withCertificate]. */
export function writeFilter(writer: CborWriter, filter: RowFilter): void {
  writer.array(6);
  writer.integer(filter.cas.others ? 1 : 0);
  const names = Object.entries(filter.cas.named);
  writer.array(names.length);
  for (const [name, allowed] of names) {
    writer.array(2);
    writer.text(name);
    writer.integer(allowed ? 1 : 0);
  }
  writer.integer(STATUS_CHOICES.indexOf(filter.status));
  writer.integer(filter.changedSince);
  writer.integer(filter.expiredBefore);
  writer.integer(filter.withCertificate ? 1 : 0);
}

/** Reads it. @throws PeerError ERR_MALFORMED_MESSAGE */
export function readFilter(reader: CborReader): RowFilter {
  expectItems(reader, 6);
  const others = reader.integer() === 1;
  const named = Object.fromEntries(
    Array.from({ length: reader.array() }, () => {
      expectItems(reader, 2);
      return [reader.text(), reader.integer() === 1] as const;
    }),
  );
  const status = STATUS_CHOICES[reader.integer()] ?? 'all';
  const changedSince = reader.integer();
  const expiredBefore = reader.integer();
  return { cas: { others, named }, status, changedSince, expiredBefore, withCertificate: reader.integer() === 1 };
}
