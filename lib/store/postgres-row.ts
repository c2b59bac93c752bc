/**
 * Rows as they are read from PostgreSQL and written to the wire, without objects in between.
 */
import type { CborWriter } from './cbor.ts';
import { ROW_ITEMS } from './certificate-row.ts';
import type { PostgresRow } from './postgres-session.ts';

/** The SELECT of whole rows. */
export function selectRows(condition: string, order: string, withCertificate: boolean): string {
  return (
    'SELECT fingerprint, issuerDN, subjectDN, serialNumber, status, revocationReason, revocationDate, updateTime, ' +
    'expireDate, notBefore, cAFingerprint, subjectKeyId, type, tag, crlPartitionIndex, certificateProfileId, ' +
    `username, ${withCertificate ? 'certificate' : 'NULL'} FROM CertificateData JOIN Issuer USING (issuerId) ` +
    `${withCertificate ? 'LEFT JOIN CertificateBody USING (bodyId) ' : ''}WHERE ${condition} ORDER BY ${order}`
  );
}

/** Appends a row in the form of `writeRow`; gives its fingerprint in hexadecimal digits. */
export function writeSqlRow(writer: CborWriter, row: PostgresRow): string {
  const bytes = (column: number): void => writer.hex(digitsOf(row[column] as string | null));
  const text = (column: number): void => writer.text(row[column] as string | null);
  const integer = (column: number): void => writer.integer(row[column] as number);
  writer.array(ROW_ITEMS);
  bytes(0);
  text(1);
  text(2);
  bytes(3);
  for (let column = 4; column < 10; column++) integer(column);
  bytes(10);
  bytes(11);
  integer(12);
  text(13);
  integer(14);
  integer(15);
  text(16);
  bytes(17);
  return digitsOf(row[0] as string);
}

/** Without the `\x` that PostgreSQL puts before bytes. */
export function digitsOf<T extends string | null>(value: T): T {
  return (value === null ? null : value.slice(2)) as T;
}

/** The bytes. */
export function bytesOf(value: unknown): Buffer {
  return Buffer.from(digitsOf(value as string), 'hex');
}
