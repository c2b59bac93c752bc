import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { EjbcaConfig } from '../../lib/store/ejbca-connection.ts';
import { WorkerStore } from '../../lib/store/worker-store.ts';
import type { SyncProgress } from '../../lib/sync/sync-progress.ts';
import { ALL_CAS } from '../../lib/x509/ca-scope.ts';
import type { CertificateStoreNode } from '../../nodes/certificate-store.ts';
import { authenticatorNode, connectorNode, ejbcaStoreNode, flowNode } from '../helpers/peer-flow.ts';
import { type Message, type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { createTestPki } from '../helpers/test-pki.ts';
import { caRole, startTwoPeers } from '../helpers/two-peers.ts';
import { EjbcaDatabase, rawRow, reasonToSkip } from '../lib/store/ejbca-database.ts';
import { row, stream } from '../lib/store/rows.ts';

const ROWS = 200;

for (const dialect of ['mysql', 'postgres'] as const) {
  describe(`certificate-store node over an EJBCA database (${dialect})`, () => {
    const pki = createTestPki();
    const folder = mkdtempSync(join(tmpdir(), 'store-ejbca-'));
    let database: EjbcaDatabase;
    let flow: RuntimeFlow | undefined;

    before(async function () {
      const reason = await reasonToSkip(dialect);
      if (reason !== undefined) {
        this.test?.parent?.tests.forEach((test) => {
          test.title += ` (skipped: no server: ${reason})`;
        });
        return this.skip();
      }
      database = await EjbcaDatabase.create(dialect);
      await database.reset();
      const rows = Array.from({ length: ROWS }, (_, index) => rawRow(row(index)));
      await database.insert('CertificateData', rows);
    });

    afterEach(async () => {
      await flow?.close();
      flow = undefined;
    });

    after(async () => {
      await database?.drop();
      rmSync(folder, { recursive: true });
    });

    const start = async (change: Partial<EjbcaConfig> = {}, fields = {}): Promise<RuntimeFlow> => {
      flow = await runFlow([ejbcaStoreNode('store', { ...database.config, ...change }, fields)]);
      return flow;
    };
    const storeOf = (running: RuntimeFlow) => (running.node('store') as CertificateStoreNode).store();

    it('reads what EJBCA has', async () => {
      assert.equal((await storeOf(await start()).count()).total, ROWS);
    });

    it('refuses to be written to', async () => {
      const written = storeOf(await start()).writeRows([stream(row(1))], ALL_CAS);
      await assert.rejects(written, { code: 'ERR_INVALID_CONFIG', message: /read only/ });
    });

    it('says at the deploy that the password is wrong, without saying what it is', async function () {
      // The server of a test machine may trust everybody.
      if (dialect === 'postgres') this.skip();
      const running = await start({ password: 'not-the-password' });
      const line = await running.waitFor(
        () => running.logged().find((each) => each.includes(database.config.database)),
        'the error in the log',
      );
      assert.doesNotMatch(line, /not-the-password/);
      await assert.rejects(storeOf(running).count(), { code: 'ERR_INVALID_CONFIG' });
    });

    it('says at the deploy that nothing listens there', async () => {
      const running = await start({ port: 1 });
      await running.waitFor(() => running.logged().find((each) => each.includes('at 127.0.0.1:1')), 'the error');
      await assert.rejects(storeOf(running).count(), { code: 'ERR_STORE_UNAVAILABLE' });
    });

    for (const [what, fields, sentence] of [
      ['host', { host: ' ' }, /has no host/],
      ['port', { port: '70000' }, /Port must be a whole number from 1 to 65535/],
      ['database', { database: '' }, /has no database/],
      ['user', { credentials: {} }, /has no user/],
      ['TLS node', { tls: 'nobody' }, /No tls-config is set/],
    ] as const) {
      it(`cannot be used without a ${what}`, async () => {
        const running = await start({}, fields);
        assert.match(running.logged().join('\n'), sentence);
        assert.throws(() => storeOf(running), { code: 'ERR_INVALID_CONFIG', message: sentence });
      });
    }

    it('is the source of a synchronisation; what cannot be read stands in the report', async () => {
      await database.insert('CertificateData', [{ ...rawRow(row(ROWS)), serialNumber: 'not a number' }]);
      const store = new WorkerStore({ kind: 'sqlite', file: join(folder, 'va.sqlite') });
      const va = await startTwoPeers({ pki, store, roles: [caRole()] });
      flow = await runFlow([
        authenticatorNode('ca', pki.caClient, pki.managementCa),
        connectorNode('VA', va.url.href),
        ejbcaStoreNode('source', database.config),
        flowNode('sync', 'peer-sync', [], {
          connector: 'VA',
          store: 'source',
          cas: '',
          status: 'all',
          changedSince: '',
          includeExpired: true,
          withCertificate: true,
          dryRun: false,
          batchRows: 0,
          maxRowsPerSecond: 0,
          reportName: 'report.yaml',
          wires: [['out'], ['out']],
        }),
      ]);
      const { message = {} as Message } = await flow.send('sync', { payload: 'start' });
      const { pushed, failed } = message['sync'] as SyncProgress;
      assert.deepEqual({ pushed, failed }, { pushed: ROWS, failed: 1 });
      const report = parse(String(message['report']));
      assert.equal(report.failureCount, 1);
      assert.equal(report.failures[0].fingerprint, row(ROWS).fingerprint);
      assert.equal((await store.count()).total, ROWS);
      await va.close();
      await store.close();
      rmSync('peer-sync', { recursive: true, force: true });
    });
  });
}
