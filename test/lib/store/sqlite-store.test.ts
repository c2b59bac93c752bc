import assert from 'node:assert/strict';
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { describePublisherQueue } from './queue-contract.ts';
import { fingerprint, row, rowWithBody, stream } from './rows.ts';
import { describeStatuses } from './status-contract.ts';
import { describeCertificateStore } from './store-contract.ts';

const folder = mkdtempSync(join(tmpdir(), 'sqlite-store-'));
const isRoot = process.getuid?.() === 0;
after(() => rmSync(folder, { recursive: true, force: true }));

describeCertificateStore(
  'SQLite',
  async (name) => new WorkerStore({ kind: 'sqlite', file: join(folder, `${name}.sqlite`) }),
);

describePublisherQueue(
  'SQLite',
  async (name) => new WorkerStore({ kind: 'sqlite', file: join(folder, `${name}.sqlite`) }),
);

describeStatuses('SQLite', async (name) => new WorkerStore({ kind: 'sqlite', file: join(folder, `${name}.sqlite`) }));

describe('SQLite store', () => {
  const opened: WorkerStore[] = [];
  let number = 0;
  const openFile = (file: string): WorkerStore => {
    const store = new WorkerStore({ kind: 'sqlite', file });
    opened.push(store);
    return store;
  };
  const newFile = (): string => join(folder, `own-${number++}.sqlite`);
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((store) => store.close()));
  });

  it('refuses a file that is not a database', async () => {
    const file = newFile();
    writeFileSync(file, 'This is a text, and long enough to be looked at as a database header. '.repeat(50));
    await assert.rejects(openFile(file).count(), { code: 'ERR_STORE_NOT_A_DATABASE' });
    assert.match(readFileSync(file, 'utf8'), /^This is a text/);
  });

  it('refuses a database of another program and leaves it as it is', async () => {
    const file = newFile();
    const db = new DatabaseSync(file);
    db.exec('CREATE TABLE Theirs (a); INSERT INTO Theirs VALUES (1)');
    db.close();
    const before = readFileSync(file);
    await assert.rejects(openFile(file).count(), { code: 'ERR_STORE_NOT_A_DATABASE', message: /another program/ });
    assert.deepEqual(readFileSync(file), before);
  });

  it('refuses a store of a later version', async () => {
    const file = newFile();
    const store = openFile(file);
    await store.count();
    await store.close();
    const db = new DatabaseSync(file);
    db.exec('PRAGMA user_version = 99');
    db.close();
    await assert.rejects(openFile(file).count(), { code: 'ERR_STORE_NOT_A_DATABASE', message: /version 99/ });
  });

  it('names a folder that is not there', async () => {
    await assert.rejects(openFile(join(folder, 'nowhere', 'x.sqlite')).count(), {
      code: 'ERR_STORE_UNAVAILABLE',
      message: /nowhere/,
    });
  });

  it('begins to work by itself once the folder is there', async () => {
    const file = join(folder, 'later', 'x.sqlite');
    const store = openFile(file);
    await assert.rejects(store.count(), { code: 'ERR_STORE_UNAVAILABLE' });
    mkdirSync(join(folder, 'later'));
    assert.equal((await store.count()).total, 0);
  });

  it('names a folder it may not write to', async function () {
    if (isRoot) this.skip(); // skipped: root may write anywhere
    const closed = join(folder, 'closed');
    mkdirSync(closed);
    chmodSync(closed, 0o500);
    await assert.rejects(openFile(join(closed, 'x.sqlite')).count(), { code: 'ERR_STORE_UNAVAILABLE' });
  });

  it('names a full disk, loses nothing, and goes on by itself when there is space', async function () {
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    if (!canMount(disk)) this.skip(); // skipped: no tmpfs
    try {
      const store = openFile(join(disk, 'x.sqlite'));
      await store.writeRows([stream(row(0))], ALL_CAS);
      const filler = join(disk, 'filler');
      fill(filler);
      const many = Array.from({ length: 20_000 }, (_, i) => row(i + 1));
      await assert.rejects(store.writeRows([stream(...many)], ALL_CAS), { code: 'ERR_STORE_FULL' });
      assert.deepEqual(await store.findByFingerprint(row(0).fingerprint), row(0));
      rmSync(filler);
      assert.equal((await store.writeRows([stream(row(1))], ALL_CAS)).verdicts, 's');
      assert.equal((await store.count()).total, 2);
      await store.close();
    } finally {
      execFileSync('umount', ['-l', disk]);
    }
  });

  function canMount(disk: string): boolean {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk], { stdio: 'pipe' });
      return true;
    } catch {
      return false;
    }
  }

  function fill(file: string): void {
    try {
      for (;;) appendFileSync(file, Buffer.alloc(64 * 1024));
    } catch {
      // Full, as wanted.
    }
  }

  it('waits for another process that holds the file, and names it when it takes too long', async function () {
    this.timeout(30_000);
    const file = newFile();
    const store = openFile(file);
    await store.count();
    const db = new DatabaseSync(file);
    db.exec('BEGIN IMMEDIATE');
    const writing = store.writeRows([stream(row(1))], ALL_CAS);
    setTimeout(() => db.exec('COMMIT'), 300);
    assert.equal((await writing).verdicts, 's');
    db.exec('BEGIN IMMEDIATE');
    await assert.rejects(store.writeRows([stream(row(2))], ALL_CAS), {
      code: 'ERR_STORE_UNAVAILABLE',
      message: /locked/,
    });
    db.exec('COMMIT');
    db.close();
    assert.equal((await store.writeRows([stream(row(2))], ALL_CAS)).verdicts, 's');
  });

  it('refuses the one row that the database refuses', async () => {
    const file = newFile();
    const store = openFile(file);
    await store.count();
    const db = new DatabaseSync(file);
    db.exec(
      "CREATE TRIGGER faulty BEFORE INSERT ON CertificateData WHEN new.subjectDN = 'CN=host-2' BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    );
    db.close();
    await store.close();
    const again = openFile(file);
    const { verdicts, refusals } = await again.writeRows([stream(row(1), row(2), row(3))], ALL_CAS);
    assert.equal(verdicts, 'srs');
    assert.match(refusals[0]?.detail ?? '', /not this one/);
  });

  for (const [what, table] of [
    ['row', 'CertificateData'],
    ['mark', 'PublisherQueue'],
  ] as const) {
    it(`holds neither row nor mark when the database refuses the ${what}`, async () => {
      const file = newFile();
      const store = openFile(file);
      await store.count();
      const db = new DatabaseSync(file);
      const condition = `new.fingerprint = x'${fingerprint(2)}'`;
      db.exec(
        `CREATE TRIGGER faulty BEFORE INSERT ON ${table} WHEN ${condition} BEGIN SELECT RAISE(ABORT, 'not this one'); END`,
      );
      const order = { peers: ['va'], withCertificate: true, onlyRevoked: false };
      const rows = [1, 2, 3].map((index) => rowWithBody(Buffer.of(index), { ...row(index), certificate: null }));
      rows[1] = row(2, { issuerDN: 'CN=Another CA' });
      const { verdicts, sequences } = await store.writeRows([stream(...rows)], ALL_CAS, order);
      assert.equal(verdicts, 'srs');
      assert.equal(sequences?.[1], 0);
      const { marks } = await store.dueMarks({ peer: 'va', kind: 'certificate', now: Date.now(), limit: 9 });
      assert.deepEqual([marks.length, (await store.count()).total], [2, 2]);
      db.exec('DROP TRIGGER faulty');
      db.close();
      assert.equal(
        (await store.writeRows([stream(row(2, { issuerDN: 'CN=Another CA' }))], ALL_CAS, order)).verdicts,
        's',
      );
      assert.equal((await store.findByFingerprint(fingerprint(2)))?.issuerDN, 'CN=Another CA');
    });
  }

  it('writes calls that come together in one transaction', async () => {
    const file = newFile();
    const store = openFile(file);
    await store.count();
    await Promise.all(Array.from({ length: 500 }, (_, i) => store.writeRows([stream(row(i))], ALL_CAS)));
    await store.close();
    const pages = execFileSync('stat', ['-c', '%s', file]).toString();
    assert.ok(Number(pages) > 0);
  });

  it('loses nothing that it acknowledged, and makes up nothing, under kill -9', async function () {
    this.timeout(60_000);
    for (let round = 0; round < 4; round++) {
      const file = newFile();
      const child = fork(new URL('./write-until-killed.ts', import.meta.url), [file], { stdio: 'ignore' });
      const acknowledged = new Set<string>();
      const attempted = new Set<string>();
      child.on('message', (message: { attempted?: string; acknowledged?: string }) => {
        if (message.attempted !== undefined) attempted.add(message.attempted);
        if (message.acknowledged !== undefined) acknowledged.add(message.acknowledged);
      });
      while (acknowledged.size < 150 + round * 130) await new Promise((resolve) => setTimeout(resolve, 5));
      child.kill('SIGKILL');
      await once(child, 'exit');
      const rows = await openFile(file).list({ limit: 1_000_000 });
      const found = new Set(rows.map((each) => each.fingerprint));
      assert.deepEqual(
        [...acknowledged].filter((each) => !found.has(each)),
        [],
        'lost',
      );
      assert.deepEqual(
        [...found].filter((each) => !attempted.has(each)),
        [],
        'phantom',
      );
    }
  });

  it('syncs before it acknowledges', async function () {
    this.timeout(30_000);
    if (!existsSync('/usr/bin/strace')) this.skip(); // skipped: no strace
    const file = newFile();
    const trace = join(folder, 'trace');
    try {
      execFileSync(
        'strace',
        [
          '-f',
          '-qq',
          '-e',
          'trace=fdatasync,fsync,write',
          '-o',
          trace,
          process.execPath,
          new URL('./write-and-tell.ts', import.meta.url).pathname,
          file,
        ],
        { stdio: 'pipe' },
      );
    } catch {
      this.skip(); // skipped: strace may not trace here
    }
    const lines = readFileSync(trace, 'utf8').split('\n');
    let synced = 0;
    let told = 0;
    for (const line of lines) {
      if (/f(data)?sync\(/.test(line)) synced += 1;
      if (!line.includes('"acknowledged')) continue;
      told += 1;
      assert.ok(synced > 0, `acknowledgement ${told} before its sync`);
      synced = 0;
    }
    assert.equal(told, 20);
  });
});
