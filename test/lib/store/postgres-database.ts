/**
 * Databases for tests of PostgreSQL as an own store, on the running server.
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { PostgresConfig } from '../../../lib/store/postgres-connection.ts';

const SERVER = { host: '127.0.0.1', port: 5432, user: 'postgres' } as const;

/** Why there is no server; undefined = there is one. */
async function reasonToSkip(): Promise<string | undefined> {
  try {
    await query('SELECT 1');
    return undefined;
  } catch (error) {
    return String((error as { code?: string }).code ?? error);
  }
}

/** One statement, or several, in a connection of its own. */
export async function query(sql: string, config: Partial<PostgresConfig> = {}): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ ...SERVER, database: 'test', ...config });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(sql)).rows ?? [];
  } finally {
    await client.end();
  }
}

/** Databases by name; made when they are asked for, dropped together. */
export class PostgresDatabases {
  readonly #prefix = `peer_${process.pid}_${randomBytes(4).toString('hex')}`;
  readonly #made = new Set<string>();
  #number = 0;

  /** A new one, or the one that was made under this name. */
  async open(name = `own${this.#number++}`): Promise<PostgresConfig> {
    const database = `${this.#prefix}_${name.toLowerCase()}`;
    if (!this.#made.has(database)) await query(`CREATE DATABASE ${database}`);
    this.#made.add(database);
    return { kind: 'postgres', ...SERVER, database, password: '' };
  }

  async drop(): Promise<void> {
    for (const database of this.#made) await query(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`);
    this.#made.clear();
  }
}

/** Skips all tests of a suite, and says why, where there is no server. */
export async function skipWithoutServer(context: Mocha.Context): Promise<void> {
  const reason = await reasonToSkip();
  if (reason === undefined) return;
  context.test?.parent?.eachTest((test) => {
    test.title += ` (skipped: no server: ${reason})`;
  });
  context.skip();
}
