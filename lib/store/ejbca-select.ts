/**
 * The SELECT statements over EJBCA's tables.
 *
 * Only quoted names, numbers and hexadecimal digits are put into the text; everything else goes beside it.
 */
import type { EjbcaTable, EjbcaTables } from './ejbca-tables.ts';
import { type RowFilter, statusesOf } from './row-filter.ts';

/** What is read of the certificate itself: nothing, whether it is there, all of it. */
export type BodyChoice = 'none' | 'presence' | 'whole';

/** Columns of a row in the order in which `ejbca-row.ts` reads them; the certificate follows. */
const COLUMNS = [
  'fingerprint',
  'issuerDN',
  'subjectDN',
  'serialNumber',
  'status',
  'revocationReason',
  'revocationDate',
  'updateTime',
  'expireDate',
  'notBefore',
  'cAFingerprint',
  'subjectKeyId',
  'type',
  'tag',
  'crlPartitionIndex',
  'certificateProfileId',
  'username',
] as const;

/** EJBCA writes these two at start to learn whether an index is there, and may leave them behind. */
export const INDEX_TEST_FINGERPRINTS: ReadonlySet<string> = new Set([
  'caba75f68c833c3c2d33f3f5052b7d5a76e80383',
  '05a219d835622653192c30eeeee8f01f918b30fb',
]);
const INDEX_TEST_ROWS = Array.from(INDEX_TEST_FINGERPRINTS, (fingerprint) => `'${fingerprint}'`).join();

const REVOKED = 40;

/** A condition, and the values that go beside it. */
export interface Condition {
  /** Begins with ` AND `, or is empty. */
  readonly sql: string;
  readonly values: readonly string[];
}

/** The rows of a table, one for each fingerprint; conditions can follow. Its alias is c. */
export function selectRows(tables: EjbcaTables, table: EjbcaTable, body: BodyChoice): string {
  const items = COLUMNS.map((name) => columnOf(table, name));
  return `SELECT ${[...items, bodyOf(tables, table, body)].join()} ${fromRows(tables, table)}`;
}

/** Rows, revoked ones, and those with a certificate. */
export function selectCounts(tables: EjbcaTables, table: EjbcaTable): string {
  const revoked = `SUM(CASE WHEN ${columnOf(table, 'status')} = ${REVOKED} THEN 1 ELSE 0 END)`;
  return `SELECT COUNT(*), ${revoked}, SUM(${bodyOf(tables, table, 'presence')}) ${fromRows(tables, table)}`;
}

/** All issuers. */
export function selectIssuers(table: EjbcaTable): string {
  return `SELECT DISTINCT ${columnOf(table, 'issuerDN')} FROM ${table.name} c`;
}

/** A column of a table; NULL where this version of EJBCA has none. */
export function columnOf(table: EjbcaTable, name: string, alias = 'c'): string {
  const column = table.columns.get(name.toLowerCase());
  return column === undefined ? 'NULL' : `${alias}.${column}`;
}

/**
 * A row filter as a condition.
 *
 * @param issuers the only issuers that are meant; undefined = all
 */
export function conditionOf(table: EjbcaTable, filter: RowFilter, issuers: readonly string[] | undefined): Condition {
  const parts: string[] = [];
  const statuses = statusesOf(filter.status);
  if (statuses !== undefined) parts.push(`${columnOf(table, 'status')} IN (${statuses.join()})`);
  const { changedSince, expiredBefore } = filter;
  if (changedSince > 0) parts.push(`${columnOf(table, 'updateTime')} >= ${Math.trunc(changedSince)}`);
  if (expiredBefore > 0) {
    const expireDate = columnOf(table, 'expireDate');
    parts.push(`(${expireDate} IS NULL OR ${expireDate} = -1 OR ${expireDate} >= ${Math.trunc(expiredBefore)})`);
  }
  if (issuers?.length === 0) parts.push('1 = 0');
  else if (issuers !== undefined) parts.push(`${columnOf(table, 'issuerDN')} IN (${issuers.map(() => '?').join()})`);
  return { sql: parts.map((part) => ` AND ${part}`).join(''), values: issuers ?? [] };
}

function fromRows(tables: EjbcaTables, table: EjbcaTable): string {
  const fingerprint = columnOf(table, 'fingerprint');
  const own = `FROM ${table.name} c WHERE ${fingerprint} NOT IN (${INDEX_TEST_ROWS})`;
  if (table !== tables.noConflict) return own;
  // EJBCA looks into the other table first; of several rows the newest counts, and at equal times always the same.
  const other = `SELECT 1 FROM ${tables.certificates.name} o WHERE ${columnOf(tables.certificates, 'fingerprint', 'o')} = ${fingerprint}`;
  const newer = `${columnOf(table, 'updateTime', 'n')} > ${columnOf(table, 'updateTime')}`;
  const same = `${columnOf(table, 'updateTime', 'n')} = ${columnOf(table, 'updateTime')}`;
  const later = `${columnOf(table, 'id', 'n')} > ${columnOf(table, 'id')}`;
  const double =
    `SELECT 1 FROM ${table.name} n WHERE ${columnOf(table, 'fingerprint', 'n')} = ${fingerprint} ` +
    `AND (${newer} OR (${same} AND ${later}))`;
  return `${own} AND NOT EXISTS (${other}) AND NOT EXISTS (${double})`;
}

function bodyOf({ bodies }: EjbcaTables, table: EjbcaTable, body: BodyChoice): string {
  if (body === 'none') return 'NULL';
  const own = columnOf(table, 'base64Cert');
  let other = 'NULL';
  if (bodies !== undefined) {
    // A scalar subquery is asked row by row; an EXISTS may make PostgreSQL read the whole other table for one page.
    const base64Cert = columnOf(bodies, 'base64Cert', 'b');
    const item = body === 'whole' ? base64Cert : '1';
    other =
      `(SELECT ${item} FROM ${bodies.name} b WHERE ${columnOf(bodies, 'fingerprint', 'b')} = ` +
      `${columnOf(table, 'fingerprint')} AND ${base64Cert} IS NOT NULL)`;
  }
  if (body === 'whole') return `COALESCE(${own}, ${other})`;
  return `CASE WHEN ${own} IS NOT NULL THEN 1 WHEN ${other} IS NOT NULL THEN 1 ELSE 0 END`;
}
