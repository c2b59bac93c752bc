import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { BASE_PATH } from '../../../lib/protocol/operations.ts';
import type { RaTask } from '../../../lib/ra/ra-execution.ts';
import { answer, question, type Ra, startRa, textOf } from '../../helpers/ra-sides.ts';
import { startProxy } from '../../helpers/tcp-proxy.ts';
import { waitFor } from '../../helpers/wait-for.ts';
import { chance } from '../store/rows.ts';

/** A handler whose requests wait until the test lets them go. */
function gate() {
  const waiting: (() => void)[] = [];
  const tasks: RaTask[] = [];
  let most = 0;
  return {
    tasks,
    most: () => most,
    held: () => waiting.length,
    open: () => {
      for (const go of waiting.splice(0)) go();
    },
    handle: async (task: RaTask) => {
      tasks.push(task);
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
        most = Math.max(most, waiting.length);
      });
      return answer('done');
    },
  };
}

describe('RA worker', () => {
  let ra: Ra;

  afterEach(() => ra?.close());

  const until = (look: () => boolean, what: string, timeoutMs = 5_000) =>
    waitFor({ look: () => look() || undefined, what, timeoutMs, context: () => JSON.stringify(ra.queue.facts()) });

  it('answers a request over a connection that the CA opened', async () => {
    ra = await startRa();
    ra.startCa();
    assert.equal(textOf(await ra.queue.ask(question('hello'))), 'hello');
  });

  it('tells the handler who asks, what, and with which rights', async () => {
    ra = await startRa();
    const gates = gate();
    ra.startCa(gates.handle);
    const administrator = {
      subjectDN: 'CN=admin',
      certificate: '',
      rules: { '/ra_master/invoke_api': 'allow', '/ra_functionality': 'allow', '/ca_functionality': 'allow' },
    } as const;
    const http = { method: 'POST', url: '/enrol?x=1', headers: { a: 'b' }, query: { x: '1' }, params: {} };
    const asked = ra.queue.ask(question('csr', { administrator, http, id: 'my-1' }));
    await until(() => gates.held() === 1, 'the request');
    const [task] = gates.tasks;
    assert.equal(task?.request.id, 'my-1');
    assert.deepEqual(task?.request.http, http);
    assert.deepEqual(task?.request.administrator, administrator);
    assert.equal(task?.rights.ra, 'CN=va-1,O=Test,C=SE');
    assert.equal(task?.rights.rules['/ra_functionality'], 'allow');
    assert.equal(task?.rights.rules['/'], 'deny');
    gates.open();
    await asked;
  });

  describe('keeps the number of connections', () => {
    it('at the minimum while idle', async () => {
      ra = await startRa();
      ra.startCa(undefined, { minimum: 3, maximum: 8 });
      await until(() => ra.queue.facts().idleConnections === 3, 'three idle connections');
      await delay(300);
      assert.equal(ra.queue.facts().idleConnections, 3);
    });

    it('growing while all are in use, never above the maximum, and back at the minimum when idle again', async () => {
      ra = await startRa();
      const gates = gate();
      const { worker } = ra.startCa(gates.handle, { minimum: 2, maximum: 8, waitMs: 400 });
      const asked = Array.from({ length: 20 }, (_, i) => ra.queue.ask(question(String(i))));
      await until(() => gates.held() === 8, 'eight at once');
      await delay(200);
      assert.equal(gates.held(), 8);
      assert.equal(ra.queue.facts().waiting, 12);
      assert.equal(worker.state().state, 'busy');
      const timer = setInterval(gates.open, 20);
      await Promise.all(asked);
      clearInterval(timer);
      assert.equal(gates.most(), 8);
      await until(() => worker.state().waiting === 2 && ra.queue.facts().idleConnections === 2, 'the minimum');
    });

    it('within its bounds over a line of 50 to 300 ms, back at the minimum when idle again', async function () {
      this.timeout(40_000);
      ra = await startRa();
      const proxy = await startProxy(ra.peers.server.port);
      const random = chance(14);
      proxy.setLatency(() => 50 + random(251));
      let [running, most, executed] = [0, 0, 0];
      const work = async () => {
        running += 1;
        executed += 1;
        most = Math.max(most, running);
        await delay(20);
        running -= 1;
        return answer('');
      };
      const url = new URL(`https://localhost:${proxy.port}${BASE_PATH}`);
      const { worker } = ra.startCa(work, { minimum: 2, maximum: 8, waitMs: 1_500, url });
      let mostConnections = 0;
      const watch = setInterval(() => {
        const { working, waiting } = worker.state();
        mostConnections = Math.max(mostConnections, working + waiting);
      }, 5);
      try {
        await until(() => ra.queue.facts().idleConnections === 2, 'the minimum');
        await Promise.all(Array.from({ length: 60 }, () => ra.queue.ask(question('', { deadlineMs: 15_000 }))));
        assert.equal(executed, 60);
        assert.ok(
          mostConnections > 2 && mostConnections <= 8 && most <= 8,
          `${most} at once, ${mostConnections} connections`,
        );
        await until(() => worker.state().waiting === 2 && ra.queue.facts().idleConnections === 2, 'the minimum again');
      } finally {
        clearInterval(watch);
        await proxy.close();
      }
    });

    it('so that a burst after idleness is served at once up to the minimum', async () => {
      ra = await startRa();
      const gates = gate();
      ra.startCa(gates.handle, { minimum: 5, maximum: 5 });
      await until(() => ra.queue.facts().idleConnections === 5, 'five idle connections');
      const asked = Array.from({ length: 5 }, (_, i) => ra.queue.ask(question(String(i))));
      assert.equal(ra.queue.facts().waiting, 0);
      await until(() => gates.held() === 5, 'all five');
      gates.open();
      await Promise.all(asked);
    });

    it('with a connection waiting beside one request under way', async () => {
      ra = await startRa();
      const gates = gate();
      const { worker } = ra.startCa(gates.handle, { minimum: 1, maximum: 4 });
      const asked = ra.queue.ask(question());
      await until(() => gates.held() === 1 && ra.queue.facts().idleConnections === 1, 'another idle connection');
      assert.deepEqual([worker.state().state, worker.state().working, worker.state().waiting], ['working', 1, 1]);
      gates.open();
      await asked;
    });
  });

  it('gives more requests to the CA with more idle connections', async () => {
    ra = await startRa();
    const counts = [0, 0];
    const counting = (index: number) => async () => {
      counts[index] = (counts[index] ?? 0) + 1;
      return answer('');
    };
    ra.startCa(counting(0), { minimum: 1, maximum: 1 });
    ra.startCa(counting(1), { minimum: 4, maximum: 4 });
    await until(() => ra.queue.facts().idleConnections === 5, 'five idle connections');
    for (let i = 0; i < 200; i++) await ra.queue.ask(question(String(i)));
    const [few = 0, many = 0] = counts;
    assert.equal(few + many, 200);
    assert.ok(few > 10 && many > 2 * few, `${few} and ${many}`);
  });

  it('serves several RAs from one CA, and one that floods does not starve the other', async () => {
    ra = await startRa();
    const other = await startRa({}, ra.pki);
    try {
      const slowly = async () => {
        await delay(20);
        return answer('');
      };
      ra.startCa(slowly, { maximum: 4 });
      other.startCa(slowly, { maximum: 4 });
      const flood = Array.from({ length: 200 }, (_, i) => ra.queue.ask(question(String(i))));
      await until(() => ra.queue.facts().waiting > 50, 'the flood');
      const start = performance.now();
      for (let i = 0; i < 5; i++) await other.queue.ask(question(String(i)));
      assert.ok(performance.now() - start < 1_000);
      assert.ok(ra.queue.facts().waiting > 0);
      await Promise.all(flood);
    } finally {
      await other.close();
    }
  });

  it('takes only the types it was told', async () => {
    ra = await startRa();
    ra.startCa(async () => answer('enrol'), { types: () => ['enrol'] });
    ra.startCa(async () => answer('other'), { types: () => ['revoke'] });
    await until(() => ra.queue.facts().idleConnections === 4, 'both');
    for (let i = 0; i < 10; i++) {
      assert.equal(textOf(await ra.queue.ask(question(`${i}`))), 'enrol');
      assert.equal(textOf(await ra.queue.ask(question(`${i}`, { type: 'revoke' }))), 'other');
    }
    await assert.rejects(ra.queue.ask(question('', { type: 'status', deadlineMs: 200 })), { code: 'ERR_RA_NO_CA' });
  });

  it('tells a named error when the handler fails, and goes on', async () => {
    ra = await startRa();
    let isBroken = true;
    ra.startCa(async () => {
      if (isBroken) throw new TypeError('the flow is broken');
      return answer('well');
    });
    await assert.rejects(ra.queue.ask(question()), { code: 'ERR_INTERNAL' });
    isBroken = false;
    assert.equal(textOf(await ra.queue.ask(question())), 'well');
  });

  it('frees the connection of a request that is never answered, by its deadline', async () => {
    ra = await startRa();
    let aborted = 0;
    const { worker } = ra.startCa(
      ({ signal }) =>
        new Promise(() => {
          signal.addEventListener('abort', () => {
            aborted += 1;
          });
        }),
      { minimum: 1, maximum: 1 },
    );
    const start = performance.now();
    await assert.rejects(ra.queue.ask(question('', { deadlineMs: 600 })), { code: 'ERR_RA_NO_ANSWER' });
    assert.ok(performance.now() - start < 700);
    await until(() => worker.state().waiting === 1, 'the connection to wait again');
    assert.equal(aborted, 1);
    assert.equal(worker.state().failed, 1);
  });

  it('refuses an answer above the limit by name', async () => {
    ra = await startRa();
    ra.startCa(async () => answer('x'.repeat(2_000)), { maxContentBytes: 1_000 });
    await assert.rejects(ra.queue.ask(question()), { code: 'ERR_TOO_LARGE' });
  });

  it('stops within a second; what was under way ends by name', async () => {
    ra = await startRa();
    const gates = gate();
    const ca = ra.startCa(gates.handle, { minimum: 2, maximum: 10 });
    const asked = Array.from({ length: 6 }, (_, i) => ra.queue.ask(question(String(i))));
    await until(() => gates.held() === 6, 'six under way');
    const start = performance.now();
    const outcomes = Promise.allSettled(asked);
    await ca.close();
    assert.ok(performance.now() - start < 1_000);
    for (const outcome of await outcomes) {
      assert.equal((outcome as PromiseRejectedResult).reason.code, 'ERR_RA_CA_LOST');
    }
    assert.equal(ca.worker.state().state, 'stopped');
    assert.equal(ra.queue.facts().cas.length, 0);
  });

  it('tries again while the RA cannot be reached, and works as soon as it can', async () => {
    ra = await startRa();
    const proxy = await startProxy(ra.peers.server.port);
    try {
      proxy.setDown(true);
      const url = new URL(`https://localhost:${proxy.port}${BASE_PATH}`);
      const { worker, close } = ra.startCa(undefined, { url });
      await until(() => worker.state().state === 'unreachable', 'the failure');
      assert.equal(worker.state().lastError?.code, 'ERR_PEER_UNREACHABLE');
      proxy.setDown(false);
      assert.equal(textOf(await ra.queue.ask(question('back'))), 'back');
      assert.equal(worker.state().lastError, undefined);
      await close();
    } finally {
      await proxy.close();
    }
  });

  it('is told by the RA when its role does not allow it to listen', async () => {
    ra = await startRa({}, undefined, { '/peerincoming': 'allow' });
    const { worker } = ra.startCa();
    await until(() => worker.state().lastError?.code === 'ERR_NOT_AUTHORIZED', 'the refusal');
    await assert.rejects(ra.queue.ask(question('', { deadlineMs: 200 })), { code: 'ERR_RA_NO_CA' });
  });
});
