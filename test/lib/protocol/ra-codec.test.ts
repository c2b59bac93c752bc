import assert from 'node:assert/strict';
import { PeerError } from '../../../lib/errors.ts';
import { decodeRaCall, decodeRaNext, encodeRaCall, encodeRaNext } from '../../../lib/protocol/ra-codec.ts';
import {
  RA_MAX_CONTENT_BYTES,
  type RaCall,
  type RaNext,
  type RaRequest,
  type RaResult,
} from '../../../lib/protocol/ra-messages.ts';
import { CborWriter } from '../../../lib/store/cbor.ts';
import { chance } from '../store/rows.ts';

const SEED = 20_261_123;
const MUTATIONS = 20_000;
const MAX_MS = 100;
const ALLOWED = new Set(['ERR_MALFORMED_MESSAGE', 'ERR_TOO_LARGE']);
const TICKET = 'ab'.repeat(8);

const RESULTS: readonly RaResult[] = [
  {
    id: 'request-1',
    ticket: TICKET,
    outcome: {
      answer: {
        statusCode: 201,
        headers: { 'x-serial': '7', 'x-many': ['a', 'b'] },
        cookies: { session: { value: 'ä', options: { path: '/', httpOnly: true } } },
        content: { kind: 'json', body: new Uint8Array(Buffer.from('{"serial":7}')) },
      },
    },
  },
  { id: 'request-2', ticket: TICKET, outcome: { failure: { code: 'ERR_RA_NO_ANSWER', detail: 'too late' } } },
];
const CALL: RaCall = {
  instance: '01'.repeat(16),
  slot: 3,
  sequence: 70_000,
  isLeaving: false,
  waitMs: 10_000,
  types: ['enrol', 'revoke'],
  results: RESULTS,
};
const REQUEST: RaRequest = {
  id: 'request-3',
  ticket: TICKET,
  type: 'enrol',
  remainingMs: 4_321,
  administrator: { subjectDN: 'CN=admin', certificate: '', rules: { '/ra_functionality': 'allow' } },
  http: { method: 'POST', url: '/enrol?x=1', headers: { host: 'ra' }, query: { x: ['1', { y: '2' }] }, params: {} },
  content: { kind: 'bytes', body: new Uint8Array([1, 2, 3]) },
};
const NEXT: RaNext = { verdicts: 'ar', queued: 12, request: REQUEST };

/** The code that is thrown, after it was found to be one of the two, and quick: a machine may pause, but not thrice. */
function refusalOf(read: () => unknown, what: string, turns = 3): string | undefined {
  const start = performance.now();
  let code: string | undefined;
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof PeerError && ALLOWED.has(error.code), `${what}: ${(error as Error).stack}`);
    code = error.code;
  }
  if (performance.now() - start < MAX_MS) return code;
  assert.ok(turns > 1, `${what} took ${performance.now() - start} ms`);
  return refusalOf(read, what, turns - 1);
}

/** A call with one result that these items make up. */
function callWithResult(items: number, write: (writer: CborWriter) => void): Uint8Array {
  const writer = new CborWriter();
  writer.array(7);
  writer.hex(CALL.instance);
  for (const number of [1, 1, 0, 0]) writer.integer(number);
  writer.array(0);
  writer.array(1);
  writer.array(items);
  writer.text('id');
  writer.hex(TICKET);
  write(writer);
  return writer.take();
}

describe('messages of RA requests', () => {
  const READERS = {
    'a call': [encodeRaCall(CALL), decodeRaCall],
    'an answer to a call': [encodeRaNext(NEXT), (bytes: Uint8Array) => decodeRaNext(bytes, 2)],
  } as const;

  it('come out as they went in', () => {
    assert.deepEqual(decodeRaCall(encodeRaCall(CALL)), CALL);
    assert.deepEqual(decodeRaNext(encodeRaNext(NEXT), 2), NEXT);
    const bare = { ...REQUEST, administrator: undefined, http: undefined };
    for (const request of [undefined, bare]) {
      assert.deepEqual(decodeRaNext(encodeRaNext({ ...NEXT, request }), 2), { ...NEXT, request });
    }
  });

  for (const [name, [bytes, decode]] of Object.entries(READERS)) {
    describe(name, () => {
      it('cut off at any byte is malformed', () => {
        for (let length = 0; length < bytes.length; length++) {
          const code = refusalOf(() => decode(bytes.subarray(0, length)), `cut at ${length}`);
          assert.equal(code, 'ERR_MALFORMED_MESSAGE', `cut at ${length}`);
        }
      });

      it('with anything behind it is malformed', () => {
        const longer = Buffer.concat([bytes, Buffer.of(0)]);
        assert.equal(
          refusalOf(() => decode(longer), 'longer'),
          'ERR_MALFORMED_MESSAGE',
        );
      });

      it('with any value in any byte is read or refused', () => {
        const mutated = Buffer.from(bytes);
        for (let at = 0; at < bytes.length; at++) {
          for (let value = 0; value < 256; value++) {
            mutated[at] = value;
            refusalOf(() => decode(mutated), `${value} at ${at}`);
          }
          mutated[at] = bytes[at] ?? 0;
        }
      });

      it('that is changed in many places is read or refused', () => {
        const random = chance(SEED);
        for (let turn = 0; turn < MUTATIONS; turn++) {
          refusalOf(() => decode(mutate(bytes, random)), `seed ${SEED}, mutation ${turn}`);
        }
      });
    });
  }

  const wrongCalls: Readonly<Record<string, Partial<RaCall>>> = {
    'a short instance': { instance: '01' },
    'a slot that is too high': { slot: 10_001 },
    'a negative sequence': { sequence: -1 },
    'a negative wait': { waitMs: -1 },
    'a type that is a path': { types: ['../admin'] },
    'too many types': { types: Array.from({ length: 101 }, () => 'enrol') },
    'too many results': { results: Array.from({ length: 1_001 }, () => RESULTS[1] as RaResult) },
    'an id with a line break': { results: [{ ...(RESULTS[1] as RaResult), id: 'a\nb' }] },
    'a ticket that is too long': { results: [{ ...(RESULTS[1] as RaResult), ticket: 'ab'.repeat(9) }] },
  };
  for (const [what, change] of Object.entries(wrongCalls)) {
    it(`a call with ${what} is malformed`, () => {
      assert.throws(() => decodeRaCall(encodeRaCall({ ...CALL, ...change })), { code: 'ERR_MALFORMED_MESSAGE' });
    });
  }

  for (const status of [0, 99, 101, 199, 600, 1_000, -200]) {
    it(`an answer with status ${status} is malformed`, () => {
      const bytes = callWithResult(6, (writer) => {
        writer.integer(status);
        writer.null();
        writer.integer(0);
        writer.bytes(new Uint8Array(0));
      });
      assert.throws(() => decodeRaCall(bytes), { code: 'ERR_MALFORMED_MESSAGE' });
    });
  }

  it('a failure with an unknown code is an internal error, and its sentence is cut', () => {
    const bytes = callWithResult(4, (writer) => {
      writer.text('__proto__');
      writer.text('x'.repeat(5_000));
    });
    const [result] = decodeRaCall(bytes).results;
    assert.deepEqual(result?.outcome, { failure: { code: 'ERR_INTERNAL', detail: 'x'.repeat(1_000) } });
  });

  it('a content above the limit is too large, one at the limit is not', () => {
    const answerOf = (length: number): Uint8Array => {
      const content = { kind: 'bytes', body: new Uint8Array(length) } as const;
      return encodeRaNext({ ...NEXT, request: { ...REQUEST, content } });
    };
    assert.equal(decodeRaNext(answerOf(RA_MAX_CONTENT_BYTES), 2).request?.content.body.length, RA_MAX_CONTENT_BYTES);
    assert.throws(() => decodeRaNext(answerOf(RA_MAX_CONTENT_BYTES + 1), 2), { code: 'ERR_TOO_LARGE' });
  });

  it('a length that claims more than there is reserves nothing', () => {
    for (const head of ['9affffffff', '9bffffffffffffffff', '5affffffff', '7b001fffffffffffff', '9f', 'ff', 'f6']) {
      const bytes = Buffer.concat([encodeRaCall(CALL).subarray(0, 18), Buffer.from(head, 'hex')]);
      assert.equal(
        refusalOf(() => decodeRaCall(bytes), head),
        'ERR_MALFORMED_MESSAGE',
      );
    }
  });

  it('verdicts that do not fit the results are malformed', () => {
    for (const verdicts of ['', 'a', 'aaa', 'ax', 'a\n']) {
      assert.throws(() => decodeRaNext(encodeRaNext({ ...NEXT, verdicts }), 2), { code: 'ERR_MALFORMED_MESSAGE' });
    }
  });
});

/** Bytes changed, cut out, doubled or made up, in up to five places. */
function mutate(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  let mutated = Buffer.from(bytes);
  for (let places = 1 + random(5); places > 0; places--) {
    const at = random(mutated.length + 1);
    const length = random(12);
    const part = [
      Buffer.of(random(256)),
      Buffer.alloc(0),
      mutated.subarray(at, at + length),
      Buffer.from(Array.from({ length }, () => random(256))),
    ][random(4)] as Buffer;
    mutated = Buffer.concat([mutated.subarray(0, at), part, mutated.subarray(at + random(12))]);
  }
  return mutated;
}
