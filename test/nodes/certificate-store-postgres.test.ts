import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PostgresConfig } from '../../lib/store/postgres-connection.ts';
import { WorkerStore } from '../../lib/store/worker-store.ts';
import type { SyncProgress } from '../../lib/sync/sync-progress.ts';
import { ALL_CAS } from '../../lib/x509/ca-scope.ts';
import type { CertificateStoreNode } from '../../nodes/certificate-store.ts';
import { authenticatorNode, connectorNode, flowNode, postgresStoreNode } from '../helpers/peer-flow.ts';
import { type Message, type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { createTestPki } from '../helpers/test-pki.ts';
import { caRole, startTwoPeers } from '../helpers/two-peers.ts';
import { PostgresDatabases, skipWithoutServer } from '../lib/store/postgres-database.ts';
import { row, stream } from '../lib/store/rows.ts';

const ROWS = 200;

describe('certificate-store node over PostgreSQL', function () {
  this.timeout(60_000);
  const pki = createTestPki();
  const databases = new PostgresDatabases();
  const folder = mkdtempSync(join(tmpdir(), 'store-postgres-'));
  let config: PostgresConfig;
  let flow: RuntimeFlow | undefined;

  before(function () {
    return skipWithoutServer(this);
  });
  beforeEach(async () => {
    config = await databases.open();
  });
  afterEach(async () => {
    await flow?.close();
    flow = undefined;
  });
  after(async () => {
    await databases.drop();
    rmSync(folder, { recursive: true });
  });

  const start = async (change: Partial<PostgresConfig> = {}, fields = {}): Promise<RuntimeFlow> => {
    flow = await runFlow([postgresStoreNode('store', { ...config, ...change }, fields)]);
    return flow;
  };
  const storeOf = (running: RuntimeFlow) => (running.node('store') as CertificateStoreNode).store();

  it('keeps what it is given beyond the next deploy', async () => {
    const { verdicts } = await storeOf(await start()).writeRows([stream(row(1), row(2))], ALL_CAS);
    assert.equal(verdicts, 'ss');
    await flow?.close();
    assert.equal((await storeOf(await start()).count()).total, 2);
  });

  it('says at the deploy that nothing listens there', async () => {
    const running = await start({ port: 1, password: 'not-to-be-shown' });
    const line = await running.waitFor(
      () => running.logged().find((each) => each.includes('at 127.0.0.1:1')),
      'the error in the log',
    );
    assert.doesNotMatch(line, /not-to-be-shown/);
    await assert.rejects(storeOf(running).count(), { code: 'ERR_STORE_UNAVAILABLE' });
  });

  it('cannot be used without a user', async () => {
    const running = await start({}, { credentials: {} });
    assert.match(running.logged().join('\n'), /has no user/);
    assert.throws(() => storeOf(running), { code: 'ERR_INVALID_CONFIG', message: /has no user/ });
  });

  for (const direction of ['to', 'from'] as const) {
    it(`synchronises ${direction} a peer that keeps its data in SQLite`, async () => {
      const sqlite = new WorkerStore({ kind: 'sqlite', file: join(folder, `${direction}.sqlite`) });
      const postgres = new WorkerStore(config);
      const [source, target] = direction === 'to' ? [postgres, sqlite] : [sqlite, postgres];
      await source.writeRows([stream(...Array.from({ length: ROWS }, (_, index) => row(index)))], ALL_CAS);
      const older = row(1, { updateTime: row(1).updateTime - 1, username: 'older' });
      await target.writeRows([stream(older, row(2))], ALL_CAS);
      const va = await startTwoPeers({ pki, store: target, roles: [caRole()] });
      const store =
        direction === 'to'
          ? postgresStoreNode('source', config)
          : flowNode('source', 'peer-certificate-store', [], {
              kind: 'sqlite',
              file: join(folder, `${direction}.sqlite`),
            });
      const sync = { connector: 'VA', store: 'source', cas: '', status: 'all', changedSince: '', includeExpired: true };
      const options = { withCertificate: true, dryRun: false, batchRows: 0, maxRowsPerSecond: 0, reportName: '' };
      flow = await runFlow([
        authenticatorNode('ca', pki.caClient, pki.managementCa),
        connectorNode('VA', va.url.href),
        store,
        flowNode('sync', 'peer-sync', [], { ...sync, ...options, wires: [['out'], ['out']] }),
      ]);
      const { message = {} as Message } = await flow.send('sync', { payload: 'start' });
      const { pushed, failed } = message['sync'] as SyncProgress;
      assert.deepEqual({ pushed, failed }, { pushed: ROWS - 1, failed: 0 });
      assert.deepEqual(await target.list({ limit: ROWS * 2 }), await source.list({ limit: ROWS * 2 }));
      await va.close();
      await Promise.all([postgres.close(), sqlite.close()]);
      rmSync('peer-sync', { recursive: true, force: true });
    });
  }
});
