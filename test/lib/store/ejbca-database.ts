/**
 * Databases like those of EJBCA, on the running servers: the tables of its versions, and rows of every oddity.
 */
import { randomBytes } from 'node:crypto';
import mysql from 'mysql2/promise';
import pg from 'pg';
import type { CertificateData } from '../../../lib/store/certificate-data.ts';
import type { EjbcaConfig } from '../../../lib/store/ejbca-connection.ts';

export type Dialect = EjbcaConfig['dialect'];

/** A row as it is in the tables; what is not named is as in `rawRow`. */
export type RawRow = Record<string, string | number | null>;

/** How a site differs. */
export interface Variant {
  /** Columns that this version does not have. */
  readonly without?: readonly string[];
  /** MySQL only: how the tables are spelled. PostgreSQL: with `quoted` as EJBCA spells them. */
  readonly spelling?: 'lower' | 'quoted';
  readonly tables?: readonly string[];
  /** MySQL only. */
  readonly charset?: string;
}

const TYPES = {
  mysql: {
    text: 'VARCHAR(250) BINARY',
    long: 'LONGTEXT',
    dn: 'VARCHAR(767) BINARY',
    int: 'INT(11)',
    big: 'BIGINT(20)',
  },
  postgres: { text: 'text', long: 'text', dn: 'text', int: 'integer', big: 'bigint' },
} as const;

/** Name, type, and whether it must have a value, except that what EJBCA once left null may be null. */
const COLUMNS = [
  ['fingerprint', 'text', true],
  ['base64Cert', 'long', false],
  ['cAFingerprint', 'text', false],
  ['certificateProfileId', 'int', true],
  ['endEntityProfileId', 'int', false],
  ['crlPartitionIndex', 'int', false],
  ['expireDate', 'big', false],
  ['issuerDN', 'text', true],
  ['notBefore', 'big', false],
  ['invalidityDate', 'big', false],
  ['revocationDate', 'big', true],
  ['revocationReason', 'int', true],
  ['rowProtection', 'long', false],
  ['rowVersion', 'int', true],
  ['serialNumber', 'text', true],
  ['status', 'int', true],
  ['subjectAltName', 'long', false],
  ['subjectDN', 'dn', true],
  ['subjectKeyId', 'text', false],
  ['accountBindingId', 'text', false],
  ['tag', 'text', false],
  ['type', 'int', true],
  ['updateTime', 'big', true],
  ['username', 'text', false],
  ['certificateRequest', 'long', false],
] as const;

/** Columns that came after EJBCA 6.0. */
export const NEWER_COLUMNS = [
  'endEntityProfileId',
  'crlPartitionIndex',
  'notBefore',
  'invalidityDate',
  'subjectAltName',
  'accountBindingId',
  'certificateRequest',
] as const;

const PASSWORD = `se'c"r\\et ${randomBytes(9).toString('hex')}`;

/** Why a server cannot be used; undefined = it can. */
export async function reasonToSkip(dialect: Dialect): Promise<string | undefined> {
  try {
    const admin = await openAdmin(dialect, undefined);
    await admin.end();
    return undefined;
  } catch (error) {
    return String((error as { code?: string }).code ?? error);
  }
}

interface Admin {
  query(sql: string, values?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>;
  end(): Promise<void>;
}

async function openAdmin(dialect: Dialect, database: string | undefined): Promise<Admin> {
  if (dialect === 'mysql') {
    const connection = await mysql.createConnection({
      host: '127.0.0.1',
      user: 'root',
      ...(database === undefined ? {} : { database }),
    });
    const query = async (sql: string, values: readonly unknown[] = []) =>
      (await connection.query(sql, [...values]))[0] as Record<string, unknown>[];
    return { query, end: () => connection.end() };
  }
  const client = new pg.Client({ host: '127.0.0.1', user: 'postgres', database: database ?? 'test' });
  await client.connect();
  let number = 0;
  return {
    query: async (sql, values = []) => {
      number = 0;
      return (
        await client.query(
          sql.replaceAll('?', () => `$${++number}`),
          [...values],
        )
      ).rows;
    },
    end: () => client.end(),
  };
}

/** A database of its own with a user who may only SELECT. */
export class EjbcaDatabase {
  readonly dialect: Dialect;
  readonly config: EjbcaConfig;
  readonly #admin: Admin;
  #variant: Variant = {};

  constructor(dialect: Dialect, name: string, admin: Admin) {
    this.dialect = dialect;
    this.#admin = admin;
    const port = dialect === 'mysql' ? 3306 : 5432;
    this.config = { kind: 'ejbca', dialect, host: '127.0.0.1', port, database: name, user: name, password: PASSWORD };
  }

  static async create(dialect: Dialect): Promise<EjbcaDatabase> {
    const name = `ejbca_${process.pid}_${randomBytes(4).toString('hex')}`;
    const server = await openAdmin(dialect, undefined);
    await server.query(`CREATE DATABASE ${name}`);
    if (dialect === 'mysql') {
      await server.query(`CREATE USER ${name}@'127.0.0.1' IDENTIFIED BY ?`, [PASSWORD]);
      await server.query(`GRANT SELECT ON ${name}.* TO ${name}@'127.0.0.1'`);
    } else {
      await server.query(`CREATE ROLE ${name} LOGIN PASSWORD '${PASSWORD.replaceAll("'", "''")}'`);
    }
    await server.end();
    const admin = await openAdmin(dialect, name);
    if (dialect === 'postgres')
      await admin.query(`ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO ${name}`);
    return new EjbcaDatabase(dialect, name, admin);
  }

  sql(sql: string, values: readonly unknown[] = []): Promise<readonly Record<string, unknown>[]> {
    return this.#admin.query(sql, values);
  }

  /** Empty tables of a variant in place of those that are there. */
  async reset(variant: Variant = {}): Promise<void> {
    const names = await this.#tableNames();
    if (names.length > 0 && JSON.stringify(variant) === JSON.stringify(this.#variant)) {
      // Several times as fast as making them anew.
      for (const name of names) await this.sql(`DELETE FROM ${this.#quote(name)}`);
      return;
    }
    for (const name of names) await this.sql(`DROP TABLE ${this.#quote(name)}`);
    this.#variant = variant;
    const tables = variant.tables ?? ['CertificateData', 'NoConflictCertificateData', 'Base64CertData'];
    for (const table of tables) await this.sql(this.#createTable(table));
    if (tables.includes('NoConflictCertificateData')) {
      const [table, column] = [this.name('NoConflictCertificateData'), this.#column('fingerprint')];
      await this.sql(`CREATE INDEX noconflictcertificatedata_idx2 ON ${table} (${column})`);
    }
  }

  /** A table as this variant spells it, quoted. */
  name(table: string): string {
    const isFolded =
      this.dialect === 'mysql' ? this.#variant.spelling === 'lower' : this.#variant.spelling !== 'quoted';
    return this.#quote(isFolded ? table.toLowerCase() : table);
  }

  /** Puts rows into a table; those columns that this variant does not have are left out. */
  async insert(table: string, rows: readonly RawRow[]): Promise<void> {
    const names = Object.keys(rows[0] ?? {}).filter((name) => !(this.#variant.without ?? []).includes(name));
    const columns = names.map((name) => this.#column(name)).join();
    for (let at = 0; at < rows.length; at += 1_000) {
      const some = rows.slice(at, at + 1_000);
      const tuple = `(${names.map(() => '?').join()})`;
      const values = some.flatMap((row) => names.map((name) => row[name]));
      await this.sql(`INSERT INTO ${this.name(table)} (${columns}) VALUES ${some.map(() => tuple).join()}`, values);
    }
  }

  /** Takes all rights from the user. */
  async revoke(): Promise<void> {
    const { user } = this.config;
    if (this.dialect === 'mysql') await this.sql(`REVOKE ALL PRIVILEGES, GRANT OPTION FROM ${this.grantee}`);
    else await this.sql(`REVOKE ALL ON ALL TABLES IN SCHEMA public FROM ${user}`);
  }

  /** Gives them back. */
  async grant(): Promise<void> {
    const { user, database } = this.config;
    await this.revoke();
    if (this.dialect === 'mysql') await this.sql(`GRANT SELECT ON ${database}.* TO ${this.grantee}`);
    else await this.sql(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${user}`);
  }

  get grantee(): string {
    return this.dialect === 'mysql' ? `${this.config.user}@'127.0.0.1'` : this.config.user;
  }

  /** Connections of the user. */
  async connections(): Promise<number> {
    const { user } = this.config;
    const sql =
      this.dialect === 'mysql'
        ? 'SELECT COUNT(*) AS n FROM information_schema.PROCESSLIST WHERE USER = ?'
        : 'SELECT count(*) AS n FROM pg_stat_activity WHERE usename = ?';
    return Number((await this.sql(sql, [user]))[0]?.['n']);
  }

  /** Ends the connections of the user from the side of the server; gives how many there were. */
  async kill(): Promise<number> {
    const { count, kill } = await this.aim();
    await kill();
    return count;
  }

  /** What `kill` does, in two steps. */
  async aim(): Promise<{ readonly count: number; readonly kill: () => Promise<unknown> }> {
    const sql =
      this.dialect === 'mysql'
        ? 'SELECT ID AS id FROM information_schema.PROCESSLIST WHERE USER = ?'
        : 'SELECT pid AS id FROM pg_stat_activity WHERE usename = ?';
    const ids = (await this.sql(sql, [this.config.user])).map(({ id }) => Number(id));
    const one = (id: number): string =>
      this.dialect === 'mysql' ? `KILL ${id}` : `SELECT pg_terminate_backend(${id})`;
    return { count: ids.length, kill: () => Promise.all(ids.map((id) => this.sql(one(id)).catch(() => undefined))) };
  }

  async drop(): Promise<void> {
    const { database, user } = this.config;
    await this.kill();
    await this.#admin.end();
    const server = await openAdmin(this.dialect, undefined);
    if (this.dialect === 'mysql') {
      await server.query(`DROP DATABASE ${database}`);
      await server.query(`DROP USER ${user}@'127.0.0.1'`);
    } else {
      await server.query(`DROP DATABASE ${database} WITH (FORCE)`);
      await server.query(`DROP ROLE ${user}`);
    }
    await server.end();
  }

  async #tableNames(): Promise<readonly string[]> {
    const schema = this.dialect === 'mysql' ? 'DATABASE()' : "'public'";
    const sql = `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ${schema}`;
    return (await this.sql(sql)).map(({ name }) => String(name));
  }

  #createTable(table: string): string {
    const types = TYPES[this.dialect];
    const key = table === 'NoConflictCertificateData' ? 'id' : 'fingerprint';
    const all =
      table === 'Base64CertData'
        ? COLUMNS.filter(([name]) => ['fingerprint', 'base64Cert', 'rowProtection', 'rowVersion'].includes(name))
        : COLUMNS.filter(([name]) => !(this.#variant.without ?? []).includes(name));
    const columns = all.map(
      ([name, type, isRequired]) => `${this.#column(name)} ${types[type]}${isRequired ? ' NOT NULL' : ''}`,
    );
    if (key === 'id') columns.push(`id ${types.text} NOT NULL`);
    const options = this.dialect === 'mysql' ? `CHARSET ${this.#variant.charset ?? 'utf8mb3'}` : '';
    return `CREATE TABLE ${this.name(table)} (${columns.join()}, PRIMARY KEY (${this.#column(key)})) ${options}`;
  }

  #column(name: string): string {
    if (this.dialect === 'mysql') return this.#quote(name);
    return this.#quote(this.#variant.spelling === 'quoted' ? name : name.toLowerCase());
  }

  #quote(name: string): string {
    return this.dialect === 'mysql' ? `\`${name}\`` : `"${name}"`;
  }
}

/** The row of CertificateData that EJBCA would have of this certificate data. */
export function rawRow(data: CertificateData, change: RawRow = {}): RawRow {
  const { caFingerprint, certificate, ...columns } = data;
  return {
    ...columns,
    cAFingerprint: caFingerprint,
    base64Cert: certificate === null ? null : Buffer.from(certificate).toString('base64'),
    rowVersion: 0,
    ...change,
  };
}
