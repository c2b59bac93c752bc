/**
 * The tables of an EJBCA database as they are: spelling, schema and columns differ by version and by site.
 *
 * PostgreSQL folds names to lower case, MySQL tells tables apart by case; columns came with versions 6.6 to 8;
 * certificates may be in a table of their own; and a site may grant some columns only.
 */
import { PeerError } from '../errors.ts';
import type { SqlConnection } from './ejbca-connection.ts';

/** A table that can be read. */
export interface EjbcaTable {
  /** Quoted. */
  readonly name: string;
  /** Quoted columns by their name in EJBCA's spelling, folded to lower case. */
  readonly columns: ReadonlyMap<string, string>;
}

/** What there is to read. */
export interface EjbcaTables {
  readonly certificates: EjbcaTable;
  /** Where one fingerprint may have several rows. */
  readonly noConflict: EjbcaTable | undefined;
  /** Certificates by fingerprint, of rows without one of their own. */
  readonly bodies: EjbcaTable | undefined;
}

const TABLES = {
  certificates: 'CertificateData',
  noConflict: 'NoConflictCertificateData',
  bodies: 'Base64CertData',
} as const;
/** Without them there is no certificate data. */
const REQUIRED = [
  'fingerprint',
  'issuerDN',
  'serialNumber',
  'status',
  'revocationDate',
  'revocationReason',
  'expireDate',
  'updateTime',
] as const;

const NAMES = Object.values(TABLES)
  .map((name) => `'${name.toLowerCase()}'`)
  .join();

/** Names only what the user may read. Schemas in the order in which they are searched. */
const COLUMNS_SQL = {
  mysql:
    'SELECT NULL, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS ' +
    `WHERE TABLE_SCHEMA = DATABASE() AND LOWER(TABLE_NAME) IN (${NAMES})`,
  postgres:
    'SELECT table_schema, table_name, column_name FROM information_schema.columns ' +
    `WHERE table_schema::text = ANY (current_schemas(false)::text[]) AND lower(table_name) IN (${NAMES}) ` +
    'ORDER BY array_position(current_schemas(false)::text[], table_schema::text)',
} as const;

interface Found extends EjbcaTable {
  /** As the database spells it. */
  readonly spelling: string;
  readonly columns: Map<string, string>;
}

/**
 * Looks at what is there.
 *
 * @throws PeerError ERR_STORE_NOT_A_DATABASE when it is not an EJBCA database, or not readable for the user
 */
export async function findTables(connection: SqlConnection, dialect: keyof typeof COLUMNS_SQL): Promise<EjbcaTables> {
  const found = new Map<string, Found>();
  for (const [schema, table, column] of await connection.query(COLUMNS_SQL[dialect])) {
    const spelling = String(table);
    const quoted = connection.quote(spelling);
    const name = schema === null ? quoted : `${connection.quote(String(schema))}.${quoted}`;
    const known = found.get(name) ?? { name, spelling, columns: new Map<string, string>() };
    found.set(name, known);
    known.columns.set(String(column).toLowerCase(), connection.quote(String(column)));
  }
  const all = [...found.values()];
  const certificates = pickTable(all, TABLES.certificates);
  if (certificates === undefined) {
    throw new PeerError('ERR_STORE_NOT_A_DATABASE', `There is no table ${TABLES.certificates} that the user may read`);
  }
  requireColumns(certificates, REQUIRED);
  const noConflict = pickTable(all, TABLES.noConflict);
  if (noConflict !== undefined) requireColumns(noConflict, ['id', ...REQUIRED]);
  const bodies = pickTable(all, TABLES.bodies);
  if (bodies !== undefined) requireColumns(bodies, ['fingerprint', 'base64Cert']);
  return { certificates, noConflict, bodies };
}

/** EJBCA's own spelling before any other, the schema searched first before the next. */
function pickTable(found: readonly Found[], name: string): Found | undefined {
  const folded = found.filter(({ spelling }) => spelling.toLowerCase() === name.toLowerCase());
  return folded.find(({ spelling }) => spelling === name) ?? folded[0];
}

function requireColumns({ spelling, columns }: Found, required: readonly string[]): void {
  const missing = required.filter((name) => !columns.has(name.toLowerCase()));
  if (missing.length === 0) return;
  throw new PeerError(
    'ERR_STORE_NOT_A_DATABASE',
    `The table ${spelling} has no column ${missing.join(', ')} that the user may read`,
  );
}
