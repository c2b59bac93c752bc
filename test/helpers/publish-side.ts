/**
 * One side of publishing as a process of its own, to be killed: `va` listens; `ca` drains its queue and publishes what
 * its parent names, one message per certificate, telling what became of each.
 */
import { PeerServer } from '../../lib/endpoint/peer-server.ts';
import { RemoteAuthenticator } from '../../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool } from '../../lib/pool/connection-pool.ts';
import { PeerClient } from '../../lib/pool/peer-client.ts';
import { publishThroughQueue } from '../../lib/publisher/publish-through-queue.ts';
import { PublisherQueue } from '../../lib/publisher/publisher-queue.ts';
import { WorkerStore } from '../../lib/store/worker-store.ts';
import { readPem } from '../../lib/x509/pem.ts';
import { row } from '../lib/store/rows.ts';
import { publishPeer } from './publish-task.ts';
import { caRole } from './two-peers.ts';

interface Settings {
  readonly file: string;
  readonly port: number;
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
}

/** One change: row `index` in its state number `state`. */
export interface PublishOrder {
  readonly index: number;
  readonly state: number;
}

const [side, text] = process.argv.slice(2);
const { file, port, certificate, key, ca }: Settings = JSON.parse(text ?? '{}');
const trust = readPem(ca).map((caDer) => ({ caDer }));
const authenticator = new RemoteAuthenticator({ kind: 'pem', certificate, key, passphrase: '' }, () => trust);
const store = new WorkerStore({ kind: 'sqlite', file });

if (side === 'va') {
  const server = new PeerServer({ port, host: '127.0.0.1', authenticator, store, roles: [caRole()], software: 'test' });
  await server.start();
  process.send?.({ port: server.port });
} else {
  const pool = new ConnectionPool({ url: new URL(`https://localhost:${port}`) }, authenticator);
  const peer = publishPeer('VA', new PeerClient(pool));
  const queue = new PublisherQueue({ store, find: () => peer, maxBackOffMs: 300 });
  const task = {
    groups: [queue.group('va')],
    rules: { withCertificate: true, onlyRevoked: false },
    mode: 'safe',
    queue,
  } as const;
  await queue.resume();
  process.on('message', async (orders: readonly PublishOrder[]) => {
    await Promise.all(
      orders.map(async ({ index, state }) => {
        const [told] = await publishThroughQueue([row(index, { updateTime: row(index).updateTime + state })], task);
        process.send?.({ index, state, verdict: told?.[0]?.verdict });
      }),
    );
  });
  process.send?.({ ready: true });
}
