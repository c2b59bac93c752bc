/**
 * `kill -9` of either side with fifty RA requests in flight: none is executed twice, and who asks is answered or told.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BASE_PATH } from '../lib/protocol/operations.ts';
import { freePort } from './helpers/node-red.ts';
import { answer, question, type Ra, startRa, textOf } from './helpers/ra-sides.ts';
import { type Credential, createTestPki } from './helpers/test-pki.ts';
import { waitFor } from './helpers/wait-for.ts';

const REQUESTS = 50;

describe('RA requests when a side is killed', function () {
  this.timeout(40_000);
  const pki = createTestPki();
  const folder = mkdtempSync(join(tmpdir(), 'ra-crash-'));
  const children: ChildProcess[] = [];
  let ra: Ra | undefined;

  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await ra?.close();
    ra = undefined;
  });

  after(() => rmSync(folder, { recursive: true }));

  const startSide = async (side: 'ca' | 'ra', credential: Credential, port: number, file: string) => {
    const OPTIONS = JSON.stringify({
      port,
      certificate: credential.certificatePem,
      key: credential.keyPem,
      ca: pki.managementCa.certificatePem,
      file,
    });
    const child = fork(new URL('./helpers/ra-crash-side.ts', import.meta.url), {
      env: { ...process.env, SIDE: side, OPTIONS },
    });
    children.push(child);
    await once(child, 'message');
    return child;
  };
  const linesOf = (file: string): readonly string[] =>
    existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  const kill9 = async (child: ChildProcess): Promise<void> => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  };

  it('the CA, and another takes over: what was begun is told by name, the rest is answered, nothing runs twice', async () => {
    const running = await startRa({ lostMs: 2_000 }, pki);
    ra = running;
    const file = join(folder, 'executed-ca');
    const { port } = running.peers.server;
    const first = await startSide('ca', pki.caClient, port, file);
    await waitFor({
      look: () => running.queue.facts().idleConnections === 10 || undefined,
      what: 'ten idle connections',
      timeoutMs: 5_000,
    });
    const asked = Array.from({ length: REQUESTS }, (_, i) =>
      running.queue.ask(question(`${i}`, { id: `request-${i}`, deadlineMs: 8_000 })).then(
        (outcome) => textOf(outcome),
        (error: { code: string }) => error.code,
      ),
    );
    await waitFor({ look: () => linesOf(file).length > 10 || undefined, what: 'executions', timeoutMs: 5_000 });
    await kill9(first);
    const begun = performance.now();
    await startSide('ca', pki.caClient, port, file);
    const outcomes = await Promise.all(asked);
    assert.ok(performance.now() - begun < 8_000);
    const executed = linesOf(file);
    assert.equal(new Set(executed).size, executed.length, 'none twice');
    for (const [i, outcome] of outcomes.entries()) {
      assert.ok(outcome === `for request-${i}` || outcome === 'ERR_RA_CA_LOST', `${i}: ${outcome}`);
    }
    const lost = outcomes.filter((outcome) => outcome === 'ERR_RA_CA_LOST');
    assert.ok(lost.length > 0 && lost.length <= REQUESTS);
  });

  it('one of two CAs: all goes to the other one at once, and nothing runs twice', async () => {
    const running = await startRa({}, pki);
    ra = running;
    const files = ['executed-one', 'executed-two'].map((name) => join(folder, name));
    const { port } = running.peers.server;
    const [first] = await Promise.all(files.map((file) => startSide('ca', pki.caClient, port, file)));
    await waitFor({
      look: () => running.queue.facts().idleConnections === 20 || undefined,
      what: 'ten idle connections of each',
      timeoutMs: 5_000,
    });
    const ask = (name: string): Promise<string>[] =>
      Array.from({ length: REQUESTS }, (_, i) =>
        running.queue.ask(question(`${i}`, { id: `${name}-${i}`, deadlineMs: 8_000 })).then(
          (outcome) => textOf(outcome),
          (error: { code: string }) => error.code,
        ),
      );
    const before = ask('before');
    await waitFor({
      look: () => files.every((file) => linesOf(file).length > 5) || undefined,
      what: 'executions at both',
      timeoutMs: 5_000,
    });
    await kill9(first as ChildProcess);
    const killedAt = performance.now();
    const ofFirst = linesOf(files[0] as string).length;
    const after = await Promise.all(ask('after'));
    const tookMs = Math.round(performance.now() - killedAt);
    const wrong = after.filter((outcome, i) => outcome !== `for after-${i}`);
    assert.deepEqual(wrong, [], 'answered by the other one');
    assert.ok(tookMs < 10_000, `${tookMs} ms`);
    assert.equal(linesOf(files[0] as string).length, ofFirst);
    for (const [i, outcome] of (await Promise.all(before)).entries()) {
      assert.ok(outcome === `for before-${i}` || outcome === 'ERR_RA_CA_LOST', `${i}: ${outcome}`);
    }
    const executed = files.flatMap(linesOf);
    assert.equal(new Set(executed).size, executed.length, 'none twice');
    console.log(`      all ${REQUESTS} that came after the kill were answered within ${tookMs} ms`);
  });

  it('the RA, which asks all again under their ids after its restart: each runs once, and is answered', async () => {
    const port = await freePort();
    const file = join(folder, 'outcomes-ra');
    const executed: string[] = [];
    // The CA is this process; it knows where the RA will be.
    const elsewhere = await startRa({}, pki);
    ra = elsewhere;
    const { worker } = elsewhere.startCa(
      async ({ request: { id } }) => {
        executed.push(id);
        await delay(300);
        return answer(`for ${id}`);
      },
      { url: new URL(`https://localhost:${port}${BASE_PATH}`), minimum: 10, maximum: 50 },
    );
    const first = await startSide('ra', pki.vaServer, port, file);
    await waitFor({ look: () => executed.length > 10 || undefined, what: 'executions', timeoutMs: 10_000 });
    await kill9(first);
    const before = linesOf(file).filter((line) => line !== '').length;
    assert.ok(before < REQUESTS);
    await startSide('ra', pki.vaServer, port, file);
    const lines = await waitFor({
      look: () => (linesOf(file).length >= before + REQUESTS ? linesOf(file).slice(before) : undefined),
      what: 'all outcomes',
      timeoutMs: 10_000,
      context: () => JSON.stringify([worker.state(), linesOf(file).length, executed.length]),
    });
    assert.deepEqual(
      lines.filter((line) => !/^(request-\d+) for \1$/.test(line)),
      [],
    );
    assert.deepEqual([...executed].sort(), Array.from({ length: REQUESTS }, (_, i) => `request-${i}`).sort());
    assert.ok(worker.state().repeated > 0);
  });
});
