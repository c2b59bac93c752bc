/**
 * EJBCA on MariaDB or MySQL, through the optional package mysql2.
 */
import type { Readable } from 'node:stream';
import type { Connection, ConnectionOptions, SslOptions } from 'mysql2';
import { loadDriver } from './database-server.ts';
import type { EjbcaConfig, SqlConnection, SqlRow } from './ejbca-connection.ts';

const ROWS_PER_PIECE = 2_000;
const KEEP_ALIVE_DELAY_MS = 10_000;

/**
 * Connects.
 *
 * @param signal ends the attempt
 * @throws PeerError ERR_INVALID_CONFIG without the package; what the driver throws
 */
export async function connectMysql(config: EjbcaConfig, signal: AbortSignal): Promise<SqlConnection> {
  const { createConnection } = await loadDriver('mysql2', () => import('mysql2'));
  const connection = createConnection(optionsOf(config));
  const opened = new MysqlConnection(connection);
  signal.addEventListener('abort', () => connection.destroy(), { once: true });
  await new Promise<void>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    connection.connect((error) => (error === null ? resolve() : reject(error)));
  });
  return opened;
}

function optionsOf({ host, port, database, user, password, tls }: EjbcaConfig): ConnectionOptions {
  const ssl: SslOptions = { ...tls, rejectUnauthorized: true, verifyIdentity: true, minVersion: 'TLSv1.2' };
  return {
    host,
    port,
    database,
    user,
    password,
    rowsAsArray: true,
    enableKeepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    // The connect timeout is the caller's, and covers the whole of it.
    connectTimeout: 0,
    ...(tls === undefined ? {} : { ssl }),
  };
}

class MysqlConnection implements SqlConnection {
  readonly #connection: Connection;
  /** Results under way: a lost connection is told to nobody but the connection. */
  readonly #streams = new Set<Readable>();

  constructor(connection: Connection) {
    this.#connection = connection;
    // A connection that is lost while nobody asks shows at the next call.
    connection.on('error', (error: Error) => {
      for (const stream of this.#streams) stream.destroy(error);
    });
  }

  query(sql: string, values: readonly string[] = []): Promise<readonly SqlRow[]> {
    return new Promise((resolve, reject) => {
      const settle = (error: Error | null, rows: unknown): void => {
        if (error === null) resolve(Array.isArray(rows) ? rows : []);
        else reject(error);
      };
      // Values go beside the statement, not into it: the escaping of a client depends on the mode of the server.
      if (values.length > 0) this.#connection.execute(sql, [...values], settle);
      else this.#connection.query(sql, settle);
    });
  }

  async *scan(sql: string, values: readonly string[]): AsyncGenerator<readonly SqlRow[]> {
    const command = values.length > 0 ? this.#connection.execute(sql, [...values]) : this.#connection.query(sql);
    const stream = command.stream({ highWaterMark: ROWS_PER_PIECE });
    this.#streams.add(stream);
    let piece: SqlRow[] = [];
    let isComplete = false;
    try {
      for await (const row of stream) {
        piece.push(row as SqlRow);
        if (piece.length < ROWS_PER_PIECE) continue;
        yield piece;
        piece = [];
      }
      isComplete = true;
    } finally {
      this.#streams.delete(stream);
      // What is left of the result would still be read to its end.
      if (!isComplete) this.destroy();
    }
    if (piece.length > 0) yield piece;
  }

  async beginSnapshot(): Promise<void> {
    // On another level the consistent snapshot is silently none.
    await this.query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    await this.query('START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY');
  }

  quote(name: string): string {
    return `\`${name.replaceAll('`', '``')}\``;
  }

  end(): void {
    this.#connection.end(() => undefined);
  }

  destroy(): void {
    this.#connection.destroy();
  }
}
