/**
 * One side of RA requests in a process of its own, to be killed in the middle. SIDE says which, OPTIONS the rest.
 *
 * The CA writes a line to a file for each execution, before it begins. The RA asks fifty requests under the ids
 * `request-0` and so on, and writes a line for each outcome.
 */
import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { PeerServer } from '../../lib/endpoint/peer-server.ts';
import { RemoteAuthenticator } from '../../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool } from '../../lib/pool/connection-pool.ts';
import { PeerClient } from '../../lib/pool/peer-client.ts';
import { BASE_PATH } from '../../lib/protocol/operations.ts';
import { RaQueue } from '../../lib/ra/ra-queue.ts';
import { rightsOf } from '../../lib/ra/ra-rights.ts';
import { RaWorker } from '../../lib/ra/ra-worker.ts';
import { readPem } from '../../lib/x509/pem.ts';
import { answer, LISTENING_CA, question, raRole, textOf } from './ra-sides.ts';
import { caRole } from './two-peers.ts';

const { port, certificate, key, ca, file } = JSON.parse(process.env['OPTIONS'] ?? '{}') as {
  readonly port: number;
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
  readonly file: string;
};
const REQUESTS = 50;
const WORK_MS = 300;

const authenticator = new RemoteAuthenticator({ kind: 'pem', certificate, key, passphrase: '' }, () =>
  readPem(ca).map((caDer) => ({ caDer })),
);
await (process.env['SIDE'] === 'ca' ? beCa() : beRa());
process.send?.('ready');
process.once('disconnect', () => process.exit());

async function beCa(): Promise<void> {
  const url = new URL(`https://localhost:${port}${BASE_PATH}`);
  const pool = new ConnectionPool({ url, maxConnections: 61, requestTimeoutMs: 15_000 }, authenticator);
  new RaWorker({
    client: new PeerClient(pool),
    rightsOf: (request) => rightsOf(request, pool.servers(), [raRole()]),
    minimum: 10,
    maximum: 60,
    handle: async ({ request: { id } }) => {
      appendFileSync(file, `${id}\n`);
      await delay(WORK_MS);
      return answer(`for ${id}`);
    },
  });
}

async function beRa(): Promise<void> {
  const queue = new RaQueue();
  const roles = [caRole(LISTENING_CA)];
  await new PeerServer({ port, host: '127.0.0.1', authenticator, roles, desk: queue, software: 'test' }).start();
  for (let i = 0; i < REQUESTS; i++) {
    const id = `request-${i}`;
    queue.ask(question(`${i}`, { id, deadlineMs: 6_000 })).then(
      (outcome) => appendFileSync(file, `${id} ${textOf(outcome)}\n`),
      (error: { code: string }) => appendFileSync(file, `${id} ${error.code}\n`),
    );
  }
}
