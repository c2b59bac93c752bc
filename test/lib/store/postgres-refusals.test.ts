import assert from 'node:assert/strict';
import type { CertificateStore } from '../../../lib/store/certificate-store.ts';
import type { PostgresConfig } from '../../../lib/store/postgres-connection.ts';
import { EVERY_ROW } from '../../../lib/store/row-filter.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { PostgresDatabases, query, skipWithoutServer } from './postgres-database.ts';
import { sumsAreRight } from './postgres-recount.ts';
import { fingerprint, row, rowWithBody, stream } from './rows.ts';

const PASSWORD = 'not-to-be-shown';

describe('PostgreSQL store that cannot do as it should', function () {
  this.timeout(30_000);
  const databases = new PostgresDatabases();
  const opened: CertificateStore[] = [];
  const roles: string[] = [];
  let config: PostgresConfig;

  const open = (change: Partial<PostgresConfig> = {}): CertificateStore => {
    const store = new WorkerStore({ ...config, password: PASSWORD, ...change });
    opened.push(store);
    return store;
  };
  /** A user and what they may do. */
  const role = async (...grants: readonly string[]): Promise<string> => {
    const name = `peer_role_${process.pid}_${roles.length}`;
    await query(`CREATE ROLE ${name} LOGIN`, config);
    roles.push(name);
    for (const grant of grants) await query(`${grant} TO ${name}`, config);
    return name;
  };
  const fails = (work: Promise<unknown>, code: string, message: RegExp) =>
    assert.rejects(work, (error: Error & { code: string }) => {
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, new RegExp(PASSWORD));
      return true;
    });

  before(function () {
    return skipWithoutServer(this);
  });
  beforeEach(async () => {
    config = await databases.open();
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((store) => store.close()));
  });
  after(async () => {
    await databases.drop();
    for (const name of roles) await query(`DROP ROLE ${name}`);
  });

  it('refuses tables of another program and leaves them as they are', async () => {
    await query('CREATE TABLE CertificateData (fingerprint TEXT)', config);
    await fails(open().count(), 'ERR_STORE_NOT_A_DATABASE', /tables of another program, such as certificatedata/);
    const tables = await query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", config);
    assert.deepEqual(tables, [{ tablename: 'certificatedata' }]);
  });

  it('refuses tables that only look like its own', async () => {
    await query('CREATE TABLE PeerStore (application TEXT, version INTEGER)', config);
    await fails(open().count(), 'ERR_STORE_NOT_A_DATABASE', /tables of another program/);
  });

  it('refuses a store of another version', async () => {
    const store = open();
    await store.count();
    await store.close();
    await query('UPDATE PeerStore SET version = 99', config);
    await fails(open().count(), 'ERR_STORE_NOT_A_DATABASE', /store version 99, this program knows 1/);
  });

  it('begins to work by itself once the tables of the other program are gone', async () => {
    await query('CREATE TABLE Theirs (a INTEGER)', config);
    const store = open();
    await fails(store.count(), 'ERR_STORE_NOT_A_DATABASE', /theirs/);
    await query('DROP TABLE Theirs', config);
    const end = Date.now() + 10_000;
    while (Date.now() < end && !(await store.count().then(Boolean, () => false)))
      await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal((await store.count()).total, 0);
  });

  it('refuses a database that cannot hold every name', async () => {
    const database = `${config.database}_latin1`;
    await query(`CREATE DATABASE ${database} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`);
    await fails(open({ database }).count(), 'ERR_INVALID_CONFIG', /encoding LATIN1; it must have UTF8/);
    await query(`DROP DATABASE ${database} WITH (FORCE)`);
  });

  it('names a database that is not there', async () => {
    await fails(open({ database: 'nowhere' }).count(), 'ERR_INVALID_CONFIG', /database nowhere at .* is not there/);
  });

  it('names a user who is not let in', async () => {
    await fails(open({ user: 'nobody' }).count(), 'ERR_INVALID_CONFIG', /does not let the user "nobody" in/);
  });

  it('names a user who may not make tables', async () => {
    await fails(open({ user: await role() }).count(), 'ERR_INVALID_CONFIG', /lacks a right .*schema public/);
  });

  it('reads for a user who may only read, and names what is missing for more', async () => {
    await open().writeRows([stream(row(1))], ALL_CAS);
    const store = open({ user: await role('GRANT SELECT ON ALL TABLES IN SCHEMA public') });
    assert.equal((await store.count()).total, 1);
    assert.equal((await store.findByFingerprint(fingerprint(1)))?.subjectDN, 'CN=host-1');
    await fails(store.writeRows([stream(row(2))], ALL_CAS), 'ERR_INVALID_CONFIG', /lacks a right/);
    assert.equal((await store.count()).total, 1);
  });

  for (const [what, change, sentence] of [
    ['host', { host: ' ' }, /has no host/],
    ['port', { port: 70_000 }, /no usable port: 70000/],
    ['database', { database: '' }, /has no database/],
    ['user', { user: '' }, /has no user/],
  ] as const) {
    it(`refuses a configuration without a usable ${what}`, async () => {
      await fails(open(change).probe(), 'ERR_INVALID_CONFIG', sentence);
    });
  }

  it('refuses to speak in the clear when TLS is asked for', async () => {
    const [setting] = await query('SHOW ssl');
    const sentence = setting?.['ssl'] === 'on' ? /certificate/ : /SSL/;
    await fails(open({ tls: {} }).count(), 'ERR_STORE_UNAVAILABLE', sentence);
  });

  for (const [what, count] of [
    ['few', 5],
    ['many', 500],
  ] as const) {
    it(`refuses by itself the row that the database refuses, among ${what}`, async () => {
      const store = open();
      await store.probe();
      await query(
        `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF NEW.subjectDN = 'CN=host-3' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON CertificateData FOR EACH ROW EXECUTE FUNCTION refuse()`,
        config,
      );
      const rows = Array.from({ length: count }, (_, index) => row(index));
      const marks = { peers: ['va'], withCertificate: false, onlyRevoked: false };
      const body = rowWithBody(Buffer.from('a certificate'), { subjectDN: 'CN=host-3' });
      const { verdicts, refusals, sequences } = await store.writeRows([stream(...rows, body)], ALL_CAS, marks);
      assert.equal(verdicts, `sssr${'s'.repeat(count - 4)}r`);
      assert.deepEqual([...new Set(refusals.map(({ code }) => code))], ['ERR_STORE_UNAVAILABLE']);
      assert.match(refusals[0]?.detail ?? '', /not this one/);
      assert.equal(sequences?.[3], 0);
      assert.equal((await store.queueSummaries(Date.now()))[0]?.waiting, count - 1);
      await sumsAreRight(store, config);
    });
  }

  it('writes nothing when a statement is refused for another reason, and goes on by itself', async () => {
    const store = open();
    await store.writeRows([stream(row(1))], ALL_CAS);
    await query('ALTER TABLE Counts RENAME TO Hidden', config);
    await fails(store.writeRows([stream(row(2))], ALL_CAS), 'ERR_STORE_UNAVAILABLE', /counts/);
    await query('ALTER TABLE Hidden RENAME TO Counts', config);
    assert.equal((await store.count()).total, 1);
    assert.equal((await store.writeRows([stream(row(2))], ALL_CAS)).verdicts, 's');
    await sumsAreRight(store, config);
  });

  it('waits for a lock of somebody else, and reads meanwhile', async () => {
    const store = open();
    await store.writeRows([stream(row(1))], ALL_CAS);
    const { default: pg } = await import('pg');
    const other = new pg.Client(config);
    await other.connect();
    await other.query('BEGIN; UPDATE CertificateData SET status = status');
    const writing = store.writeRows([stream(row(1, { updateTime: row(1).updateTime + 1 }))], ALL_CAS);
    assert.equal((await store.list({ limit: 10 })).length, 1);
    await store.page({ filter: EVERY_ROW, after: new Uint8Array(0), limit: 10, maxBytes: 1_000 });
    await other.query('ROLLBACK');
    await other.end();
    assert.equal((await writing).verdicts, 's');
  });

  it('keeps commits on the disk though the user was set to be careless', async () => {
    const user = await role('GRANT CREATE, USAGE ON SCHEMA public');
    await query(
      `ALTER ROLE ${user} SET synchronous_commit = off; ALTER ROLE ${user} SET default_transaction_isolation = serializable`,
    );
    const store = open({ user });
    await store.probe();
    await query(
      `CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         RAISE EXCEPTION '% %', current_setting('synchronous_commit'), current_setting('transaction_isolation'); END $$;
       CREATE TRIGGER tell BEFORE INSERT ON CertificateData FOR EACH ROW EXECUTE FUNCTION tell()`,
      config,
    );
    const { refusals } = await store.writeRows([stream(row(1))], ALL_CAS);
    assert.match(refusals[0]?.detail ?? '', /on read committed/);
  });
});
