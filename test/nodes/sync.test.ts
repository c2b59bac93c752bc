import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parse } from 'yaml';
import { WorkerStore } from '../../lib/store/worker-store.ts';
import type { SyncProgress } from '../../lib/sync/sync-progress.ts';
import { ALL_CAS } from '../../lib/x509/ca-scope.ts';
import { authenticatorNode, connectorNode, flowNode, storeNode } from '../helpers/peer-flow.ts';
import { type Message, type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { createTestPki } from '../helpers/test-pki.ts';
import { caRole, startTwoPeers, type TwoPeers } from '../helpers/two-peers.ts';
import { row, stream } from '../lib/store/rows.ts';

const ROWS = 1_000;

function syncOf(message: Message | undefined): SyncProgress {
  return message?.['sync'] as SyncProgress;
}

describe('sync node', () => {
  const pki = createTestPki();
  const folder = mkdtempSync(join(tmpdir(), 'sync-node-'));
  let number = 0;
  let store: WorkerStore;
  let va: TwoPeers;
  let flow: RuntimeFlow | undefined;

  beforeEach(async () => {
    store = new WorkerStore({ kind: 'sqlite', file: join(folder, `va-${++number}.sqlite`) });
    va = await startTwoPeers({ pki, store, roles: [caRole()] });
  });

  afterEach(async () => {
    await flow?.close();
    flow = undefined;
    await va.close();
    await store.close();
    // The runtime in this process has no user directory; a run that was broken off would go on in the next test.
    rmSync('peer-sync', { recursive: true, force: true });
  });

  after(() => rmSync(folder, { recursive: true }));

  const start = async (
    fields: Record<string, unknown> = {},
    connector: Record<string, unknown> = {},
  ): Promise<RuntimeFlow> => {
    const file = join(folder, `ca-${number}.sqlite`);
    const source = new WorkerStore({ kind: 'sqlite', file });
    await source.writeRows([stream(...Array.from({ length: ROWS }, (_, i) => row(i)))], ALL_CAS);
    await source.close();
    flow = await runFlow([
      authenticatorNode('ca', pki.caClient, pki.managementCa),
      connectorNode('VA', va.url.href, connector),
      storeNode('source', file),
      flowNode('sync', 'peer-sync', [], {
        connector: 'VA',
        store: 'source',
        cas: '',
        status: 'all',
        changedSince: '',
        includeExpired: true,
        withCertificate: true,
        dryRun: false,
        batchRows: 50,
        maxRowsPerSecond: 0,
        reportName: '{{peer}}.yaml',
        wires: [['out'], ['out']],
        ...fields,
      }),
    ]);
    return flow;
  };

  const slow = { maxRowsPerSecond: 400 };

  it('brings a VA up to date, tells progress and gives the result with the report', async () => {
    const running = await start();
    const { message } = await running.send('sync', { payload: 'start' });
    const result = message?.['payload'] as SyncProgress & { peer: string };
    assert.deepEqual([result.peer, result.phase, result.pushed], ['the VA', 'finished', ROWS]);
    assert.equal(message?.['filename'], 'the VA.yaml');
    assert.equal(parse(String(message?.['report'])).failureCount, 0);
    const progress = running.outputs.filter((each) => each['topic'] === 'progress');
    assert.equal(progress.at(-1)?.['payload'], 100);
    assert.equal((await store.count()).total, ROWS);
  });

  it('needs one round trip the second time', async () => {
    const running = await start();
    await running.send('sync', { payload: 'start' });
    const { message } = await running.send('sync', { payload: 1_790_000_000_000 });
    assert.equal(syncOf(message).roundTrips, 1);
  });

  it('only counts in a dry run', async () => {
    const { message } = await (await start()).send('sync', { payload: 'start', dryRun: true });
    assert.equal(syncOf(message).missing, ROWS);
    assert.equal((await store.count()).total, 0);
  });

  it('stops within a second, and says so to whoever started it', async () => {
    const running = await start(slow);
    const run = running.send('sync', { payload: 'start' });
    await delay(600);
    const begun = performance.now();
    await running.send('sync', { payload: 'stop' });
    assert.equal((await run).error?.code, 'ERR_CANCELLED');
    assert.ok(performance.now() - begun < 1_000);
  });

  it('refuses a second run of the task by the name of the first, and tells its state', async () => {
    const running = await start({ ...slow, name: 'nightly' });
    const run = running.send('sync', { payload: 'start' });
    await delay(600);
    const { error } = await running.send('sync', { payload: 'start' });
    assert.equal(error?.code, 'ERR_TASK_RUNNING');
    assert.match(error?.message ?? '', /"nightly"/);
    const { message } = await running.send('sync', { payload: 'state' });
    assert.match(syncOf(message).phase, /^(comparing|pushing)$/);
    await running.send('sync', { payload: 'stop' });
    await run;
  });

  it('is idle when nothing runs', async () => {
    const { message } = await (await start()).send('sync', { payload: 'state' });
    assert.deepEqual(message?.['sync'], { phase: 'idle' });
  });

  const refusals: [string, Record<string, unknown>, Record<string, unknown>, string][] = [
    ['a date that is none', { changedSince: 'yesterday' }, {}, 'ERR_INVALID_CONFIG'],
    ['a store that is not there', { store: 'gone' }, {}, 'ERR_INVALID_CONFIG'],
    ['a connector that is not there', { connector: 'gone' }, {}, 'ERR_PEER_UNKNOWN'],
    ['a disabled connector', {}, { enabled: false }, 'ERR_CONNECTOR_DISABLED'],
    ['a peer that is away', {}, { url: 'https://127.0.0.1:9' }, 'ERR_PEER_UNREACHABLE'],
    ['too many rows per request', { batchRows: 999_999 }, {}, 'ERR_INVALID_CONFIG'],
  ];
  for (const [what, fields, connector, code] of refusals) {
    it(`refuses ${what} with ${code}`, async () => {
      const { error } = await (await start(fields, connector)).send('sync', { payload: 'start' });
      assert.equal(error?.code, code);
    });
  }

  it('closes at once in the middle of a run', async () => {
    const running = await start(slow);
    void running.send('sync', { payload: 'start' }).catch(() => undefined);
    await delay(500);
    flow = undefined;
    assert.ok((await running.close()) < 1_500);
  });
});
