/**
 * The response of a flow, used as the node *http response* of Node-RED uses it, and as functions may.
 */
import assert from 'node:assert/strict';
import { decodeRaCall, encodeRaCall } from '../../../lib/protocol/ra-codec.ts';
import type { RaAnswer } from '../../../lib/protocol/ra-messages.ts';
import { payloadOf } from '../../../lib/ra/flow-content.ts';
import { FlowResponse } from '../../../lib/ra/flow-response.ts';

/** What the RA makes of an answer. */
function atRa(answer: RaAnswer): RaAnswer {
  const result = { id: 'a', ticket: 'ab'.repeat(8), outcome: { answer } };
  const call = { instance: '01'.repeat(16), slot: 1, sequence: 1, isLeaving: false, waitMs: 0, types: [] };
  const [read] = decodeRaCall(encodeRaCall({ ...call, results: [result] })).results;
  assert.ok(read !== undefined && 'answer' in read.outcome);
  return read.outcome.answer;
}

describe('response of a flow', () => {
  let answers: RaAnswer[];
  let isOpen: boolean;
  let response: FlowResponse;

  beforeEach(() => {
    answers = [];
    isOpen = true;
    response = new FlowResponse(
      (answer) => answers.push(answer),
      () => isOpen,
    );
  });

  const sent = (): RaAnswer => {
    assert.equal(answers.length, 1);
    return atRa(answers[0] as RaAnswer);
  };

  /** As the node sends objects, and everything else. */
  const ways = {
    jsonp: [{ a: 1 }, [1, 2], {}, true],
    send: ['text', '', Buffer.of(0, 200), '42'],
  } as const;
  for (const [way, payloads] of Object.entries(ways)) {
    for (const payload of payloads) {
      it(`carries ${JSON.stringify(payload)} by ${way}`, () => {
        response.set({ 'content-length': 99 }).status(202)[way as keyof typeof ways](payload);
        assert.equal(sent().statusCode, 202);
        assert.deepEqual(payloadOf(sent().content), payload);
        assert.deepEqual(sent().headers, {});
      });
    }
  }

  it('carries a number as a number when a function sends it, and nothing as no bytes', () => {
    response.send(7);
    assert.equal(payloadOf(sent().content), 7);
    answers = [];
    new FlowResponse(
      (answer) => answers.push(answer),
      () => true,
    ).end();
    assert.deepEqual(payloadOf(sent().content), Buffer.alloc(0));
  });

  it('has status 200 unless told otherwise', () => {
    response.send('');
    assert.equal(sent().statusCode, 200);
  });

  it('keeps headers whatever their case, one value or many, and forgets those of the connection', () => {
    response.set({ 'X-Number': 7, 'x-many': ['a', 1], Connection: 'close', 'Transfer-Encoding': 'chunked' });
    response.set('x-number', 8);
    assert.equal(response.get('X-NUMBER'), '8');
    assert.equal(response.get('content-length'), undefined);
    response.send('');
    assert.deepEqual(sent().headers, { 'x-number': '8', 'x-many': ['a', '1'] });
  });

  it('keeps cookies as the node gives them: text, object with options, or cleared', () => {
    const expires = new Date(1_900_000_000_000);
    response.cookie('plain', 'v').cookie('object', { a: 1 }).cookie('number', 3);
    response.cookie('full', 'w', { value: 'w', path: '/x', expires, maxAge: 5_000, secure: true, sameSite: 'lax' });
    response.clearCookie('gone').clearCookie('gone-there', { value: null, path: '/x' });
    response.send('');
    assert.deepEqual(sent().cookies, {
      plain: { value: 'v', options: {} },
      object: { value: '{"a":1}', options: {} },
      number: { value: '3', options: {} },
      full: { value: 'w', options: { path: '/x', expires, maxAge: 5_000, secure: true, sameSite: 'lax' } },
      gone: { value: null, options: {} },
      'gone-there': { value: null, options: { path: '/x' } },
    });
  });

  it('is not confused by names that objects have of their own', () => {
    response.set({ constructor: 'a' }).cookie('__proto__', 'b').cookie('toString', 'c');
    assert.equal(response.get('hasOwnProperty'), undefined);
    response.send('');
    assert.deepEqual(sent().headers, { constructor: 'a' });
    assert.deepEqual(Object.keys(sent().cookies), ['__proto__', 'toString']);
  });

  const circle: { self?: unknown } = {};
  circle.self = circle;
  const mistakes: Readonly<Record<string, (answering: FlowResponse) => unknown>> = {
    'a status that does not end a request': (answering) => answering.status(100).send(''),
    'a status that does not exist': (answering) => answering.status(1_000).send(''),
    'a status that is no number': (answering) => answering.status(Number.NaN).send(''),
    'a header with a line break': (answering) => answering.set('a', 'b\r\nc: d').send(''),
    'a header that HTTP cannot carry': (answering) => answering.set('a', '€').send(''),
    'a header name with a space': (answering) => answering.set('a b', 'c').send(''),
    'a cookie with a wrong name': (answering) => answering.cookie('a;b', 'c').send(''),
    'a cookie with a wrong path': (answering) => answering.cookie('a', 'b', { path: '/; Secure' }).send(''),
    'a cookie with options in a circle': (answering) => answering.cookie('a', 'b', { circle }).send(''),
    'headers without end': (answering) => answering.set('a', 'b'.repeat(300_000)).send(''),
    'a payload in a circle': (answering) => answering.send(circle),
  };
  for (const [what, mistake] of Object.entries(mistakes)) {
    it(`refuses ${what} where it is sent, and may be answered still`, () => {
      assert.throws(() => mistake(response), { code: 'ERR_INVALID_INPUT' });
      assert.equal(response.headersSent, false);
      assert.deepEqual(answers, []);
    });
  }

  it('is answered once', () => {
    response.send('first');
    assert.equal(response.headersSent, true);
    for (const way of ['send', 'json', 'jsonp', 'end'] as const) {
      assert.throws(() => response[way]('second'), { code: 'ERR_INVALID_INPUT', message: /already/ });
    }
    assert.equal(payloadOf(sent().content), 'first');
  });

  it('is too late once nobody waits, and says so', () => {
    isOpen = false;
    assert.throws(() => response.send('late'), { code: 'ERR_RA_NO_ANSWER' });
    assert.deepEqual(answers, []);
  });
});
