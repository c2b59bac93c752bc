/**
 * Connections to an EJBCA database for as long as they are used.
 */
import { PeerError } from '../errors.ts';
import { type EjbcaConfig, nameOf, type SqlConnection, toEjbcaError } from './ejbca-connection.ts';
import { GuardedConnection } from './ejbca-guard.ts';
import { connectMysql } from './ejbca-mysql.ts';
import { connectPostgres } from './ejbca-postgres.ts';
import { type EjbcaTable, type EjbcaTables, findTables } from './ejbca-tables.ts';
import type { RangeSums } from './range-sums.ts';

const CONNECT_TIMEOUT_MS = 5_000;
/** For each piece of a result: the first one of a large table may need sorting. */
const SNAPSHOT_TIMEOUT_MS = 300_000;
const LOOKUP_TIMEOUT_MS = 30_000;

/** An open connection and what is known of its database. */
export interface EjbcaSession {
  readonly connection: SqlConnection;
  readonly tables: EjbcaTables;
  /** Things that stay the same for as long as the snapshot does. */
  readonly memory: { issuers?: readonly string[]; readonly sums: Map<string, RangeSums> } | undefined;
}

interface Entry {
  readonly session: Promise<EjbcaSession>;
  users: number;
  isRetired: boolean;
  timer: NodeJS.Timeout | undefined;
}

/** How connections are to be. */
export interface SessionOptions {
  /** Whether all of a session is read from one snapshot. */
  readonly isSnapshot: boolean;
  /** Milliseconds without a call after which a session is ended. */
  readonly idleMs: number;
}

/** At most one session that is given out, and those that are still being used after it was retired. */
export class EjbcaSessions {
  readonly #config: EjbcaConfig;
  readonly #options: SessionOptions;
  #entry: Entry | undefined;

  constructor(config: EjbcaConfig, options: SessionOptions) {
    this.#config = config;
    this.#options = options;
  }

  /** Whether there is a session, so that no new one is begun by a call. */
  get isOpen(): boolean {
    return this.#entry !== undefined;
  }

  /**
   * Works in the session; begins one when there is none. After a failure of the database the next call begins anew.
   *
   * @throws PeerError ERR_STORE_UNAVAILABLE, ERR_INVALID_CONFIG, ERR_STORE_NOT_A_DATABASE, what the work throws
   */
  async use<T>(work: (session: EjbcaSession) => Promise<T>): Promise<T> {
    this.#entry ??= newEntry(openSession(this.#config, this.#options.isSnapshot));
    const entry = this.#entry;
    entry.users += 1;
    clearTimeout(entry.timer);
    let isUsable = false;
    try {
      const session = await entry.session;
      isUsable = true;
      return await work(session);
    } catch (error) {
      // A transaction in which something failed, or a connection that is gone, is of no more use.
      if (!(isUsable && error instanceof PeerError && error.code !== 'ERR_STORE_UNAVAILABLE')) this.#retire(entry);
      throw toEjbcaError(error, this.#config);
    } finally {
      entry.users -= 1;
      if (entry.users === 0) this.#rest(entry);
    }
  }

  /** The next call begins a session of its own; who still works in this one ends there. */
  renew(): void {
    if (this.#entry !== undefined) this.#retire(this.#entry);
  }

  /** Ends the session, also one in use. */
  async close(): Promise<void> {
    const entry = this.#entry;
    if (entry === undefined) return;
    this.#retire(entry);
    (await entry.session.catch(() => undefined))?.connection.destroy();
  }

  #retire(entry: Entry): void {
    if (this.#entry === entry) this.#entry = undefined;
    entry.isRetired = true;
    clearTimeout(entry.timer);
    if (entry.users === 0) void end(entry);
  }

  #rest(entry: Entry): void {
    if (entry.isRetired) return void end(entry);
    entry.timer = setTimeout(() => this.#retire(entry), this.#options.idleMs).unref();
  }
}

/** Opens a session that is the caller's to end. @throws what the driver throws */
export async function openSession(config: EjbcaConfig, isSnapshot: boolean): Promise<EjbcaSession> {
  const connect = config.dialect === 'mysql' ? connectMysql : connectPostgres;
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(tooLate(config)), CONNECT_TIMEOUT_MS);
  try {
    const timeoutMs = isSnapshot ? SNAPSHOT_TIMEOUT_MS : LOOKUP_TIMEOUT_MS;
    const connection = new GuardedConnection(await connect(config, abort.signal), timeoutMs, nameOf(config));
    abort.signal.addEventListener('abort', () => connection.destroy(abort.signal.reason), { once: true });
    // The snapshot first, so that what is found is what will be read.
    if (isSnapshot) await connection.beginSnapshot();
    const found = await findTables(connection, config.dialect);
    // In a snapshot an empty table, as it is at most sites, stays empty.
    const isSimple = isSnapshot && (await isEmpty(connection, found.noConflict));
    const tables = isSimple ? { ...found, noConflict: undefined } : found;
    return { connection, tables, memory: isSnapshot ? { sums: new Map() } : undefined };
  } catch (error) {
    abort.abort(error);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function isEmpty(connection: SqlConnection, table: EjbcaTable | undefined): Promise<boolean> {
  return table !== undefined && (await connection.query(`SELECT 1 FROM ${table.name} LIMIT 1`)).length === 0;
}

function tooLate(config: EjbcaConfig): PeerError {
  return new PeerError('ERR_STORE_UNAVAILABLE', `The ${nameOf(config)} did not answer within ${CONNECT_TIMEOUT_MS} ms`);
}

function newEntry(session: Promise<EjbcaSession>): Entry {
  return { session, users: 0, isRetired: false, timer: undefined };
}

async function end({ session }: Entry): Promise<void> {
  const opened = await session.catch(() => undefined);
  opened?.connection.end();
}
