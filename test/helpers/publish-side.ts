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

/** Where a side keeps its store, how it is found, who it is; times in milliseconds. */
export interface PublishSideSettings {
  readonly file: string;
  readonly port: number;
  /** Where the VA listens. Default 127.0.0.1. */
  readonly host?: string;
  /** Of connecting and of a request; absent = what the pool has. */
  readonly timeoutMs?: number;
  readonly maxBackOffMs?: number;
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
const settings: PublishSideSettings = JSON.parse(text ?? '{}');
const { file, port, host = '127.0.0.1', timeoutMs, maxBackOffMs = 300, certificate, key, ca } = settings;
const trust = readPem(ca).map((caDer) => ({ caDer }));
const authenticator = new RemoteAuthenticator({ kind: 'pem', certificate, key, passphrase: '' }, () => trust);
const store = new WorkerStore({ kind: 'sqlite', file });

if (side === 'va') {
  const server = new PeerServer({ port, host, authenticator, store, roles: [caRole()], software: 'test' });
  await server.start();
  process.send?.({ port: server.port, pid: process.pid });
} else {
  const times = timeoutMs !== undefined && { connectTimeoutMs: timeoutMs, requestTimeoutMs: timeoutMs };
  const pool = new ConnectionPool({ url: new URL(`https://${host}:${port}`), ...times }, authenticator);
  const peer = publishPeer('VA', new PeerClient(pool));
  const queue = new PublisherQueue({ store, find: () => peer, maxBackOffMs });
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
