/**
 * The VA of the synchronisation benchmarks, in a process of its own: an endpoint over a store file.
 */

import { PeerServer } from '../lib/endpoint/peer-server.ts';
import { RemoteAuthenticator } from '../lib/keybinding/remote-authenticator.ts';
import { WorkerStore } from '../lib/store/worker-store.ts';
import { readPem } from '../lib/x509/pem.ts';
import { caRole } from '../test/helpers/two-peers.ts';
import { watchLoop } from './statistics.ts';

const { certificate, key, ca, file } = JSON.parse(process.env['BENCH_VA'] ?? '{}') as Record<
  'certificate' | 'key' | 'ca' | 'file',
  string
>;
const trust = readPem(ca).map((caDer) => ({ caDer }));
const authenticator = new RemoteAuthenticator({ kind: 'pem', certificate, key, passphrase: '' }, () => trust);
const store = new WorkerStore({ kind: 'sqlite', file });
const server = new PeerServer({
  port: 0,
  host: '127.0.0.1',
  authenticator,
  store,
  roles: [caRole()],
  software: 'bench',
});
await server.start();
const loop = watchLoop();
const before = process.memoryUsage.rss();
process.on('message', async () => {
  process.send?.({
    loopDelayMaxMs: loop.maxMs(),
    memoryGrowthMb: (process.memoryUsage.rss() - before) / 1e6,
    total: (await store.count()).total,
  });
});
process.send?.({ port: server.port });
