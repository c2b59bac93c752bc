import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { CertificateStore } from '../../../lib/store/certificate-store.ts';
import type { PostgresConfig } from '../../../lib/store/postgres-connection.ts';
import { EVERY_ROW } from '../../../lib/store/row-filter.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { PostgresCluster, reasonForNoCluster } from './postgres-cluster.ts';
import { PostgresDatabases, query, skipWithoutServer } from './postgres-database.ts';
import { sumsAreRight } from './postgres-recount.ts';
import { fingerprint, row, rowWithBody, stream } from './rows.ts';

const PATIENCE_MS = 20_000;

/** Writes one row after the other; gives the numbers of those that were acknowledged, and the codes of failures. */
async function writeUntil(store: CertificateStore, isOver: () => boolean, from = 0) {
  const acknowledged: number[] = [];
  const codes = new Set<string>();
  for (let number = from; !isOver(); number++) {
    try {
      const marks = { peers: ['va'], withCertificate: false, onlyRevoked: false };
      const { verdicts } = await store.writeRows([stream(row(number))], ALL_CAS, marks);
      assert.equal(verdicts, 's');
      acknowledged.push(number);
    } catch (error) {
      codes.add((error as { code: string }).code);
      await delay(10);
    }
  }
  return { acknowledged, codes: [...codes] };
}

async function until(what: string, isThere: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await delay(50)) if (await isThere()) return;
  assert.fail(`${what} did not come within ${PATIENCE_MS} ms`);
}

async function assertAllThere(store: CertificateStore, config: PostgresConfig, numbers: readonly number[]) {
  const there = new Set((await store.list({ limit: 1_000_000 })).map((each) => each.fingerprint));
  assert.deepEqual(
    numbers.filter((number) => !there.has(fingerprint(number))),
    [],
    'acknowledged, and lost',
  );
  const marks = await query('SELECT count(*)::INTEGER AS n FROM PublisherQueue', config);
  assert.equal(marks[0]?.['n'], there.size, 'a row without its mark, or a mark without its row');
  assert.equal((await store.count()).total, there.size);
  await sumsAreRight(store, config);
}

describe('PostgreSQL store whose connections are ended', function () {
  this.timeout(60_000);
  const databases = new PostgresDatabases();
  before(function () {
    return skipWithoutServer(this);
  });
  after(() => databases.drop());

  it('loses nothing that was acknowledged, and goes on by itself', async () => {
    const config = await databases.open();
    const store = new WorkerStore(config);
    await store.probe();
    let isOver = false;
    const writing = writeUntil(store, () => isOver);
    for (let time = 0; time < 12; time++) {
      await delay(150);
      await query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${config.database}'`);
    }
    isOver = true;
    const { acknowledged, codes } = await writing;
    assert.ok(acknowledged.length > 50, `only ${acknowledged.length} rows were written`);
    assert.deepEqual(codes, ['ERR_STORE_UNAVAILABLE']);
    await until('the store', () => store.count().then(Boolean, () => false));
    await assertAllThere(store, config, acknowledged);
    await store.close();
  });

  it('says nothing when the connection ended while nobody asked', async () => {
    const config = await databases.open();
    const store = new WorkerStore(config);
    await store.writeRows([stream(row(1))], ALL_CAS);
    await query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${config.database}'`);
    await delay(200);
    assert.equal((await store.count()).total, 1);
    assert.equal((await store.writeRows([stream(row(2))], ALL_CAS)).verdicts, 's');
    await store.close();
  });

  it('says that nothing listens there, and does not knock at every call', async () => {
    const store = new WorkerStore({ ...(await databases.open()), port: 1 });
    for (let call = 0; call < 50; call++)
      await assert.rejects(store.count(), { code: 'ERR_STORE_UNAVAILABLE', message: /at 127\.0\.0\.1:1/ });
    await store.close();
  });

  it('gives up a server that takes the connection and says nothing', async () => {
    const { createServer } = await import('node:net');
    const sockets: { destroy(): void }[] = [];
    const silent = createServer((socket) => sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const store = new WorkerStore({ ...(await databases.open()), port });
    await assert.rejects(store.count(), { code: 'ERR_STORE_UNAVAILABLE', message: /did not answer within/ });
    await store.close();
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
});

describe('PostgreSQL store whose server goes away', function () {
  this.timeout(120_000);
  let cluster: PostgresCluster | undefined;
  before(async function () {
    const reason = reasonForNoCluster();
    if (reason !== undefined) {
      this.test?.parent?.eachTest((test) => {
        test.title += ` (skipped: no server: ${reason})`;
      });
      return this.skip();
    }
    cluster = await PostgresCluster.create();
    cluster.start();
  });
  after(() => cluster?.drop());

  it('loses nothing that was acknowledged in crashes, and goes on by itself', async () => {
    const { config } = cluster as PostgresCluster;
    const store = new WorkerStore(config);
    let isOver = false;
    const writing = writeUntil(store, () => isOver);
    for (let time = 0; time < 3; time++) {
      await delay(700);
      cluster?.stop();
      await delay(300);
      cluster?.start();
      await until('the store', () => store.count().then(Boolean, () => false));
    }
    await delay(500);
    isOver = true;
    const { acknowledged, codes } = await writing;
    assert.ok(acknowledged.length > 50, `only ${acknowledged.length} rows were written`);
    assert.deepEqual(codes, ['ERR_STORE_UNAVAILABLE']);
    await assertAllThere(store, config, acknowledged);
    const { rows } = await store.page({ filter: EVERY_ROW, after: new Uint8Array(0), limit: 10, maxBytes: 1 });
    assert.ok(rows.length > 0);
    await store.close();
  });

  it('names a server that has no connection left', async () => {
    const { config } = cluster as PostgresCluster;
    await query('CREATE ROLE one LOGIN CONNECTION LIMIT 1; GRANT ALL ON SCHEMA public TO one', config);
    const first = new WorkerStore({ ...config, user: 'one', database: 'postgres' });
    const second = new WorkerStore({ ...config, user: 'one', database: 'postgres' });
    await query('GRANT SELECT ON ALL TABLES IN SCHEMA public TO one', config);
    await first.count();
    await assert.rejects(second.count(), { code: 'ERR_STORE_UNAVAILABLE', message: /no connection left/ });
    await Promise.all([first.close(), second.close()]);
  });

  it('says that the disk is full, and goes on once there is room', async function () {
    const { config } = cluster as PostgresCluster;
    const disk = cluster?.smallDisk();
    if (disk === undefined) {
      (this.test as Mocha.Runnable).title += ' (skipped: this user may not mount)';
      return this.skip();
    }
    await query(`CREATE TABLESPACE small LOCATION '${disk}'`, config);
    await query('CREATE DATABASE small TABLESPACE small', config);
    const small = { ...config, database: 'small' };
    const store = new WorkerStore(small);
    await store.writeRows([stream(row(0))], ALL_CAS);
    await query('CREATE TABLE Filler AS SELECT repeat(md5(random()::TEXT), 30) FROM generate_series(1, 5000)', small);
    const bodies = () => Array.from({ length: 8_000 }, () => rowWithBody(randomBytes(1_200)));
    await assert.rejects(store.writeRows([stream(...bodies())], ALL_CAS), { code: 'ERR_STORE_FULL' });
    assert.equal((await store.count()).total, 1);
    await query('DROP TABLE Filler', small);
    await query('CHECKPOINT', small);
    assert.equal((await store.writeRows([stream(row(1))], ALL_CAS)).verdicts, 's');
    await sumsAreRight(store, small);
    await store.close();
  });
});
