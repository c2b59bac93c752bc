import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { encodeRow } from '../../../lib/store/certificate-row.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { row, rowWithBody } from './rows.ts';

describe('SQLite store whose file others use too', () => {
  const folder = mkdtempSync(join(tmpdir(), 'shared-store-'));
  const stores: WorkerStore[] = [];
  const open = (name: string): WorkerStore => {
    const store = new WorkerStore({ kind: 'sqlite', file: join(folder, name) });
    stores.push(store);
    return store;
  };
  const inFile = (name: string, sql: string): void => {
    const db = new DatabaseSync(join(folder, name));
    db.exec(sql);
    db.close();
  };

  afterEach(() => Promise.all(stores.splice(0).map((store) => store.close())));
  after(() => rmSync(folder, { recursive: true }));

  it('takes rows of a CA that the other one wrote first', async () => {
    const [one, other] = [open('issuer'), open('issuer')];
    await Promise.all([one.count(), other.count()]);
    assert.equal((await one.writeRows([encodeRow(row(1))], ALL_CAS)).verdicts, 's');
    assert.equal((await other.writeRows([encodeRow(row(2))], ALL_CAS)).verdicts, 's');
  });

  it('finds by issuer and serial number what the other one wrote', async () => {
    const [one, other] = [open('serial'), open('serial')];
    await other.count();
    await one.writeRows([encodeRow(row(1))], ALL_CAS);
    assert.deepEqual(await other.findBySerialNumber(row(1).issuerDN, row(1).serialNumber), [row(1)]);
  });

  it('makes the tables once when two open a new file together', async () => {
    for (let round = 0; round < 8; round++) {
      const counts = await Promise.all([open(`new ${round}`).count(), open(`new ${round}`).count()]);
      assert.deepEqual(counts[0], counts[1]);
    }
  });

  it('names no certificate that the database refused', async () => {
    const store = open('body');
    const data = rowWithBody(new Uint8Array([1, 2, 3]));
    await store.count();
    inFile('body', "CREATE TRIGGER t BEFORE INSERT ON CertificateBody BEGIN SELECT RAISE(ABORT, 'no'); END");
    assert.equal((await store.writeRows([encodeRow(data)], ALL_CAS)).verdicts, 'r');
    inFile('body', 'DROP TRIGGER t');
    assert.equal((await store.writeRows([encodeRow(data)], ALL_CAS)).verdicts, 's');
    assert.deepEqual(await store.findByFingerprint(data.fingerprint), data);
  });

  it('writes nothing when a trigger undoes the transaction, and counts nothing', async () => {
    const store = open('rollback');
    await store.count();
    inFile(
      'rollback',
      "CREATE TRIGGER t BEFORE INSERT ON CertificateData WHEN new.subjectDN = 'CN=host-2' BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
    );
    const rows = [1, 2, 3].map((index) => encodeRow(row(index)));
    await assert.rejects(store.writeRows(rows, ALL_CAS), { code: 'ERR_STORE_UNAVAILABLE' });
    assert.deepEqual(await store.count(), { total: 0, revoked: 0, withCertificate: 0 });
    assert.deepEqual(await store.list({ limit: 10 }), []);
  });

  it('refuses a buffer that was handed over before', async () => {
    const store = open('buffers');
    const chunk = encodeRow(row(1));
    assert.equal((await store.writeRows([chunk, chunk], ALL_CAS)).verdicts, 'su');
    await assert.rejects(store.writeRows([chunk], ALL_CAS), { code: 'ERR_INVALID_INPUT' });
    assert.equal((await store.count()).total, 1);
  });
});
