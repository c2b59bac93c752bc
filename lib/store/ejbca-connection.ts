/**
 * One connection to a database of EJBCA, whatever makes the database.
 *
 * Owns what is asked of a connection, its configuration and how its failures are told. The drivers are in
 * `ejbca-mysql.ts` and `ejbca-postgres.ts`.
 */
import { isIP } from 'node:net';
import { PeerError } from '../errors.ts';
import { checkServer, type DatabaseServer, detailOf } from './database-server.ts';

/** Where an EJBCA database is and who reads it; the user needs nothing but SELECT. Plain data. */
export interface EjbcaConfig extends DatabaseServer {
  readonly kind: 'ejbca';
  /** `mysql` is MariaDB, too. */
  readonly dialect: 'mysql' | 'postgres';
}

/** Values of one row in the order of the SELECT. */
export type SqlRow = readonly unknown[];

/** An open connection. A statement has `?` where a value goes. Every call throws what the driver throws. */
export interface SqlConnection {
  query(sql: string, values?: readonly string[]): Promise<readonly SqlRow[]>;
  /** A result of any length, in pieces; inside a transaction. Breaking off leaves the connection unusable. */
  scan(sql: string, values: readonly string[]): AsyncIterable<readonly SqlRow[]>;
  /** Begins a transaction that sees the present state until the connection is closed, and cannot write. */
  beginSnapshot(): Promise<void>;
  /** Quotes the name of a table or column. */
  quote(name: string): string;
  /** Ends it once nothing is under way. */
  end(): void;
  /** Ends it at once. What is under way may never be answered. */
  destroy(): void;
}

/** Refuses what cannot be a configuration. @throws PeerError ERR_INVALID_CONFIG */
export function checkEjbcaConfig(config: EjbcaConfig): void {
  const { dialect, host, tls } = config;
  const refuse = (what: string): never => {
    throw new PeerError('ERR_INVALID_CONFIG', `The EJBCA database has ${what}`);
  };
  if (dialect !== 'mysql' && dialect !== 'postgres') refuse(`an unknown dialect '${String(dialect)}'`);
  checkServer(config, 'The EJBCA database');
  // The driver would look for `localhost` in the certificate.
  if (dialect === 'mysql' && tls !== undefined && isIP(host) !== 0)
    refuse(`the address ${host}; TLS needs a host name`);
}

/** What the server says when the user, the password or the database is not the right one. */
const CONFIG_REFUSALS: ReadonlySet<string> = new Set([
  'ER_ACCESS_DENIED_ERROR',
  'ER_DBACCESS_DENIED_ERROR',
  'ER_BAD_DB_ERROR',
  '28000',
  '28P01',
  '3D000',
]);

/** What a driver says, as an error of this package. */
export function toEjbcaError(error: unknown, config: EjbcaConfig): PeerError {
  if (error instanceof PeerError) return error;
  const { code } = error as { code?: unknown };
  const isRefusal = typeof code === 'string' && CONFIG_REFUSALS.has(code);
  return new PeerError(
    isRefusal ? 'ERR_INVALID_CONFIG' : 'ERR_STORE_UNAVAILABLE',
    `The ${nameOf(config)} cannot be used: ${detailOf(error)}`,
    {
      cause: error,
    },
  );
}

/** The database as people know it. */
export function nameOf({ host, port, database }: EjbcaConfig): string {
  return `EJBCA database ${database} at ${host}:${port}`;
}
