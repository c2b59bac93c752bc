/**
 * EJBCA on PostgreSQL, through the optional package pg.
 */
import type { Client, ClientConfig, CustomTypesConfig } from 'pg';
import { type EjbcaConfig, loadDriver, type SqlConnection, type SqlRow } from './ejbca-connection.ts';

const ROWS_PER_PIECE = 5_000;
const KEEP_ALIVE_DELAY_MS = 10_000;
/** Object identifiers of the types of whole numbers: int8, int2, int4. */
const NUMBERS: ReadonlySet<number> = new Set([20, 21, 23]);
/** Everything else stays the text it came as. */
const TYPES = {
  getTypeParser: (oid: number) => (NUMBERS.has(oid) ? Number : String),
} as unknown as CustomTypesConfig;

/**
 * Connects.
 *
 * @param signal ends the attempt
 * @throws PeerError ERR_INVALID_CONFIG without the package; what the driver throws
 */
export async function connectPostgres(config: EjbcaConfig, signal: AbortSignal): Promise<SqlConnection> {
  const { Client } = await loadDriver('pg', () => import('pg'));
  const client = new Client(optionsOf(config));
  // A connection that is lost while nobody asks shows at the next call.
  client.on('error', () => undefined);
  const connection = new PostgresConnection(client);
  signal.addEventListener('abort', () => connection.destroy(), { once: true });
  await new Promise<void>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    client.connect().then(() => resolve(), reject);
  });
  return connection;
}

/** Nothing is left to the environment variables that the driver looks at otherwise. */
function optionsOf({ host, port, database, user, password, tls }: EjbcaConfig): ClientConfig {
  return {
    host,
    port,
    database,
    user,
    password: () => password,
    ssl: tls === undefined ? false : { ...tls, host, minVersion: 'TLSv1.2' },
    client_encoding: 'UTF8',
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    connectionTimeoutMillis: 0,
  };
}

class PostgresConnection implements SqlConnection {
  readonly #client: Client;
  #cursors = 0;

  constructor(client: Client) {
    this.#client = client;
  }

  async query(sql: string, values: readonly string[] = []): Promise<readonly SqlRow[]> {
    let number = 0;
    const text = sql.replaceAll('?', () => `$${++number}`);
    const { rows } = await this.#client.query({ text, values: [...values], rowMode: 'array', types: TYPES });
    return rows;
  }

  async *scan(sql: string, values: readonly string[]): AsyncGenerator<readonly SqlRow[]> {
    const cursor = `ejbca_scan_${++this.#cursors}`;
    await this.query(`DECLARE ${cursor} NO SCROLL CURSOR FOR ${sql}`, values);
    const next = () => this.query(`FETCH ${ROWS_PER_PIECE} FROM ${cursor}`);
    for (let coming = next(); ; ) {
      const piece = await coming;
      if (piece.length === 0) break;
      // Read while this one is being worked on.
      coming = next();
      coming.catch(() => undefined);
      yield piece;
    }
    await this.query(`CLOSE ${cursor}`);
  }

  async beginSnapshot(): Promise<void> {
    await this.query('BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY');
    // A cursor is read to its end; planned for its first rows it would be slower. This takes the snapshot, too.
    await this.query('SET LOCAL cursor_tuple_fraction = 1');
    await this.query('SELECT 1');
  }

  quote(name: string): string {
    return `"${name.replaceAll('"', '""')}"`;
  }

  end(): void {
    this.#client.end().catch(() => undefined);
  }

  destroy(): void {
    // The polite way waits for what is under way.
    const { connection } = this.#client as unknown as { connection: { stream: { destroy(): void } } };
    connection.stream.destroy();
  }
}
