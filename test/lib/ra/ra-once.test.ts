/**
 * Once and only once: whatever is lost, repeated or broken, a request is executed at most once, and who asks gets one
 * answer or a named error by the deadline.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { BASE_PATH } from '../../../lib/protocol/operations.ts';
import type { RaCall, RaCaller, RaNext, RaResult } from '../../../lib/protocol/ra-messages.ts';
import type { RaTask } from '../../../lib/ra/ra-execution.ts';
import { RaQueue } from '../../../lib/ra/ra-queue.ts';
import { answer, question, type Ra, startRa, textOf } from '../../helpers/ra-sides.ts';
import { startProxy } from '../../helpers/tcp-proxy.ts';
import { waitFor } from '../../helpers/wait-for.ts';

const REQUESTS = 50;

describe('RA requests, once and only once', () => {
  let ra: Ra;
  let proxy: Awaited<ReturnType<typeof startProxy>>;
  let executed: Map<string, number>;

  const counting =
    (workMs = 0) =>
    async ({ request }: RaTask) => {
      executed.set(request.id, (executed.get(request.id) ?? 0) + 1);
      if (workMs > 0) await delay(workMs);
      return answer(`for ${request.id}`);
    };

  beforeEach(async () => {
    executed = new Map();
    ra = await startRa();
    proxy = await startProxy(ra.peers.server.port);
  });

  afterEach(async () => {
    await ra.close();
    await proxy.close();
  });

  const url = () => new URL(`https://localhost:${proxy.port}${BASE_PATH}`);
  const until = (look: () => boolean, what: string, timeoutMs = 8_000) =>
    waitFor({ look: () => look() || undefined, what, timeoutMs, context: () => JSON.stringify(ra.queue.facts()) });
  const askMany = (deadlineMs = 8_000) =>
    Promise.all(
      Array.from({ length: REQUESTS }, async (_, i) => {
        const id = `request-${i}`;
        const outcome = await ra.queue.ask(question(`${i}`, { id, deadlineMs })).then(textOf, (error) => error.code);
        assert.ok([`for ${id}`, 'ERR_RA_CA_LOST', 'ERR_RA_NO_ANSWER', 'ERR_RA_NOT_STARTED'].includes(outcome), outcome);
        return outcome;
      }),
    );
  const noneTwice = () =>
    assert.deepEqual(
      [...executed].filter(([, times]) => times > 1),
      [],
    );

  it('with every answer of the RA lost for a while', async () => {
    ra.startCa(counting(5), { url: url(), minimum: 4, maximum: 8 });
    await until(() => ra.queue.facts().idleConnections === 4, 'idle connections');
    proxy.set('cut-answers');
    const asked = askMany();
    await delay(800);
    assert.ok(proxy.cuts() > 3, `${proxy.cuts()} answers were lost`);
    proxy.set('pass');
    assert.deepEqual(
      await asked,
      Array.from({ length: REQUESTS }, (_, i) => `for request-${i}`),
    );
    assert.equal(executed.size, REQUESTS);
    noneTwice();
  });

  it('with all connections cut again and again', async () => {
    ra.startCa(counting(30), { url: url(), minimum: 4, maximum: 8 });
    await until(() => ra.queue.facts().idleConnections === 4, 'idle connections');
    const asked = askMany();
    for (let i = 0; i < 5; i++) {
      await delay(60);
      proxy.setDown(true);
      await delay(20);
      proxy.setDown(false);
    }
    const outcomes = await asked;
    assert.ok(
      outcomes.every((outcome) => outcome.startsWith('for ')),
      outcomes.join(' '),
    );
    assert.equal(executed.size, REQUESTS);
    noneTwice();
  });

  it('with connections that are half open, noticed by the time limit of the CA', async () => {
    ra.startCa(counting(), { url: url(), minimum: 2, maximum: 4, waitMs: 1_000, requestTimeoutMs: 1_500 });
    await until(() => ra.queue.facts().idleConnections === 2, 'idle connections');
    proxy.set('hang');
    // They are handed to connections that lead nowhere.
    const asked = [1, 2].map((i) => ra.queue.ask(question(String(i), { id: `half-${i}` })));
    await delay(300);
    assert.equal(ra.queue.facts().handedOut, 2);
    proxy.set('pass');
    const answers = await Promise.all(asked);
    assert.deepEqual(answers.map(textOf), ['for half-1', 'for half-2']);
    noneTwice();
  });

  it('when the same id is asked again: joined while under way, answered from what is kept afterwards', async () => {
    ra.startCa(counting(100));
    const ask = () => ra.queue.ask(question('same', { id: 'same-id' })).then(textOf);
    assert.deepEqual(await Promise.all([ask(), ask(), ask()]), Array(3).fill('for same-id'));
    assert.equal(await ask(), 'for same-id');
    assert.equal(executed.get('same-id'), 1);
  });

  it('and refuses another request under an id that was used', async () => {
    ra.startCa(counting());
    await ra.queue.ask(question('one', { id: 'taken' }));
    await assert.rejects(ra.queue.ask(question('two', { id: 'taken' })), { code: 'ERR_INVALID_INPUT' });
  });

  it('when the RA restarts and asks again under the id: the CA answers from what it keeps', async () => {
    const { worker } = ra.startCa(counting(), { url: url() });
    await ra.queue.ask(question('one', { id: 'kept' }));
    // A queue without memory, as after a restart.
    const fresh = await startRa({}, ra.pki);
    try {
      proxy.setDown(true);
      proxy.leadTo(fresh.peers.server.port);
      proxy.setDown(false);
      assert.equal(textOf(await fresh.queue.ask(question('one', { id: 'kept' }))), 'for kept');
      assert.equal(worker.state().answered, 1);
      assert.equal(worker.state().repeated, 1, JSON.stringify(worker.state()));
      noneTwice();
    } finally {
      await fresh.close();
    }
  });

  it('when redeployed in the middle: what was not begun goes to the next CA, the rest ends by name', async () => {
    const first = ra.startCa(counting(300), { minimum: 2, maximum: 4 });
    await until(() => ra.queue.facts().idleConnections === 2, 'idle connections');
    const asked = askMany();
    await until(() => executed.size === 4, 'four under way');
    await first.close();
    ra.startCa(counting(), { minimum: 2, maximum: 10 });
    const outcomes = await asked;
    assert.equal(outcomes.filter((outcome) => outcome === 'ERR_RA_CA_LOST').length, 4);
    assert.equal(outcomes.filter((outcome) => outcome.startsWith('for ')).length, REQUESTS - 4);
    noneTwice();
  });
});

/** A CA played by the test, call by call. */
function caller(queue: RaQueue, instance: string) {
  const closers = new Set<() => void>();
  const connection: RaCaller = {
    subjectDN: 'CN=test',
    onDisconnect: (listener) => {
      closers.add(listener);
      return () => closers.delete(listener);
    },
  };
  const base = { instance: instance.repeat(32), slot: 1, isLeaving: false, waitMs: 200, types: [], results: [] };
  return {
    next: (sequence: number, rest: Partial<RaCall> = {}) => queue.next({ ...base, sequence, ...rest }, connection),
    cut: () => {
      for (const close of [...closers]) close();
    },
  };
}

const resultFor = ({ request }: RaNext): RaResult => ({
  id: request?.id ?? '',
  ticket: request?.ticket ?? '',
  outcome: { answer: answer('done') },
});

describe('RA queue', () => {
  let queue: RaQueue;
  const open = (options: ConstructorParameters<typeof RaQueue>[0] = {}) => {
    queue = new RaQueue({ graceMs: 300, lostMs: 400, ...options });
    return queue;
  };

  afterEach(() => queue.close());

  it('hands the same request out again to the same call, and to no other', async () => {
    const asked = open().ask(question('', { id: 'x' }));
    const a = caller(queue, 'a');
    const b = caller(queue, 'b');
    const first = await a.next(1);
    assert.equal(first.request?.id, 'x');
    assert.deepEqual((await a.next(1)).request?.ticket, first.request?.ticket);
    assert.equal((await b.next(1)).request, undefined);
    assert.equal((await a.next(2, { waitMs: 0, results: [resultFor(first)] })).verdicts, 'a');
    assert.equal((await a.next(2, { waitMs: 0, results: [resultFor(first)] })).verdicts, 'r');
    assert.equal(textOf(await asked), 'done');
  });

  it('takes a result from nobody but who was handed the request', async () => {
    const asked = open().ask(question('', { id: 'x', deadlineMs: 300 }));
    const a = caller(queue, 'a');
    const handed = await a.next(1);
    const thief = caller(queue, 'b');
    assert.equal((await thief.next(1, { waitMs: 0, results: [resultFor(handed)] })).verdicts, 'u');
    const stale = { ...resultFor(handed), ticket: '00'.repeat(8) };
    const unasked = { ...resultFor(handed), id: 'y' };
    assert.equal((await a.next(2, { waitMs: 0, results: [stale, unasked] })).verdicts, 'uu');
    await assert.rejects(asked, { code: 'ERR_RA_NO_ANSWER' });
  });

  it('ignores a call that is older than one that came before', async () => {
    open();
    const a = caller(queue, 'a');
    const newer = a.next(5);
    const asked = queue.ask(question('', { deadlineMs: 300 }));
    assert.notEqual((await newer).request, undefined);
    assert.equal((await a.next(4)).request, undefined);
    await assert.rejects(asked);
  });

  it('lets a call that is repeated end the first, whose connection is broken', async () => {
    open();
    const a = caller(queue, 'a');
    const first = a.next(1);
    const second = a.next(1);
    assert.equal((await first).request, undefined);
    void queue.ask(question()).catch(() => undefined);
    assert.notEqual((await second).request, undefined);
  });

  it('hands nothing to a connection that has closed', async () => {
    open();
    const a = caller(queue, 'a');
    const held = a.next(1);
    a.cut();
    assert.equal((await held).request, undefined);
    void queue.ask(question()).catch(() => undefined);
    assert.equal(queue.facts().waiting, 1);
  });

  it('tells that nobody is listening', async () => {
    open();
    const start = performance.now();
    await assert.rejects(queue.ask(question()), { code: 'ERR_RA_NO_CA' });
    assert.ok(performance.now() - start < 1_500);
    await assert.rejects(queue.ask(question('', { deadlineMs: 50 })), { code: 'ERR_RA_NO_CA' });
  });

  it('tells that nobody took it in time while CAs are there, which is safe to try again', async () => {
    open({ lostMs: 5_000 });
    await caller(queue, 'a').next(1, { waitMs: 0 });
    await assert.rejects(queue.ask(question('', { deadlineMs: 100 })), { code: 'ERR_RA_NOT_STARTED' });
    assert.equal(queue.facts().waiting, 0);
  });

  it('tells that the CA is gone when it falls silent, and keeps what it delivers after its return', async () => {
    open();
    const a = caller(queue, 'a');
    const asked = queue.ask(question('q', { id: 'x' }));
    const handed = await a.next(1);
    await assert.rejects(asked, { code: 'ERR_RA_CA_LOST' });
    assert.equal((await a.next(2, { waitMs: 0, results: [resultFor(handed)] })).verdicts, 'a');
    assert.equal(textOf(await queue.ask(question('q', { id: 'x' }))), 'done');
  });

  it('delivers after the return of the CA to who asks again meanwhile', async () => {
    open();
    const a = caller(queue, 'a');
    const asked = queue.ask(question('q', { id: 'x' }));
    const handed = await a.next(1);
    await assert.rejects(asked, { code: 'ERR_RA_CA_LOST' });
    const again = queue.ask(question('q', { id: 'x' }));
    assert.equal((await caller(queue, 'b').next(1)).request, undefined);
    await a.next(2, { waitMs: 0, results: [resultFor(handed)] });
    assert.equal(textOf(await again), 'done');
  });

  it('gives a repeatable request of a lost CA to another one, and takes the first result', async () => {
    open({ graceMs: 3_000 });
    const a = caller(queue, 'a');
    const asked = queue.ask(question('q', { id: 'x', isRepeatable: true }));
    const handed = await a.next(1);
    await delay(1_200);
    assert.equal((await caller(queue, 'b').next(1)).request?.id, 'x');
    await a.next(2, { waitMs: 0, results: [resultFor(handed)] });
    assert.equal(textOf(await asked), 'done');
  });

  it('gives what a leaving CA never began to another one', async () => {
    open();
    const a = caller(queue, 'a');
    const asked = queue.ask(question('q', { id: 'x' }));
    await a.next(1);
    await a.next(2, { isLeaving: true, waitMs: 0 });
    const b = caller(queue, 'b');
    const handed = await b.next(1);
    assert.equal(handed.request?.id, 'x');
    await b.next(2, { waitMs: 0, results: [resultFor(handed)] });
    assert.equal(textOf(await asked), 'done');
  });

  it('hands out the highest priority first, and within it the oldest', async () => {
    open();
    for (const [id, priority] of [
      ['low', 1],
      ['first', 5],
      ['second', 5],
      ['high', 9],
    ] as const) {
      void queue.ask(question('', { id, priority })).catch(() => undefined);
    }
    const a = caller(queue, 'a');
    const order: (string | undefined)[] = [];
    for (let i = 1; i <= 4; i++) order.push((await a.next(i)).request?.id);
    assert.deepEqual(order, ['high', 'first', 'second', 'low']);
  });

  it('refuses at once what no CA would read', async () => {
    open();
    const http = { method: 'GET', url: '/', headers: {}, query: {}, params: {} };
    const administrator = { subjectDN: '', certificate: '', rules: {} };
    const deep = JSON.parse(`${'{"a":'.repeat(12)}0${'}'.repeat(12)}`);
    const wrong = [
      { administrator: { ...administrator, rules: { '/ca': 'accept' as never } } },
      { http: { ...http, method: 'GET /' } },
      { http: { ...http, query: deep } },
      { http: { ...http, url: 'x'.repeat(300_000) } },
    ];
    for (const rest of wrong) await assert.rejects(queue.ask(question('', rest)), { code: 'ERR_INVALID_INPUT' });
    assert.equal(queue.facts().waiting, 0);
  });

  it('refuses more than may wait, in all and of one type', async () => {
    open({ maxWaiting: 3, maxWaitingPerType: 2 });
    const ask = (type: string) => queue.ask(question('', { type }));
    for (const type of ['enrol', 'enrol', 'revoke']) void ask(type).catch(() => undefined);
    await assert.rejects(ask('revoke'), { code: 'ERR_OVERLOADED' });
    queue.close();
    open({ maxWaiting: 3, maxWaitingPerType: 2 });
    for (const type of ['enrol', 'enrol']) void ask(type).catch(() => undefined);
    await assert.rejects(ask('enrol'), { code: 'ERR_OVERLOADED' });
  });

  for (const [what, wrong, code] of [
    ['a content above the limit', { content: { kind: 'bytes', body: new Uint8Array(1_048_577) } }, 'ERR_TOO_LARGE'],
    ['a type that would not fit into an access rule', { type: '../ca' }, 'ERR_INVALID_INPUT'],
    ['an id with a line break', { id: 'a\nb' }, 'ERR_INVALID_INPUT'],
  ] as const) {
    it(`refuses ${what}`, async () => {
      open();
      await assert.rejects(queue.ask(question('', wrong)), { code });
    });
  }

  it('ends a cancelled request, which nobody is handed afterwards', async () => {
    open();
    const asked = queue.ask(question('', { id: 'x' }));
    assert.equal(queue.cancel('x'), true);
    await assert.rejects(asked, { code: 'ERR_CANCELLED' });
    assert.equal(queue.cancel('x'), false);
    assert.equal((await caller(queue, 'a').next(1)).request, undefined);
  });

  it('ends a request whose signal is aborted, which nobody is handed afterwards', async () => {
    open();
    const controller = new AbortController();
    const asked = queue.ask(question('', { id: 'x' }), controller.signal);
    controller.abort(new Error('gone'));
    await assert.rejects(asked, /gone/);
    assert.equal(queue.facts().waiting, 0);
  });

  it('tells all who wait when it is closed', async () => {
    open();
    const asked = queue.ask(question());
    queue.close();
    await assert.rejects(asked, { code: 'ERR_CANCELLED' });
    await assert.rejects(queue.ask(question()), { code: 'ERR_CANCELLED' });
  });
});
