/**
 * A client of PostgreSQL, through the optional package pg.
 */
import type { Client, ClientConfig, CustomTypesConfig } from 'pg';
import { type DatabaseServer, loadDriver } from './database-server.ts';

const KEEP_ALIVE_DELAY_MS = 10_000;
const BOOLEAN = 16;
/** Object identifiers of the types of whole numbers: int8, int2, int4. */
const NUMBERS: ReadonlySet<number> = new Set([20, 21, 23]);

/** Whole numbers and truth values; everything else stays the text it came as. */
export const POSTGRES_TYPES = {
  getTypeParser: (oid: number) => {
    if (oid === BOOLEAN) return (text: string) => text === 't';
    return NUMBERS.has(oid) ? Number : String;
  },
} as unknown as CustomTypesConfig;

/**
 * Connects.
 *
 * @param signal ends the attempt, and the client that came of it
 * @throws PeerError ERR_INVALID_CONFIG without the package; what the driver throws
 */
export async function openClient(server: DatabaseServer, signal: AbortSignal): Promise<Client> {
  const { Client } = await loadDriver('pg', () => import('pg'));
  const client = new Client(optionsOf(server));
  // A connection that is lost while nobody asks shows at the next call.
  client.on('error', () => undefined);
  signal.addEventListener('abort', () => destroyClient(client), { once: true });
  await new Promise<void>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    client.connect().then(() => resolve(), reject);
  });
  return client;
}

/** Ends it at once; the polite way waits for what is under way. What is under way may never be answered. */
export function destroyClient(client: Client): void {
  const { connection } = client as unknown as { connection: { stream: { destroy(): void } } };
  connection.stream.destroy();
}

/** Nothing is left to the environment variables that the driver looks at otherwise. */
function optionsOf({ host, port, database, user, password, tls }: DatabaseServer): ClientConfig {
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
