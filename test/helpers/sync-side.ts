/**
 * One side of a synchronisation as a process of its own, to be killed: `va` listens, `ca` synchronises once and ends.
 */
import { PeerServer } from '../../lib/endpoint/peer-server.ts';
import { RemoteAuthenticator } from '../../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool } from '../../lib/pool/connection-pool.ts';
import { PeerClient } from '../../lib/pool/peer-client.ts';
import { EVERY_ROW } from '../../lib/store/row-filter.ts';
import { WorkerStore } from '../../lib/store/worker-store.ts';
import { synchronize } from '../../lib/sync/synchronizer.ts';
import { readPem } from '../../lib/x509/pem.ts';
import { caRole } from './two-peers.ts';

interface Settings {
  readonly file: string;
  readonly port: number;
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
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
  const task = {
    source: store,
    client: new PeerClient(pool),
    filter: EVERY_ROW,
    isDryRun: false,
    maxRowsPerSecond: 3_000,
    batchRows: 60,
  };
  await synchronize(task, new AbortController().signal, () => undefined).catch(() => process.exit(1));
  process.exit(0);
}
