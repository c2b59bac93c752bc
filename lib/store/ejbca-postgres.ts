/**
 * EJBCA on PostgreSQL.
 */
import type { Client } from 'pg';
import type { EjbcaConfig, SqlConnection, SqlRow } from './ejbca-connection.ts';
import { destroyClient, openClient, POSTGRES_TYPES } from './postgres-client.ts';

const ROWS_PER_PIECE = 5_000;

/**
 * Connects.
 *
 * @param signal ends the attempt
 * @throws PeerError ERR_INVALID_CONFIG without the package; what the driver throws
 */
export async function connectPostgres(config: EjbcaConfig, signal: AbortSignal): Promise<SqlConnection> {
  return new EjbcaPostgresConnection(await openClient(config, signal));
}

class EjbcaPostgresConnection implements SqlConnection {
  readonly #client: Client;
  #cursors = 0;

  constructor(client: Client) {
    this.#client = client;
  }

  async query(sql: string, values: readonly string[] = []): Promise<readonly SqlRow[]> {
    let number = 0;
    const text = sql.replaceAll('?', () => `$${++number}`);
    const { rows } = await this.#client.query({ text, values: [...values], rowMode: 'array', types: POSTGRES_TYPES });
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
    destroyClient(this.#client);
  }
}
