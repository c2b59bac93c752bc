import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { CborWriter } from '../../../lib/store/cbor.ts';
import { toColumns, writeRow } from '../../../lib/store/certificate-row.ts';
import { EVERY_ROW } from '../../../lib/store/row-filter.ts';
import { StoreThread, type StoreThreadSetup } from '../../../lib/store/store-thread.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { row, stream } from './rows.ts';
import { questionOf } from './status-contract.ts';

describe('Threads of a store', () => {
  const folder = mkdtempSync(join(tmpdir(), 'store-threads-'));
  const stores: WorkerStore[] = [];
  const open = (name: string): WorkerStore => {
    const store = new WorkerStore({ kind: 'sqlite', file: join(folder, name) });
    stores.push(store);
    return store;
  };
  afterEach(() => Promise.all(stores.splice(0).map((store) => store.close())));
  after(() => rmSync(folder, { recursive: true }));

  it('show every acknowledged write to every read that comes after', async () => {
    const store = open('seen');
    for (let i = 0; i < 200; i++) {
      await store.writeRows([stream(row(i))], ALL_CAS);
      const [found, bySerial, statuses, counts, { count }] = await Promise.all([
        store.findByFingerprint(row(i).fingerprint),
        store.findBySerialNumber(row(i).issuerDN, row(i).serialNumber),
        store.statusesOf([questionOf(row(i))]),
        store.count(),
        store.page({ filter: EVERY_ROW, after: new Uint8Array(0), limit: 1_000, maxBytes: 1e6 }),
      ]);
      assert.deepEqual(found, row(i));
      assert.deepEqual(bySerial, [row(i)]);
      assert.equal(statuses[0]?.length, 1);
      assert.deepEqual([counts.total, count], [i + 1, i + 1]);
    }
  });

  it('read while bulk writes are under way', async () => {
    const store = open('bulk');
    await store.writeRows([stream(row(1_000_001))], ALL_CAS);
    let isWriting = true;
    const writes = Array.from({ length: 6 }, (_, batch) => {
      const writer = new CborWriter(1_000_000);
      for (let i = 0; i < 10_000; i++) writeRow(writer, toColumns(row(batch * 10_000 + i)));
      return store.writeRows([writer.take()], ALL_CAS);
    });
    void Promise.all(writes).then(() => {
      isWriting = false;
    });
    let reads = 0;
    for (; isWriting; reads++) assert.equal((await store.statusesOf([questionOf(row(1_000_001))]))[0]?.length, 1);
    assert.ok(reads > 20, `${reads} reads`);
    assert.equal((await store.count()).total, 60_001);
  }).timeout(30_000);

  it('find by serial number through the index', async () => {
    const store = open('plan');
    await store.count();
    const db = new DatabaseSync(join(folder, 'plan'));
    const plan = db
      .prepare(
        'EXPLAIN QUERY PLAN SELECT status FROM CertificateData ' +
          'WHERE substr(serialNumber, -4) = substr(?1, -4) AND serialNumber = ?1 AND issuerId = ?2 LIMIT 9',
      )
      .all(new Uint8Array(1), 1)
      .map((step) => String(step['detail']));
    db.close();
    assert.match(plan.join(), /USING INDEX CertificateData_serialNumber/);
  });

  describe('count changes', () => {
    it('before the writer hears of them', async () => {
      const store = open('changes');
      const before = store.changes;
      await store.writeRows([stream(row(1))], ALL_CAS);
      assert.notEqual(store.changes, before);
    });

    it('of another process soon, and none while nothing is written', async () => {
      const [store, other] = [open('others'), open('others')];
      await store.statusesOf([questionOf(row(1))]);
      await sleep(300);
      const before = store.changes;
      await sleep(300);
      assert.equal(store.changes, before);
      await other.writeRows([stream(row(1))], ALL_CAS);
      for (let tries = 0; store.changes === before && tries < 40; tries++) await sleep(25);
      assert.notEqual(store.changes, before);
    });

    it('not at all where the store cannot tell', async () => {
      const store = new WorkerStore({
        kind: 'ejbca',
        dialect: 'mysql',
        host: '127.0.0.1',
        port: 1,
        database: 'ejbca',
        user: 'x',
        password: '',
      } as never);
      assert.equal(store.changes, undefined);
      await store.close();
    });
  });

  it('pause before they start again when they keep dying', async () => {
    // A thread without a setup dies at once.
    let changes = 0;
    const thread = new StoreThread(null as unknown as StoreThreadSetup, () => {
      changes += 1;
    });
    const ended = { code: 'ERR_STORE_UNAVAILABLE', message: /has ended$/ };
    const pausing = { code: 'ERR_STORE_UNAVAILABLE', message: /starts again in a moment/ };
    await assert.rejects(thread.call('count', []), ended);
    await assert.rejects(thread.call('count', []), ended);
    await assert.rejects(thread.call('count', []), pausing);
    await sleep(120);
    await assert.rejects(thread.call('count', []), ended);
    await assert.rejects(thread.call('count', []), pausing);
    assert.equal(changes, 3);
    await thread.close();
    await assert.rejects(thread.call('count', []), { message: /is closed/ });
  });
});
