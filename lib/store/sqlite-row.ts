/**
 * Rows as they are read from SQLite and written to the wire, without objects in between.
 *
 * Runs for every row of a synchronisation. Arrays and texts cross from SQLite several times as fast as objects and
 * bytes do, so short byte strings come as hexadecimal text.
 */
import type { CborWriter } from './cbor.ts';
import { ROW_ITEMS } from './certificate-row.ts';

/** Values of one row in the order of `selectRows`. */
type SqlValue = string | number | Uint8Array | null;

/** The SELECT of whole rows; its statement must return arrays. */
export function selectRows(condition: string, order: string, withCertificate: boolean, limit = '?'): string {
  return (
    'SELECT hex(fingerprint), issuerDN, subjectDN, hex(serialNumber), status, revocationReason, revocationDate, ' +
    'updateTime, expireDate, notBefore, iif(cAFingerprint IS NULL, NULL, hex(cAFingerprint)), ' +
    'iif(subjectKeyId IS NULL, NULL, hex(subjectKeyId)), type, tag, crlPartitionIndex, certificateProfileId, ' +
    `username, ${withCertificate ? 'certificate' : 'NULL'} FROM CertificateData JOIN Issuer USING (issuerId) ` +
    `${withCertificate ? 'LEFT JOIN CertificateBody USING (bodyId) ' : ''}` +
    `WHERE ${condition} ORDER BY ${order} LIMIT ${limit}`
  );
}

/** Appends a row in the form of `writeRow`; gives its fingerprint in hexadecimal digits. */
export function writeSqlRow(writer: CborWriter, row: unknown): string {
  const values = row as readonly SqlValue[];
  writer.array(ROW_ITEMS);
  writer.hex(values[0] as string);
  writer.text(values[1] as string);
  writer.text(values[2] as string);
  writer.hex(values[3] as string);
  for (let column = 4; column < 10; column++) writer.integer(values[column] as number);
  writer.hex(values[10] as string | null);
  writer.hex(values[11] as string | null);
  writer.integer(values[12] as number);
  writer.text(values[13] as string | null);
  writer.integer(values[14] as number);
  writer.integer(values[15] as number);
  writer.text(values[16] as string | null);
  writer.bytes(values[17] as Uint8Array | null);
  return values[0] as string;
}
