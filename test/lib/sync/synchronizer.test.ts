import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { CertificateData } from '../../../lib/store/certificate-data.ts';
import { toColumns } from '../../../lib/store/certificate-row.ts';
import { EVERY_ROW, passesFilter, type RowFilter } from '../../../lib/store/row-filter.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import type { SyncProgress } from '../../../lib/sync/sync-progress.ts';
import { renderReportName } from '../../../lib/sync/sync-report.ts';
import { type SyncTask, synchronize } from '../../../lib/sync/synchronizer.ts';
import { ALL_CAS, onlyCas } from '../../../lib/x509/ca-scope.ts';
import { createTestPki } from '../../helpers/test-pki.ts';
import { caRole, startTwoPeers, type TwoPeers } from '../../helpers/two-peers.ts';
import { chance, ON_HOLD, REVOKED, row, rowWithBody, stream } from '../store/rows.ts';

const FULL_RIGHTS = { '/peerincoming': 'allow', '/peerpublish': 'allow', '/ca': 'allow' } as const;

describe('synchronize', () => {
  const pki = createTestPki();
  const folder = mkdtempSync(join(tmpdir(), 'sync-'));
  const opened: WorkerStore[] = [];
  let number = 0;
  let peers: TwoPeers | undefined;

  const newStore = async (...rows: readonly CertificateData[]): Promise<WorkerStore> => {
    const store = new WorkerStore({ kind: 'sqlite', file: join(folder, `${number++}.sqlite`) });
    opened.push(store);
    await store.writeRows([stream(...rows)], ALL_CAS);
    return store;
  };

  const start = async (
    source: WorkerStore,
    va: WorkerStore,
    change: Partial<SyncTask> = {},
    rules: Parameters<typeof caRole>[0] = FULL_RIGHTS,
  ) => {
    await peers?.close();
    peers = await startTwoPeers({ pki, store: va, roles: [caRole(rules)] });
    return {
      source,
      client: peers.client,
      filter: EVERY_ROW,
      isDryRun: false,
      maxRowsPerSecond: 0,
      batchRows: 0,
      ...change,
    } satisfies SyncTask;
  };

  const run = (
    task: SyncTask,
    signal = new AbortController().signal,
    onProgress: (progress: SyncProgress) => void = () => undefined,
  ) => synchronize(task, signal, onProgress);

  const all = (store: WorkerStore): Promise<readonly CertificateData[]> => store.list({ limit: 1_000_000 });
  const rows = (count: number, change: Partial<CertificateData> = {}): CertificateData[] =>
    Array.from({ length: count }, (_, i) => row(i, change));

  afterEach(async () => {
    await peers?.close();
    peers = undefined;
    await Promise.all(opened.splice(0).map((store) => store.close()));
  });
  after(() => rmSync(folder, { recursive: true }));

  it('takes one round trip and some bytes when both sides agree', async () => {
    const everything = rows(500);
    const { progress } = await run(await start(await newStore(...everything), await newStore(...everything)));
    assert.equal(progress.roundTrips, 1);
    assert.ok(progress.comparedBytes < 200, `${progress.comparedBytes} bytes`);
    assert.deepEqual([progress.phase, progress.percent, progress.compared, progress.pushed], ['finished', 100, 500, 0]);
  });

  it('gives an empty peer everything', async () => {
    const source = await newStore(...rows(700), rowWithBody(Buffer.from('a certificate')));
    const va = await newStore();
    const { progress } = await run(await start(source, va, { batchRows: 100 }));
    assert.deepEqual(await all(va), await all(source));
    assert.deepEqual([progress.total, progress.missing, progress.pushed, progress.failed], [701, 701, 701, 0]);
  });

  it('gives a peer that fell behind just what it lacks', async () => {
    const source = await newStore(...rows(300), row(7, { ...REVOKED, updateTime: 2e12 }), row(1_000), row(1_001));
    const va = await newStore(...rows(300), row(5_000));
    const { progress } = await run(await start(source, va));
    assert.deepEqual([progress.missing, progress.outdated, progress.onlyAtPeer, progress.pushed], [2, 1, 1, 3]);
    assert.equal((await va.count()).total, 303);
    assert.equal((await va.findByFingerprint(row(7).fingerprint))?.status, 40);
  });

  it('leaves the newer state of the peer alone and says so', async () => {
    const newer = row(3, { updateTime: 2e12, ...ON_HOLD });
    const va = await newStore(newer);
    const { progress } = await run(await start(await newStore(row(3), row(4)), va));
    assert.deepEqual([progress.outdated, progress.newerAtPeer, progress.pushed], [1, 1, 1]);
    assert.deepEqual(await va.findByFingerprint(newer.fingerprint), newer);
  });

  it('counts and pushes nothing in a dry run', async () => {
    const va = await newStore(row(1, { updateTime: 5 }), row(9));
    const { progress } = await run(await start(await newStore(...rows(3)), va, { isDryRun: true }));
    assert.deepEqual([progress.missing, progress.outdated, progress.onlyAtPeer, progress.pushed], [2, 1, 1, 0]);
    assert.equal((await va.count()).total, 2);
    const empty = await run(await start(await newStore(...rows(3)), await newStore(), { isDryRun: true }));
    assert.deepEqual([empty.progress.missing, empty.progress.pushed], [3, 0]);
  });

  const subsets: [string, RowFilter][] = [
    ['only revoked', { ...EVERY_ROW, status: 'revoked' }],
    ['only active', { ...EVERY_ROW, status: 'active' }],
    ['one CA', { ...EVERY_ROW, cas: onlyCas(['CN=Other CA']) }],
    ['changed since', { ...EVERY_ROW, changedSince: 1_780_000_000_001 }],
    ['not expired', { ...EVERY_ROW, expiredBefore: 1_790_000_000_000 }],
    ['without certificates', { ...EVERY_ROW, withCertificate: false }],
  ];
  for (const [what, filter] of subsets) {
    it(`brings just the subset: ${what}`, async () => {
      const mixed = [
        row(1, REVOKED),
        row(2),
        row(3, { issuerDN: 'CN=Other CA' }),
        row(4, { updateTime: 1_780_000_000_001 }),
        row(5, { expireDate: 1_785_000_000_000 }),
        rowWithBody(Buffer.from('body')),
      ];
      const va = await newStore();
      const task = await start(await newStore(...mixed), va, { filter });
      await run(task);
      const expected = mixed
        .filter((each) => passesFilter(toColumns(each), filter))
        .map((each) => (filter.withCertificate ? each : { ...each, certificate: null }));
      assert.deepEqual(
        await all(va),
        expected.sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1)),
      );
      assert.equal((await run(task)).progress.roundTrips, 1);
    });
  }

  it('reports what the peer does not let it write, and brings everything else', async () => {
    const source = await newStore(
      ...rows(20),
      row(100, { issuerDN: 'CN=Closed CA' }),
      row(101, { issuerDN: 'CN=Closed CA', subjectDN: 'CN="odd": # name' }),
    );
    const va = await newStore();
    const { progress, report } = await run(await start(source, va, {}, { ...FULL_RIGHTS, '/ca/Closed CA': 'deny' }));
    assert.deepEqual([progress.pushed, progress.failed], [20, 2]);
    const created = new Date('2026-11-23T13:45:00Z');
    const yaml = parse(await report.toYaml(created));
    assert.equal(yaml.creationDate, '2026-11-23 13:45');
    assert.equal(yaml.failureCount, 2);
    assert.deepEqual(Object.keys(yaml.failures[0]), [
      'fingerprint',
      'subjectDn',
      'issuerDn',
      'errorType',
      'errorMessage',
    ]);
    const odd = yaml.failures.find((each: { fingerprint: string }) => each.fingerprint === row(101).fingerprint);
    assert.deepEqual(
      [odd.subjectDn, odd.issuerDn, odd.errorType],
      ['CN="odd": # name', 'CN=Closed CA', 'ERR_NOT_AUTHORIZED'],
    );
  });

  it('converges from any two stores, in any order', async function () {
    this.timeout(40_000);
    const random = chance(4_711);
    const state = (): CertificateData => {
      const change = {
        ...[{}, REVOKED, ON_HOLD][random(3)],
        updateTime: 100 + random(3),
        username: ['a', 'b'][random(2)] ?? null,
      };
      return random(3) === 0 ? rowWithBody(Buffer.from(`body ${random(40)}`), change) : row(random(200), change);
    };
    for (let round = 0; round < 4; round++) {
      const a = await newStore(...Array.from({ length: random(250) }, state));
      const b = await newStore(...Array.from({ length: random(250) }, state));
      await run(await start(a, b));
      await run(await start(b, a));
      await run(await start(a, b));
      assert.deepEqual(await all(a), await all(b));
    }
  });

  it('lets a newer state that is published in the middle stand', async () => {
    const source = await newStore(...rows(2_000));
    const va = await newStore();
    const newer = row(1_500, { ...REVOKED, updateTime: 2e12 });
    const task = await start(source, va, { batchRows: 200 });
    const published = va.writeRows([stream(newer)], ALL_CAS);
    await Promise.all([run(task), published]);
    assert.deepEqual(await va.findByFingerprint(newer.fingerprint), newer);
    assert.equal((await va.count()).total, 2_000);
  });

  it('finds in the next run what was written during the first', async () => {
    const source = await newStore(...rows(1_000));
    const va = await newStore();
    const task = await start(source, va, { batchRows: 100 });
    const writing = (async () => {
      for (let i = 0; i < 20; i++) await source.writeRows([stream(row(10_000 + i), row(i, REVOKED))], ALL_CAS);
    })();
    await Promise.all([run(task), writing]);
    await run(task);
    assert.deepEqual(await all(va), await all(source));
  });

  it('can be cancelled within a second, and goes on later', async () => {
    const source = await newStore(...rows(3_000));
    const va = await newStore();
    const task = await start(source, va, { batchRows: 50, maxRowsPerSecond: 500 });
    const controller = new AbortController();
    const seen: SyncProgress[] = [];
    const running = run(task, controller.signal, (progress) => seen.push(progress));
    setTimeout(() => controller.abort(), 400);
    const begun = performance.now();
    await assert.rejects(running, { code: 'ERR_CANCELLED' });
    assert.ok(performance.now() - begun < 1_400);
    assert.equal(seen.at(-1)?.phase, 'cancelled');
    const arrived = (await va.count()).total;
    assert.ok(arrived < 3_000);
    const { progress } = await run({ ...task, maxRowsPerSecond: 0 });
    // A request that was under way when the run was cancelled may still have been carried out.
    assert.ok(progress.pushed <= 3_000 - arrived);
    assert.deepEqual(await all(va), await all(source));
  });

  it('tells progress at most four times a second and always a last time', async () => {
    const seen: number[] = [];
    const phases: string[] = [];
    const task = await start(await newStore(...rows(600)), await newStore(), { batchRows: 20, maxRowsPerSecond: 600 });
    await run(task, undefined, (progress) => {
      seen.push(performance.now());
      phases.push(progress.phase);
    });
    const gaps = seen.slice(1, -1).map((time, index) => time - (seen[index] ?? 0));
    assert.ok(
      gaps.every((gap) => gap >= 249),
      gaps.join(),
    );
    assert.equal(phases.at(-1), 'finished');
  });

  it('keeps to its rate', async () => {
    const task = await start(await newStore(...rows(400)), await newStore(), { batchRows: 50, maxRowsPerSecond: 400 });
    const begun = performance.now();
    await run(task);
    assert.ok(performance.now() - begun > 800);
  });

  it('needs the right to read and the right to write, and names the missing one', async () => {
    const [source, va] = [await newStore(row(1)), await newStore()];
    const noRead = await start(
      source,
      va,
      {},
      { '/peerincoming': 'allow', '/peerpublish/writecert': 'allow', '/ca': 'allow' },
    );
    await assert.rejects(run(noRead), { code: 'ERR_NOT_AUTHORIZED', message: /readcert/ });
    const noWrite = await start(
      source,
      va,
      {},
      { '/peerincoming': 'allow', '/peerpublish/readcert': 'allow', '/ca': 'allow' },
    );
    await assert.rejects(run(noWrite), { code: 'ERR_NOT_AUTHORIZED', message: /writecert/ });
  });

  it('fails by name when the peer goes away, and finishes the work in the next run', async () => {
    const source = await newStore(...rows(2_000));
    const va = await newStore();
    const task = await start(source, va, { batchRows: 50, maxRowsPerSecond: 4_000 });
    const running = run(task);
    setTimeout(() => void peers?.server.close(), 150);
    await assert.rejects(running, { code: 'ERR_PEER_UNREACHABLE' });
    await run(await start(source, va));
    assert.deepEqual(await all(va), await all(source));
  });
});

describe('report name', () => {
  it('is a template and stays a file name', () => {
    const date = new Date('2026-11-23T13:45:00Z');
    assert.equal(
      renderReportName('sync-{{peer}}-{{date}}.yaml', { peer: 'VA 1', date }),
      'sync-VA 1-202611231345.yaml',
    );
    assert.equal(renderReportName('{{peer}}.yaml', { peer: '../../etc/<b>', date }), '.._.._etc__b_.yaml');
  });
});
