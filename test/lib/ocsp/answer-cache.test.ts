import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { ON_HOLD, REVOKED, row, stream } from '../store/rows.ts';
import { certId, isSignedBy, ocspRequest, readAnswer, statusOf } from './ocsp-messages.ts';
import { issueSigner, OCSP_KEYS, type OcspSide, openOcspSide, toSigner } from './ocsp-side.ts';

const HOUR = 3_600_000;

describe('Cached OCSP answers', () => {
  let side: OcspSide;
  beforeEach(async () => {
    side = await openOcspSide();
  });
  afterEach(() => side.close());

  const requestOf = (serial: string): Uint8Array => ocspRequest([certId(side.ca.certificate, serial)]);
  const kindOf = async (serial: string) => readAnswer(await side.ask(requestOf(serial))).singles[0]?.kind;
  const signed = (): number => side.responder.counters().signed;

  it('are the same bytes as long as nothing changes, and signed once', async () => {
    await side.publish(row(1));
    const first = await side.ask(requestOf('1001'));
    for (let i = 0; i < 50; i++) assert.deepEqual(await side.ask(requestOf('1001')), first);
    assert.equal(signed(), 1);
    assert.equal(side.responder.counters().cacheHits, 50);
  });

  it('are signed once for all who ask at the same time', async () => {
    await side.publish(row(1));
    await Promise.all(Array.from({ length: 100 }, () => side.ask(requestOf('1001'))));
    assert.equal(signed(), 1);
  });

  it('are signed once for all, too, when half of their validity is over', async () => {
    await side.publish(row(1));
    await side.ask(requestOf('1001'));
    side.time.now += 5 * HOUR;
    const answers = await Promise.all(Array.from({ length: 100 }, () => side.ask(requestOf('1001'))));
    for (const answer of answers) assert.deepEqual(answer, answers[0]);
    assert.equal(signed(), 2);
  });

  it('show a publish in the next answer, 500 times', async () => {
    for (let i = 1; i <= 500; i++) {
      const state = i % 2 === 0 ? {} : ON_HOLD;
      const asked = [kindOf('1001'), kindOf('1001')];
      await side.publish(row(1, { ...state, updateTime: 1_780_000_000_000 + i }));
      assert.equal(await kindOf('1001'), i % 2 === 0 ? 'good' : 'revoked');
      await Promise.all(asked);
    }
  }).timeout(60_000);

  it('outlive writes that do not touch their row', async () => {
    await side.publish(row(1));
    const first = await side.ask(requestOf('1001'));
    for (let i = 2; i < 20; i++) {
      await side.publish(row(i));
      assert.deepEqual(await side.ask(requestOf('1001')), first);
    }
    assert.equal(signed(), 1);
  });

  it('show within a moment what another process has written', async () => {
    await side.publish(row(1));
    assert.equal(await kindOf('1001'), 'good');
    const other = new WorkerStore({ kind: 'sqlite', file: side.file });
    for (let i = 1; i <= 6; i++) {
      const state = i % 2 === 0 ? {} : ON_HOLD;
      await other.writeRows([stream(row(1, { ...state, updateTime: 1_780_000_000_000 + i }))], ALL_CAS);
      await sleep(400);
      assert.equal(await kindOf('1001'), i % 2 === 0 ? 'good' : 'revoked');
    }
    await other.close();
  }).timeout(20_000);

  it('are asked about each time in a store that cannot tell its changes', async () => {
    const store = {
      changes: undefined,
      statusesOf: (questions: Parameters<WorkerStore['statusesOf']>[0]) => side.store.statusesOf(questions),
    };
    const responder = side.newResponder({ store });
    await side.publish(row(1));
    const ask = async () => (await responder.answer(requestOf('1001'))).der;
    const first = await ask();
    assert.deepEqual(await ask(), first);
    assert.equal(responder.counters().signed, 1);
    await side.publish(row(1, { ...REVOKED, updateTime: 1_780_000_000_001 }));
    assert.equal(readAnswer(await ask()).singles[0]?.kind, 'revoked');
  });

  it('are made anew in the middle of their validity, and never served beyond it', async () => {
    await side.publish(row(1));
    const start = side.time.now;
    for (let hours = 0; hours < 30; hours += 0.7) {
      side.time.now = start + hours * HOUR;
      const [single] = readAnswer(await side.ask(requestOf('1001'))).singles;
      assert.ok(single?.nextUpdate !== undefined && single.nextUpdate >= side.time.now + 4 * HOUR - 1000);
      assert.ok(single.thisUpdate <= side.time.now);
    }
    assert.ok(signed() < 10);
  });

  it('are made anew when the clock goes back or far ahead', async () => {
    await side.publish(row(1));
    const start = side.time.now;
    for (const shift of [0, -24 * HOUR, 2 * HOUR, 400 * 24 * HOUR, -400 * 24 * HOUR]) {
      side.time.now = start + shift;
      const [single] = readAnswer(await side.ask(requestOf('1001'))).singles;
      assert.ok(single !== undefined && single.thisUpdate <= side.time.now);
      assert.ok((single.nextUpdate ?? 0) > side.time.now || shift > 30 * 24 * HOUR);
    }
  });

  it('are made anew when the certificate expires', async () => {
    await side.publish(row(1, { expireDate: side.time.now + HOUR }));
    await side.ask(requestOf('1001'));
    side.time.now += HOUR + 1_000;
    assert.ok(readAnswer(await side.ask(requestOf('1001'))).singles[0]?.archiveCutoff !== undefined);
  });

  for (const kind of ['P-256', 'RSA 2048'] as const) {
    it(`are never of the old signer after a switch, with ${kind}`, async () => {
      await side.publish(row(1));
      for (let i = 0; i < 30; i++) {
        const asked = Array.from({ length: 8 }, (_, n) => side.ask(requestOf(String(1_001 + n))));
        if (i % 3 === 1) await Promise.resolve();
        if (i % 3 === 2) await new Promise((resolve) => setImmediate(resolve));
        const next = issueSigner(side.ca, OCSP_KEYS[kind]);
        side.binding.current = toSigner(next);
        const after = readAnswer(await side.ask(requestOf('1001')));
        assert.ok(isSignedBy(after, next.certificate));
        // Those that were under way had left already or were made anew.
        const answers = (await Promise.all(asked)).map(readAnswer);
        assert.ok(answers.every((each) => isSignedBy(each, each.certificates[0] as Buffer)));
      }
    }).timeout(60_000);
  }

  it('are not served while nothing may sign', async () => {
    await side.publish(row(1));
    await side.ask(requestOf('1001'));
    side.binding.current = undefined;
    assert.equal(statusOf(await side.ask(requestOf('1001'))), 3);
  });

  it('are made anew when a property of the binding changes', async () => {
    assert.equal(await kindOf('5'), 'unknown');
    side.binding.properties = { ...side.binding.properties, nonExisting: 'good' };
    assert.equal(await kindOf('5'), 'good');
  });

  it('leave those with a nonce to the one who asked', async () => {
    await side.publish(row(1));
    const first = await side.ask(requestOf('1001'));
    for (let i = 0; i < 5; i++) {
      const nonce = randomBytes(32);
      const own = readAnswer(await side.ask(ocspRequest([certId(side.ca.certificate, '1001')], { nonce })));
      assert.deepEqual(own.nonce, nonce);
    }
    assert.deepEqual(await side.ask(requestOf('1001')), first);
    assert.equal(signed(), 6);
  });

  it('keep within their memory, and invented serial numbers do not push them out', async () => {
    const responder = side.newResponder({ maxCacheBytes: 100_000 });
    await side.publish(...Array.from({ length: 20 }, (_, i) => row(i)));
    for (let i = 0; i < 20; i++) await responder.answer(requestOf(String(1_000 + i)));
    for (let i = 0; i < 300; i++) await responder.answer(requestOf(String(50_000 + i)));
    assert.ok(responder.counters().cachedBytes <= 100_000);
    const before = responder.counters().signed;
    for (let i = 0; i < 20; i++) await responder.answer(requestOf(String(1_000 + i)));
    assert.equal(responder.counters().signed, before);
    await side.publish(...Array.from({ length: 300 }, (_, i) => row(100 + i)));
    for (let i = 0; i < 300; i++) await responder.answer(requestOf(String(1_100 + i)));
    assert.ok(responder.counters().cachedBytes <= 100_000);
    assert.ok(responder.counters().cachedAnswers > 20);
  }).timeout(20_000);

  it('are none where there is no memory for them', async () => {
    const responder = side.newResponder({ maxCacheBytes: 0 });
    await responder.answer(requestOf('1'));
    await responder.answer(requestOf('1'));
    assert.equal(responder.counters().signed, 2);
    assert.equal(responder.counters().cachedAnswers, 0);
  });
});
