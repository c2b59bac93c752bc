/**
 * A store whose process is killed at a random moment while it takes CRLs, again and again: one that was told stored is
 * there whole, with its mark; otherwise the one before is, whole; there is nothing in between.
 *
 * `CRL_CRASH_ROUNDS=200` makes it as long as a release wants it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { WorkerStore } from '../lib/store/worker-store.ts';
import { makeCrl, manyEntries } from './helpers/crl-maker.ts';
import { readCrl } from './helpers/crl-store.ts';
import { daysFromNow, issueRootCa } from './helpers/test-pki.ts';
import { chance } from './lib/store/rows.ts';

const ROUNDS = Number(process.env['CRL_CRASH_ROUNDS'] ?? 6);
const CRLS = 12;

describe(`CRLs under kill -9, ${ROUNDS} rounds`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'crl-crash-'));
  const ca = issueRootCa('CN=Crash CA,O=Test,C=SE');
  const seed = Date.now() % 1_000_000;
  const random = chance(seed);
  const crls = new Map<string, Buffer>();
  const children: ChildProcess[] = [];

  before(() => {
    for (let number = 1; number <= CRLS; number++) {
      const entries = manyEntries(10_000 + 5_000 * (number % 4));
      const crl = makeCrl({ issuer: ca, number: `${number}`, thisUpdate: daysFromNow(-1), entries });
      crls.set(`${number}`, crl);
      writeFileSync(join(folder, `${number}.crl`), crl);
    }
  });

  after(() => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });

  for (let round = 0; round < ROUNDS; round++) {
    it(`round ${round}`, async function () {
      this.timeout(30_000);
      const file = join(folder, `store-${round}.sqlite`);
      const files = [...crls.keys()].map((number) => join(folder, `${number}.crl`));
      const child = fork(new URL('./helpers/write-crls.ts', import.meta.url), [file, ...files], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      children.push(child);
      await once(child, 'message');
      let told = 0;
      child.on('message', ({ stored }: { readonly stored: string }) => {
        told = Math.max(told, Number(stored));
      });
      await delay(50 + random(700));
      if (child.exitCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }

      const store = new WorkerStore({ kind: 'sqlite', file });
      try {
        const rows = await store.crls.list();
        assert.ok(rows.length <= 1, `several stand, seed ${seed}`);
        const [row] = rows;
        const number = Number(row?.cRLNumber ?? 0);
        assert.ok(number === told || number === told + 1, `${number} stands, ${told} was told, seed ${seed}`);
        if (row !== undefined) {
          const crl = crls.get(row.cRLNumber);
          assert.ok(crl?.equals(await readCrl(store, row.fingerprint)), `torn, seed ${seed}`);
        }
        const { marks } = await store.listMarks({ state: 'all', after: '', limit: 9 });
        assert.deepEqual(
          marks.map(({ fingerprint }) => fingerprint),
          rows.map(({ fingerprint }) => fingerprint),
        );
      } finally {
        await store.close();
      }
      const db = new DatabaseSync(file, { readOnly: true });
      const left = db.prepare('SELECT count(*) AS n FROM CrlBody WHERE crlId NOT IN (SELECT crlId FROM CrlData)').get();
      assert.deepEqual([left?.['n'], db.prepare('PRAGMA integrity_check').get()?.['integrity_check']], [0, 'ok']);
      db.close();
    });
  }
});
