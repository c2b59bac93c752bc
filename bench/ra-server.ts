/**
 * The CA of the RA benchmark, in a process of its own: workers with an empty handler, and pings and bare undici POSTs on
 * demand.
 */
import { Pool } from 'undici';
import { RemoteAuthenticator } from '../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool } from '../lib/pool/connection-pool.ts';
import { PeerClient } from '../lib/pool/peer-client.ts';
import { BASE_PATH } from '../lib/protocol/operations.ts';
import { rightsOf } from '../lib/ra/ra-rights.ts';
import { RaWorker } from '../lib/ra/ra-worker.ts';
import { readPem } from '../lib/x509/pem.ts';
import { answer, raRole } from '../test/helpers/ra-sides.ts';
import { median } from './statistics.ts';

const { certificate, key, ca, endpoint, idle, https, parallel, waitMs, keepAliveMs } = JSON.parse(
  process.env['BENCH'] ?? '{}',
) as Record<'certificate' | 'key' | 'ca', string> &
  Record<'endpoint' | 'idle' | 'https' | 'parallel' | 'waitMs' | 'keepAliveMs', number>;

const authenticator = new RemoteAuthenticator({ kind: 'pem', certificate, key, passphrase: '' }, () =>
  readPem(ca).map((caDer) => ({ caDer })),
);

function poolTo(port: number, options: { readonly maxConnections: number; readonly keepAliveMs?: number }) {
  return new ConnectionPool({ url: new URL(`https://localhost:${port}${BASE_PATH}`), ...options }, authenticator);
}

function work(pool: ConnectionPool, minimum: number, options: { readonly waitMs?: number } = {}): void {
  const empty = answer('');
  new RaWorker({
    client: new PeerClient(pool),
    rightsOf: (request) => rightsOf(request, pool.servers(), [raRole()]),
    handle: async () => empty,
    minimum,
    maximum: minimum,
    ...options,
  });
}

work(poolTo(endpoint, { maxConnections: parallel + 1 }), parallel);
work(poolTo(idle, { maxConnections: 3, keepAliveMs }), 2, { waitMs });

const pinger = new PeerClient(poolTo(endpoint, { maxConnections: 1 }));
const connect = { ca, cert: certificate, key, servername: 'localhost', allowH2: false };
const bare = new Pool(`https://localhost:${https}`, { connections: parallel, connect });
const post = async (): Promise<unknown> => {
  const headers = { 'content-type': 'application/cbor' };
  const response = await bare.request({ method: 'POST', path: '/', headers, body: Buffer.alloc(100) });
  return response.body.arrayBuffer();
};

/** Milliseconds, the median of so many pings. */
async function ping(times: number): Promise<number> {
  const durations: number[] = [];
  for (let i = 0; i < times; i++) durations.push((await pinger.ping()).roundTripMs);
  return median(durations);
}

/** POSTs per second. */
async function rate(times: number): Promise<number> {
  const start = performance.now();
  const share = Math.ceil(times / parallel);
  const loop = async (): Promise<void> => {
    for (let i = 0; i < share; i++) await post();
  };
  await Promise.all(Array.from({ length: parallel }, loop));
  return (share * parallel * 1_000) / (performance.now() - start);
}

process.on('message', async ({ what, times }: { what: 'ping' | 'rate'; times: number }) => {
  process.send?.(await (what === 'ping' ? ping(times) : rate(times)));
});
process.send?.('ready');
