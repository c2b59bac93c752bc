/**
 * A connection to PostgreSQL that is opened when it is needed, and again when it was lost.
 *
 * Work on one connection is done one after the other, in the order it was asked for.
 */
import { PeerError } from '../errors.ts';
import { checkServer, type DatabaseServer } from './database-server.ts';
import { isRepeatable, nameOf, toPostgresError } from './postgres-errors.ts';
import { openSession, type PostgresSession } from './postgres-session.ts';

/** A PostgreSQL database as an own store. Plain data. */
export interface PostgresConfig extends DatabaseServer {
  readonly kind: 'postgres';
}

const FIRST_PAUSE_MS = 100;
const LAST_PAUSE_MS = 5_000;
/** What others do at the same time may force a repetition; each time somebody has got on. */
const MAX_ATTEMPTS = 20;
const MAX_REPEAT_PAUSE_MS = 50;
/** Milliseconds that work under way has to come to its end when the store is closed. */
const CLOSE_TIMEOUT_MS = 10_000;

/** At most one session at a time. */
export class PostgresConnection {
  readonly #config: PostgresConfig;
  readonly #prepare: (session: PostgresSession) => Promise<void>;
  #session: PostgresSession | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #failures = 0;
  /** Until when nobody knocks at a server that has just not opened. */
  #pause: { readonly until: number; readonly error: PeerError } | undefined;

  /** @param prepare looks at the database, once per session */
  constructor(config: PostgresConfig, prepare: (session: PostgresSession) => Promise<void>) {
    this.#config = config;
    this.#prepare = prepare;
  }

  /**
   * Works in the session. After a failure of the database the next call connects anew.
   *
   * @throws PeerError ERR_STORE_UNAVAILABLE, ERR_STORE_FULL, ERR_STORE_NOT_A_DATABASE, ERR_INVALID_CONFIG,
   *   what the work throws
   */
  use<T>(work: (session: PostgresSession) => Promise<T>): Promise<T> {
    const done = this.#tail.then(() => this.#run(work));
    this.#tail = done.catch(() => undefined);
    return done;
  }

  /** The same for work that is one transaction; it is repeated where what others do at the same time forces it. */
  repeat<T>(work: (session: PostgresSession) => Promise<T>): Promise<T> {
    return this.use(async (session) => {
      for (let attempt = 1; ; attempt++) {
        try {
          return await work(session);
        } catch (error) {
          if (!isRepeatable(error) || session.isLost || attempt === MAX_ATTEMPTS) throw error;
          await pause(Math.random() * MAX_REPEAT_PAUSE_MS);
        }
      }
    });
  }

  /** Ends the session once nothing is under way, or after a while. */
  async close(): Promise<void> {
    const abort = new AbortController();
    await Promise.race([this.#tail, pause(CLOSE_TIMEOUT_MS, abort.signal)]);
    abort.abort();
    this.#session?.end();
    this.#session = undefined;
  }

  async #run<T>(work: (session: PostgresSession) => Promise<T>): Promise<T> {
    const session = await this.#open();
    try {
      return await work(session);
    } catch (error) {
      const failure = toPostgresError(error, this.#config);
      // Whatever the database was at odds with may be another database after all.
      if (!(error instanceof PeerError) || failure.code === 'ERR_STORE_UNAVAILABLE') session.destroy(failure);
      throw failure;
    }
  }

  async #open(): Promise<PostgresSession> {
    if (this.#session?.isLost === false) return this.#session;
    this.#session = undefined;
    if (this.#pause !== undefined && Date.now() < this.#pause.until) throw this.#pause.error;
    let session: PostgresSession | undefined;
    try {
      checkServer(this.#config, 'The PostgreSQL store');
      session = await openSession(this.#config);
      await this.#prepare(session);
    } catch (error) {
      session?.destroy(error);
      throw this.#rest(toPostgresError(error, this.#config));
    }
    this.#failures = 0;
    this.#pause = undefined;
    this.#session = session;
    return session;
  }

  #rest(error: PeerError): PeerError {
    const length = Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures++);
    this.#pause = { until: Date.now() + length, error };
    return error;
  }

  /** The database as people know it. */
  get name(): string {
    return nameOf(this.#config);
  }
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
