/**
 * One open connection to PostgreSQL: statements, COPY and transactions, each with a time limit.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client } from 'pg';
import { PeerError } from '../errors.ts';
import { type DatabaseServer, loadDriver } from './database-server.ts';
import { destroyClient, openClient, POSTGRES_TYPES } from './postgres-client.ts';
import { nameOf } from './postgres-errors.ts';

const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 60_000;
const LOCK_TIMEOUT_MS = 30_000;
/** A server that says nothing for so long, though it should have given up itself, is out of reach. */
const ANSWER_TIMEOUT_MS = 75_000;

/** An operator's stricter `remote_apply` stays; what loses commits in a crash does not. */
const SETTINGS = `
  SET statement_timeout = ${STATEMENT_TIMEOUT_MS};
  SET lock_timeout = ${LOCK_TIMEOUT_MS};
  SET idle_in_transaction_session_timeout = ${STATEMENT_TIMEOUT_MS};
  SET client_min_messages = warning;
  SET bytea_output = 'hex';
  SET application_name = 'node-red-ejbca-peers';
  SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')
`;

/** A value of a statement; arrays become arrays of PostgreSQL. */
export type SqlValue = string | number | boolean | Uint8Array | null | readonly SqlValue[];

type CopyFrom = typeof import('pg-copy-streams').from;

/** Values of one row in the order of the SELECT: whole numbers, truth values, texts; bytes as `\x` and digits. */
export type PostgresRow = readonly unknown[];

/** Statements of one connection. Every call throws what the driver throws. */
export class PostgresSession {
  readonly #client: Client;
  readonly #copyFrom: CopyFrom;
  readonly #name: string;
  #lost: unknown;
  #warning: string | undefined;

  constructor(client: Client, copyFrom: CopyFrom, name: string) {
    this.#client = client;
    this.#copyFrom = copyFrom;
    this.#name = name;
    client.on('error', (error) => this.destroy(error));
    client.on('end', () => this.destroy(new Error('The connection was ended')));
    client.on('notice', ({ message }) => {
      this.#warning = message;
    });
  }

  /** Whether nothing can be asked any more. */
  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** One statement; several, separated by semicolons, when there are no values. Gives the rows of a single one. */
  async query(text: string, values?: readonly SqlValue[]): Promise<readonly PostgresRow[]> {
    const query = { text, rowMode: 'array' as const, types: POSTGRES_TYPES, ...(values && { values: [...values] }) };
    const { rows } = await this.#inTime(() => this.#client.query(query));
    return rows ?? [];
  }

  /** Copies into a table what is encoded in the binary form of COPY. */
  async copy(into: string, chunks: Iterable<Uint8Array>): Promise<void> {
    await this.#inTime(() =>
      pipeline(Readable.from(chunks), this.#client.query(this.#copyFrom(`COPY ${into} FROM STDIN (FORMAT binary)`))),
    );
  }

  /**
   * Does the work in a transaction that ends with it. A commit whose answer is lost is an error: whoever is told so
   * repeats what they wrote, which changes nothing when it is there already.
   *
   * @param lock a statement that takes a lock before anything is read
   */
  async transact<T>(work: () => Promise<T>, lock = ''): Promise<T> {
    await this.query(`BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; ${lock}`);
    try {
      const result = await work();
      await this.#commit();
      return result;
    } catch (error) {
      if (!this.isLost) await this.query('ROLLBACK').catch((failure) => this.destroy(failure));
      throw error;
    }
  }

  /** Ends it at once; what is under way fails. */
  destroy(reason: unknown): void {
    if (this.isLost) return;
    this.#lost = reason ?? new Error('The connection is lost');
    destroyClient(this.#client);
  }

  /** Ends it politely. */
  end(): void {
    if (this.isLost) return;
    this.#lost = new Error('The connection is closed');
    this.#client.end().catch(() => undefined);
  }

  async #commit(): Promise<void> {
    this.#warning = undefined;
    const { command } = await this.#inTime(() => this.#client.query('COMMIT'));
    // A transaction in which something failed answers ROLLBACK; one that gave up waiting for its standby only warns.
    const failure = command === 'COMMIT' ? this.#warning : 'the transaction was undone';
    if (failure !== undefined)
      throw new PeerError('ERR_STORE_UNAVAILABLE', `The ${this.#name} did not commit safely: ${failure}`);
  }

  async #inTime<T>(work: () => Promise<T>): Promise<T> {
    if (this.isLost) throw this.#lost;
    const late = new PeerError('ERR_STORE_UNAVAILABLE', `The ${this.#name} did not answer in ${ANSWER_TIMEOUT_MS} ms`);
    const timer = setTimeout(() => this.destroy(late), ANSWER_TIMEOUT_MS);
    try {
      return await work();
    } catch (error) {
      throw this.#lost === late ? late : error;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Connects and prepares the session. @throws PeerError, what the driver throws */
export async function openSession(server: DatabaseServer): Promise<PostgresSession> {
  const name = nameOf(server);
  const abort = new AbortController();
  const late = new PeerError('ERR_STORE_UNAVAILABLE', `The ${name} did not answer within ${CONNECT_TIMEOUT_MS} ms`);
  const timer = setTimeout(() => abort.abort(late), CONNECT_TIMEOUT_MS);
  try {
    // At once, though only many rows need it: what is missing is told at the deploy.
    const { from } = await loadDriver('pg-copy-streams', async () => (await import('pg-copy-streams')).default);
    const session = new PostgresSession(await openClient(server, abort.signal), from, name);
    await session.query(SETTINGS);
    return session;
  } catch (error) {
    abort.abort(error);
    throw abort.signal.reason;
  } finally {
    clearTimeout(timer);
  }
}
