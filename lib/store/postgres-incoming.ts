/**
 * Rows on their way into PostgreSQL: as arrays with a statement when they are few, by COPY when they are many.
 */
import type { RowColumns } from './certificate-row.ts';
import type { SqlValue } from './postgres-session.ts';
import { digestOf } from './write-verdict.ts';

/** What is to be done with a row that is on its way. */
export const INCOMING_KIND = { insert: 0, update: 1, addBody: 2 } as const;

/** A row on its way. */
export interface Incoming {
  readonly row: RowColumns;
  readonly kind: keyof typeof INCOMING_KIND;
  readonly issuerId: number;
  /** Number and bytes of a certificate that was missing. */
  readonly body: { readonly bodyId: number; readonly certificate: Uint8Array } | undefined;
}

type ColumnType = 'BYTEA' | 'INTEGER' | 'BIGINT' | 'TEXT';

interface Column {
  readonly name: string;
  readonly type: ColumnType;
  readonly of: (incoming: Incoming) => string | number | Uint8Array | null;
}

const column = (name: string, type: ColumnType, of: Column['of']): Column => ({ name, type, of });

/** What changes of a row. */
const STATE: readonly Column[] = [
  column('issuerId', 'INTEGER', ({ issuerId }) => issuerId),
  column('subjectDN', 'TEXT', ({ row }) => row.subjectDN),
  column('serialNumber', 'BYTEA', ({ row }) => row.serialNumber),
  column('status', 'INTEGER', ({ row }) => row.status),
  column('revocationReason', 'INTEGER', ({ row }) => row.revocationReason),
  column('revocationDate', 'BIGINT', ({ row }) => row.revocationDate),
  column('updateTime', 'BIGINT', ({ row }) => row.updateTime),
  column('expireDate', 'BIGINT', ({ row }) => row.expireDate),
  column('notBefore', 'BIGINT', ({ row }) => row.notBefore),
  column('cAFingerprint', 'BYTEA', ({ row }) => row.caFingerprint),
  column('subjectKeyId', 'BYTEA', ({ row }) => row.subjectKeyId),
  column('type', 'INTEGER', ({ row }) => row.type),
  column('tag', 'TEXT', ({ row }) => row.tag),
  column('crlPartitionIndex', 'INTEGER', ({ row }) => row.crlPartitionIndex),
  column('certificateProfileId', 'INTEGER', ({ row }) => row.certificateProfileId),
  column('username', 'TEXT', ({ row }) => row.username),
  column('digest', 'BYTEA', ({ row }) => digestOf(row)),
];
const COLUMNS: readonly Column[] = [
  column('fingerprint', 'BYTEA', ({ row }) => row.fingerprint),
  column('kind', 'INTEGER', ({ kind }) => INCOMING_KIND[kind]),
  column('bodyId', 'BIGINT', ({ body }) => body?.bodyId ?? null),
  column('certificate', 'BYTEA', ({ body }) => body?.certificate ?? null),
  ...STATE,
];

const namesOf = (columns: readonly Column[], prefix = ''): string =>
  columns.map(({ name }) => `${prefix}${name}`).join(', ');

/** The table that COPY fills; its rows are gone when the transaction ends. */
export const INCOMING_TABLE =
  'CREATE TEMPORARY TABLE IF NOT EXISTS Incoming ' +
  `(${COLUMNS.map(({ name, type }) => `${name} ${type}`).join(', ')}) ON COMMIT DELETE ROWS`;

/** Writes what is in `Incoming`: certificates, changed rows and new rows. The rows are locked, or not there. */
const WRITE =
  'bodies AS (INSERT INTO CertificateBody SELECT bodyId, certificate FROM Incoming WHERE bodyId IS NOT NULL ORDER BY 1), ' +
  'added AS (UPDATE CertificateData AS d SET bodyId = i.bodyId FROM Incoming AS i ' +
  `WHERE i.kind = ${INCOMING_KIND.addBody} AND d.fingerprint = i.fingerprint), ` +
  `updated AS (UPDATE CertificateData AS d SET (bodyId, ${namesOf(STATE)}) = ` +
  `ROW (coalesce(i.bodyId, d.bodyId), ${namesOf(STATE, 'i.')}) FROM Incoming AS i ` +
  `WHERE i.kind = ${INCOMING_KIND.update} AND d.fingerprint = i.fingerprint) ` +
  `INSERT INTO CertificateData (fingerprint, bodyId, ${namesOf(STATE)}) ` +
  `SELECT fingerprint, bodyId, ${namesOf(STATE)} FROM Incoming WHERE kind = ${INCOMING_KIND.insert} ORDER BY fingerprint`;

/** After COPY. */
export const WRITE_COPIED = `WITH ${WRITE}`;

/** With the rows as values. */
export const WRITE_FEW =
  'WITH Incoming AS (SELECT * FROM unnest(' +
  `${COLUMNS.map(({ type }, index) => `$${index + 1}::${type}[]`).join(', ')}) AS i (${namesOf(COLUMNS)})), ${WRITE}`;

/** Values of WRITE_FEW. */
export function valuesOf(rows: readonly Incoming[]): readonly SqlValue[] {
  return COLUMNS.map(({ of }) => rows.map(of));
}

const CHUNK_BYTES = 256 * 1024;
const HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const END = Buffer.of(0xff, 0xff);
const TWO_32 = 0x1_0000_0000;

/** The rows in the binary form of COPY (PostgreSQL, SQL command COPY, Binary Format). */
export function* copyOf(rows: readonly Incoming[]): Generator<Uint8Array> {
  let parts: Uint8Array[] = [HEADER];
  let bytes = 0;
  for (const row of rows) {
    const encoded = tupleOf(row);
    parts.push(encoded);
    bytes += encoded.length;
    if (bytes < CHUNK_BYTES) continue;
    yield Buffer.concat(parts);
    parts = [];
    bytes = 0;
  }
  yield Buffer.concat([...parts, END]);
}

function tupleOf(incoming: Incoming): Uint8Array {
  const fields = COLUMNS.map(({ type, of }) => encodeField(type, of(incoming)));
  const tuple = Buffer.allocUnsafe(2 + fields.reduce((sum, field) => sum + 4 + (field?.length ?? 0), 0));
  let at = tuple.writeInt16BE(fields.length);
  for (const field of fields) {
    at = tuple.writeInt32BE(field?.length ?? -1, at);
    if (field === null) continue;
    tuple.set(field, at);
    at += field.length;
  }
  return tuple;
}

function encodeField(type: ColumnType, value: string | number | Uint8Array | null): Uint8Array | null {
  if (typeof value === 'string') return Buffer.from(value, 'utf8');
  if (typeof value !== 'number') return value;
  const field = Buffer.allocUnsafe(type === 'BIGINT' ? 8 : 4);
  if (type === 'INTEGER') field.writeInt32BE(value);
  else field.writeUInt32BE(value >>> 0, field.writeInt32BE(Math.floor(value / TWO_32)));
  return field;
}
