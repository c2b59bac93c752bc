import assert from 'node:assert/strict';
import type { OcspResponder } from '../../../lib/ocsp/ocsp-responder.ts';
import type { CertificateData } from '../../../lib/store/certificate-data.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { PostgresDatabases, query, skipWithoutServer } from '../store/postgres-database.ts';
import { ON_HOLD, REVOKED, row, stream } from '../store/rows.ts';
import { certId, ocspRequest, readAnswer, statusOf } from './ocsp-messages.ts';
import { type OcspSide, openOcspSide } from './ocsp-side.ts';

const TRY_LATER = 3;

describe('OCSP answers from PostgreSQL', function () {
  this.timeout(60_000);
  const databases = new PostgresDatabases();
  const opened: WorkerStore[] = [];
  let side: OcspSide;
  let database: string;
  let responder: OcspResponder;
  let first: WorkerStore;
  /** Another instance over the same database. */
  let second: WorkerStore;

  before(function () {
    return skipWithoutServer(this);
  });
  beforeEach(async () => {
    side = await openOcspSide();
    const config = await databases.open();
    database = config.database;
    [first, second] = [new WorkerStore(config), new WorkerStore(config)];
    opened.push(first, second);
    responder = side.newResponder({ store: first });
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((store) => store.close()));
    await side.close();
  });
  after(() => databases.drop());

  const publish = (store: WorkerStore, ...rows: readonly CertificateData[]) =>
    store.writeRows([stream(...rows)], ALL_CAS);
  const requestOf = (serial: string): Uint8Array => ocspRequest([certId(side.ca.certificate, serial)]);
  const ask = async (serial: string): Promise<Uint8Array> => (await responder.answer(requestOf(serial))).der;
  const kindOf = async (serial: string) => readAnswer(await ask(serial)).singles[0]?.kind;

  it('show in the next answer what another instance has published, 300 times', async () => {
    for (let i = 1; i <= 300; i++) {
      const state = i % 2 === 0 ? {} : ON_HOLD;
      // Who asks while it is being published gets either.
      const asked = Array.from({ length: 5 }, () => kindOf('1001'));
      const publishing = publish(i % 3 === 0 ? first : second, row(1, { ...state, updateTime: 1_780_000_000_000 + i }));
      asked.push(kindOf('1001'));
      await publishing;
      const expected = i % 2 === 0 ? 'good' : 'revoked';
      assert.deepEqual(await Promise.all([kindOf('1001'), kindOf('1001')]), [expected, expected], `publish ${i}`);
      await Promise.all(asked);
    }
  });

  it('show in the next answer a revocation, whoever goes on asking about others', async () => {
    await publish(second, ...Array.from({ length: 50 }, (_, index) => row(index)));
    let isOver = false;
    const others = Array.from({ length: 30 }, async (_, index) => {
      while (!isOver) assert.equal(await kindOf(String(1_020 + index)), 'good');
    });
    for (let i = 0; i < 20; i++) {
      assert.equal(await kindOf(String(1_000 + i)), 'good');
      await publish(second, row(i, REVOKED));
      assert.equal(await kindOf(String(1_000 + i)), 'revoked');
    }
    isOver = true;
    await Promise.all(others);
    assert.equal(responder.counters().signed, 70);
  });

  it('are signed once for all who ask at the same time, and kept while the row says the same', async () => {
    await publish(second, row(1));
    await Promise.all(Array.from({ length: 1_000 }, () => ask('1001')));
    const kept = await ask('1001');
    await publish(second, row(1, { updateTime: row(1).updateTime + 1, username: 'another' }));
    assert.deepEqual(await ask('1001'), kept);
    assert.equal(responder.counters().signed, 1);
  });

  it('are right for hundreds of certificates at once', async () => {
    const rows = Array.from({ length: 900 }, (_, index) => row(index, index % 2 === 0 ? REVOKED : {}));
    await publish(second, ...rows);
    const kinds = await Promise.all(rows.map(({ serialNumber }) => kindOf(serialNumber)));
    assert.deepEqual(
      kinds,
      rows.map((_, index) => (index % 2 === 0 ? 'revoked' : 'good')),
    );
    assert.equal(await kindOf('999999'), 'unknown');
  });

  it('have no trace of the ones before while the server is away, and go on afterwards', async () => {
    await publish(second, row(1));
    assert.equal(await kindOf('1001'), 'good');
    await query(`ALTER DATABASE ${database} ALLOW_CONNECTIONS false`);
    await query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`);
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask('1001')));
    assert.deepEqual(
      answers.map(statusOf),
      answers.map(() => TRY_LATER),
    );
    await query(`ALTER DATABASE ${database} ALLOW_CONNECTIONS true`);
    for (let tries = 0; statusOf(await ask('1001')) !== 0 && tries < 100; tries++)
      await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(await kindOf('1001'), 'good');
  });
});
