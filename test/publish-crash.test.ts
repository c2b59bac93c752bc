/**
 * Publishing by way of the queue in which either side is killed at a random moment, again and again: nothing of which
 * somebody was told that it is stored or queued is lost, nothing is made up, and what is left is published after the
 * restart without anybody asking.
 *
 * `PUBLISH_CRASH_ROUNDS=200` makes it as long as a release wants it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { marksLeft, PublishJournal, type ToldOrder } from './helpers/publish-journal.ts';
import { createTestPki } from './helpers/test-pki.ts';
import { chance } from './lib/store/rows.ts';

const ROUNDS = Number(process.env['PUBLISH_CRASH_ROUNDS'] ?? 4);
const ROWS = 1_000;
const DRAIN_MS = 30_000;
/** States published after the restart begin here. */
const AFTER_RESTART = 10_000;

describe(`publishing under kill -9, ${ROUNDS} rounds`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'publish-crash-'));
  const pki = createTestPki();
  const seed = Date.now() % 1_000_000;
  const random = chance(seed);
  const children: ChildProcess[] = [];

  after(() => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });

  const startSide = async (side: 'ca' | 'va', file: string, port: number) => {
    const { certificatePem: certificate, keyPem: key } = side === 'va' ? pki.vaServer : pki.caClient;
    const settings = { file, port, certificate, key, ca: pki.managementCa.certificatePem };
    const child = fork(new URL('./helpers/publish-side.ts', import.meta.url), [side, JSON.stringify(settings)], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    children.push(child);
    const [message] = (await once(child, 'message')) as [{ port?: number }];
    return { child, port: message.port ?? port };
  };
  const kill = async (child: ChildProcess): Promise<void> => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  /** Changes of rows, some of them again and again, in many messages at once. */
  const publishSome = async (ca: ChildProcess, journal: PublishJournal, turns: number, from: number): Promise<void> => {
    for (let turn = 0; turn < turns; turn++) {
      const orders = Array.from({ length: 50 }, (_, i) => ({ index: random(ROWS), state: from + turn * 50 + i }));
      for (const order of orders) journal.attempt(order);
      if (!ca.connected) return;
      ca.send(orders, () => undefined);
      await delay(random(20));
    }
  };

  for (let round = 0; round < ROUNDS; round++) {
    const victim = round % 2 === 0 ? 'CA' : 'VA';
    it(`round ${round}: the ${victim} is killed`, async function () {
      this.timeout(60_000);
      const [caFile, vaFile] = [join(folder, `ca-${round}.sqlite`), join(folder, `va-${round}.sqlite`)];
      const journal = new PublishJournal();
      let va = await startSide('va', vaFile, 0);
      let ca = await startSide('ca', caFile, va.port);
      const listen = (child: ChildProcess): void => {
        child.on('message', (message) => journal.told(message as ToldOrder));
      };
      listen(ca.child);
      const publishing = publishSome(ca.child, journal, 40, 1);
      await delay(50 + random(500));
      await kill(victim === 'VA' ? va.child : ca.child);
      await publishing;
      if (victim === 'VA') va = await startSide('va', vaFile, va.port);
      else {
        ca = await startSide('ca', caFile, va.port);
        listen(ca.child);
      }
      await publishSome(ca.child, journal, 4, AFTER_RESTART);
      for (const end = Date.now() + DRAIN_MS; ; await delay(50)) {
        const silent = journal.silent(victim === 'CA' ? AFTER_RESTART : 0);
        if (silent === 0 && marksLeft(caFile) === 0) break;
        assert.ok(Date.now() < end, `${marksLeft(caFile)} marks left, ${silent} messages silent, seed ${seed}`);
      }
      await delay(300);
      await Promise.all([kill(ca.child), kill(va.child)]);

      await journal.check(caFile, vaFile, seed);
      assert.ok(journal.acknowledged.size + journal.queued.size > 0);
    });
  }
});
