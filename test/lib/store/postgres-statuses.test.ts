import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresConfig } from '../../../lib/store/postgres-connection.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { PostgresDatabases, query, skipWithoutServer } from './postgres-database.ts';
import { row, stream } from './rows.ts';
import { questionOf } from './status-contract.ts';

/** How often the table of rows was read as a whole, and by the index of serial numbers. */
async function readsOf(config: PostgresConfig): Promise<{ readonly whole: number; readonly byIndex: number }> {
  const [found] = await query(
    'SELECT t.seq_scan::INTEGER AS whole, i.idx_scan::INTEGER AS by_index FROM pg_stat_user_tables AS t ' +
      "JOIN pg_stat_user_indexes AS i USING (relid) WHERE i.indexrelname = 'certificatedata_serialnumber'",
    config,
  );
  return { whole: Number(found?.['whole']), byIndex: Number(found?.['by_index']) };
}

describe('PostgreSQL store asked how certificates stand', function () {
  this.timeout(60_000);
  const databases = new PostgresDatabases();
  before(function () {
    return skipWithoutServer(this);
  });
  after(() => databases.drop());

  for (const what of ['known', 'not known']) {
    it(`finds each by the index, the statistics of the tables being ${what}`, async () => {
      const config = await databases.open();
      const rows = Array.from({ length: 30_000 }, (_, index) => row(index));
      const writing = new WorkerStore(config);
      await writing.writeRows([stream(...rows)], ALL_CAS);
      await writing.close();
      if (what === 'known') await query('ANALYZE', config);
      const before = await readsOf(config);
      const store = new WorkerStore(config);
      // More often than the server looks for a plan that suits all.
      for (let time = 0; time < 10; time++) {
        const found = await store.statusesOf(rows.slice(time * 500, time * 500 + 500).map(questionOf));
        assert.ok(found.every(({ length }) => length === 1));
      }
      await store.close();
      for (let tries = 0; (await readsOf(config)).byIndex < before.byIndex + 5_000 && tries < 100; tries++)
        await delay(50);
      assert.deepEqual(await readsOf(config), { whole: before.whole, byIndex: before.byIndex + 5_000 });
    });
  }

  it('never says that a certificate is missing because the connection is', async () => {
    const config = await databases.open();
    const store = new WorkerStore(config);
    await store.writeRows([stream(row(1))], ALL_CAS);
    let failures = 0;
    let isOver = false;
    const asking = Array.from({ length: 8 }, async () => {
      while (!isOver) {
        try {
          assert.deepEqual(
            (await store.statusesOf([row(1), row(2)].map(questionOf))).map(({ length }) => length),
            [1, 0],
          );
        } catch (error) {
          assert.equal((error as { code: string }).code, 'ERR_STORE_UNAVAILABLE', String(error));
          failures += 1;
          await delay(5);
        }
      }
    });
    for (let time = 0; time < 6; time++) {
      await delay(150);
      await query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${config.database}'`);
    }
    isOver = true;
    await Promise.all(asking);
    assert.ok(failures > 0);
    for (const end = Date.now() + 10_000; Date.now() < end; await delay(50))
      if (await store.count().catch(() => undefined)) break;
    assert.equal((await store.statusesOf([questionOf(row(1))]))[0]?.length, 1);
    await store.close();
  });

  it('says that nothing listens there, to all who asked', async () => {
    const store = new WorkerStore({ ...(await databases.open()), port: 1 });
    const asked = Array.from({ length: 20 }, (_, index) => store.statusesOf([questionOf(row(index))]));
    for (const each of asked)
      await assert.rejects(each, { code: 'ERR_STORE_UNAVAILABLE', message: /at 127\.0\.0\.1:1/ });
    await store.close();
  });

  it('cannot tell its changes, because others write too', async () => {
    const store = new WorkerStore(await databases.open());
    await store.writeRows([stream(row(1))], ALL_CAS);
    assert.equal(store.changes, undefined);
    await store.close();
  });
});
