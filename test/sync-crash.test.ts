/**
 * A synchronisation in which either side is killed at a random moment, again and again: nothing that was acknowledged
 * is lost, nothing is made up, and the next run finishes the work.
 *
 * `SYNC_CRASH_ROUNDS=50` makes it as long as a release wants it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WorkerStore } from '../lib/store/worker-store.ts';
import { ALL_CAS } from '../lib/x509/ca-scope.ts';
import { createTestPki } from './helpers/test-pki.ts';
import { chance, row, rowWithBody, stream } from './lib/store/rows.ts';

const ROUNDS = Number(process.env['SYNC_CRASH_ROUNDS'] ?? 4);
const ROWS = 1_500;

describe(`synchronisation under kill -9, ${ROUNDS} rounds`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'sync-crash-'));
  const pki = createTestPki();
  const seed = Date.now() % 1_000_000;
  const random = chance(seed);
  const children: ChildProcess[] = [];

  after(() => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });

  const startSide = async (side: 'ca' | 'va', settings: object): Promise<ChildProcess> => {
    const child = fork(new URL('./helpers/sync-side.ts', import.meta.url), [side, JSON.stringify(settings)], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    children.push(child);
    return child;
  };
  const startVa = async (file: string, port: number) => {
    const { certificatePem: certificate, keyPem: key } = pki.vaServer;
    const child = await startSide('va', { file, port, certificate, key, ca: pki.managementCa.certificatePem });
    const [message] = (await once(child, 'message')) as [{ port: number }];
    return { child, port: message.port };
  };
  const startCa = (file: string, port: number): Promise<ChildProcess> => {
    const { certificatePem: certificate, keyPem: key } = pki.caClient;
    return startSide('ca', { file, port, certificate, key, ca: pki.managementCa.certificatePem });
  };

  for (let round = 0; round < ROUNDS; round++) {
    const victim = round % 2 === 0 ? 'VA' : 'CA';
    it(`round ${round}: the ${victim} is killed`, async function () {
      this.timeout(60_000);
      const [caFile, vaFile] = [join(folder, `ca-${round}.sqlite`), join(folder, `va-${round}.sqlite`)];
      const source = new WorkerStore({ kind: 'sqlite', file: caFile });
      const rows = Array.from({ length: ROWS }, (_, i) =>
        i % 10 === 0 ? rowWithBody(Buffer.from(`${round} ${i}`)) : row(round * ROWS + i),
      );
      await source.writeRows([stream(...rows)], ALL_CAS);
      let va = await startVa(vaFile, 0);
      let ca = await startCa(caFile, va.port);
      await delay(400 + random(700));
      const killed = victim === 'VA' ? va.child : ca;
      // The CA may have been done before.
      if (killed.exitCode === null) {
        killed.kill('SIGKILL');
        await once(killed, 'exit');
      }
      if (victim === 'VA') va = await startVa(vaFile, va.port);
      if (ca.exitCode === null && victim === 'VA') await once(ca, 'exit');
      ca = await startCa(caFile, va.port);
      const [exitCode] = await once(ca, 'exit');
      assert.equal(exitCode, 0, `seed ${seed}`);
      va.child.kill('SIGKILL');
      await once(va.child, 'exit');
      const target = new WorkerStore({ kind: 'sqlite', file: vaFile });
      assert.deepEqual(await target.list({ limit: 100_000 }), await source.list({ limit: 100_000 }), `seed ${seed}`);
      await Promise.all([source.close(), target.close()]);
    });
  }
});
