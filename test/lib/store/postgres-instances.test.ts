import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { CertificateData } from '../../../lib/store/certificate-data.ts';
import { toColumns } from '../../../lib/store/certificate-row.ts';
import type { CertificateStore } from '../../../lib/store/certificate-store.ts';
import { replaces } from '../../../lib/store/newest-wins.ts';
import { EVERY_ROW } from '../../../lib/store/row-filter.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { PostgresDatabases, query, skipWithoutServer } from './postgres-database.ts';
import { sumsAreRight } from './postgres-recount.ts';
import { chance, ON_HOLD, REVOKED, row, rowWithBody, stream } from './rows.ts';

const BODIES = Array.from({ length: 40 }, () => randomBytes(300));

/** Some state of one of few certificates, so that writers meet. */
function anyRow(below: (bound: number) => number): CertificateData {
  const change = {
    updateTime: row(0).updateTime + below(5),
    username: `user ${below(3)}`,
    issuerDN: `CN=CA ${below(3)}`,
    ...[{}, {}, REVOKED, ON_HOLD][below(4)],
  };
  const body = BODIES[below(BODIES.length)] as Buffer;
  const whole = rowWithBody(body, change);
  return below(2) === 0 ? whole : { ...whole, certificate: null };
}

describe('PostgreSQL store of several instances', function () {
  this.timeout(60_000);
  const databases = new PostgresDatabases();
  const opened: CertificateStore[] = [];
  const open = async (config?: Awaited<ReturnType<PostgresDatabases['open']>>) => {
    const store = new WorkerStore(config ?? (await databases.open()));
    opened.push(store);
    return store;
  };
  before(function () {
    return skipWithoutServer(this);
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((store) => store.close()));
  });
  after(() => databases.drop());

  it('makes its tables once, though all begin at the same time', async () => {
    const config = await databases.open();
    const stores = await Promise.all(Array.from({ length: 5 }, () => open(config)));
    await Promise.all(stores.map((store, index) => store.writeRows([stream(row(index))], ALL_CAS)));
    for (const store of stores) assert.equal((await store.count()).total, 5);
  });

  for (const seed of [1, 2, 3]) {
    it(`ends with the newest of each, the right sums and counts, and no deadlock (seed ${seed})`, async () => {
      const config = await databases.open();
      const below = chance(seed);
      const stores = await Promise.all([open(config), open(config), open(config)]);
      const written: CertificateData[] = [];
      const work = stores.map(async (store) => {
        for (let time = 0; time < 15; time++) {
          const calls = Array.from({ length: 1 + below(4) }, () =>
            // Few go as values, many are copied.
            Array.from({ length: below(3) === 0 ? 150 : 1 + below(6) }, () => anyRow(below)),
          );
          written.push(...calls.flat());
          const marks = { peers: ['va', 'vb'], withCertificate: false, onlyRevoked: false };
          await Promise.all(calls.map((rows) => store.writeRows([stream(...rows)], ALL_CAS, marks)));
          if (below(4) === 0) await store.askRanges({ filter: EVERY_ROW, level: 0, parents: new Uint16Array(0) });
          if (below(3) === 0) await settleAll(store);
        }
      });
      await Promise.all(work);
      const newest = new Map<string, CertificateData>();
      for (const each of written) {
        const standing = newest.get(each.fingerprint);
        const isNewer = standing === undefined || replaces(toColumns(each), toColumns(standing));
        const certificate = each.certificate ?? standing?.certificate ?? null;
        newest.set(each.fingerprint, { ...(isNewer ? each : standing), certificate });
      }
      for (const store of stores) {
        const rows = await store.list({ limit: 1_000 });
        assert.deepEqual(
          rows,
          [...newest.values()].sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1)),
        );
        await sumsAreRight(store, config);
      }
      await settleAll(stores[0] as CertificateStore);
      assert.deepEqual(
        (await stores[1]?.queueSummaries(Date.now()))?.map(({ peer }) => peer),
        ['vb'],
      );
    });
  }

  it('lets both write the same 20,000 new rows at the same time', async () => {
    const config = await databases.open();
    const stores = await Promise.all([open(config), open(config)]);
    const rows = Array.from({ length: 20_000 }, (_, index) => row(index));
    const results = await Promise.all(stores.map((store) => store.writeRows([stream(...rows)], ALL_CAS)));
    const stored = results.map(({ verdicts }) => [...verdicts].filter((verdict) => verdict === 's').length);
    assert.equal(stored[0]! + stored[1]!, 20_000);
    await sumsAreRight(stores[0] as CertificateStore, config);
  });

  it('reads while another instance writes much', async () => {
    const config = await databases.open();
    const [writer, reader] = await Promise.all([open(config), open(config)]);
    await writer.writeRows([stream(row(0))], ALL_CAS);
    const rows = Array.from({ length: 30_000 }, (_, index) => row(index + 1));
    const writing = writer.writeRows([stream(...rows)], ALL_CAS);
    let reads = 0;
    let isOver = false;
    void writing.finally(() => {
      isOver = true;
    });
    while (!isOver) {
      for (const store of [writer, reader]) assert.ok(await store.findByFingerprint(row(0).fingerprint));
      reads += 2;
    }
    assert.ok(reads > 20, `${reads} reads`);
  });

  it('converges with a SQLite store, both ways', async () => {
    const { mkdtempSync, rmSync } = await import('node:fs');
    const { tmpdir } = await import('node:os');
    const { join } = await import('node:path');
    const folder = mkdtempSync(join(tmpdir(), 'postgres-sqlite-'));
    const sqlite = new WorkerStore({ kind: 'sqlite', file: join(folder, 'x.sqlite') });
    opened.push(sqlite);
    const config = await databases.open();
    const postgres = await open(config);
    const below = chance(9);
    const some = (count: number) => stream(...Array.from({ length: count }, () => anyRow(below)));
    await postgres.writeRows([some(200)], ALL_CAS);
    await sqlite.writeRows([some(200)], ALL_CAS);
    const page = { filter: EVERY_ROW, after: new Uint8Array(0), limit: 1_000, maxBytes: 100_000_000 };
    const [ofPostgres, ofSqlite] = [await postgres.page(page), await sqlite.page(page)];
    await sqlite.writeRows([ofPostgres.rows], ALL_CAS);
    await postgres.writeRows([ofSqlite.rows], ALL_CAS);
    const asked = await Promise.all(
      [postgres, sqlite].map((store) => store.askRanges({ filter: EVERY_ROW, level: 0, parents: new Uint16Array(0) })),
    );
    assert.deepEqual(asked[0], asked[1]);
    assert.deepEqual(await postgres.page(page), await sqlite.page(page));
    assert.deepEqual(await postgres.count(), await sqlite.count());
    await sumsAreRight(postgres, config);
    rmSync(folder, { recursive: true });
  });

  it('writes 100,000 rows with certificates with flat memory', async () => {
    const config = await databases.open();
    const store = await open(config);
    const startedAt = performance.now();
    let early = 0;
    let late = 0;
    for (let part = 0; part < 20; part++) {
      const rows = Array.from({ length: 5_000 }, (_, index) =>
        rowWithBody(randomBytes(1_000), { serialNumber: `${part * 5_000 + index}` }),
      );
      const { verdicts } = await store.writeRows([stream(...rows)], ALL_CAS);
      assert.equal(verdicts, 's'.repeat(5_000));
      const { rss } = process.memoryUsage();
      if (part < 10) early = Math.max(early, rss);
      else late = Math.max(late, rss);
    }
    const seconds = (performance.now() - startedAt) / 1_000;
    console.log(`      ${Math.round(100_000 / seconds)} rows/s, ${Math.round(late / 2 ** 20)} MB`);
    assert.ok(late - early < 200 * 2 ** 20, `memory grew from ${early} to ${late} bytes`);
    assert.deepEqual(await store.count(), { total: 100_000, revoked: 0, withCertificate: 100_000 });
    const [size] = await query("SELECT pg_relation_size('DirtyBucket')::INTEGER AS bytes", config);
    assert.ok(Number(size?.['bytes']) < 8 * 2 ** 20, 'marks of buckets do not grow with the rows');
  });
});

/** Acknowledges all marks of one peer. */
async function settleAll(store: CertificateStore): Promise<void> {
  const { marks } = await store.dueMarks({ peer: 'va', kind: 'certificate', now: Date.now(), limit: 1_000 });
  const outcome = { outcome: 'acknowledged', code: '', detail: '', dueAt: 0 } as const;
  const settlements = marks.map(({ fingerprint, sequence }) => ({ fingerprint, sequence, ...outcome }));
  await store.settleMarks({ peer: 'va', kind: 'certificate', settlements, takenAt: Date.now() });
}
