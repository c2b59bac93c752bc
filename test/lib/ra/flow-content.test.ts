import assert from 'node:assert/strict';
import { contentOf, payloadOf } from '../../../lib/ra/flow-content.ts';

describe('payloads of RA requests', () => {
  const there = (payload: unknown): unknown => payloadOf(contentOf(payload));

  it('come out as they went in', () => {
    const payloads = [
      '',
      'ä\u0000€',
      Buffer.of(0, 255),
      0,
      -1.5,
      true,
      false,
      [],
      {},
      { a: [null, { b: 'c' }] },
      ['x'],
    ];
    for (const payload of payloads) assert.deepEqual(there(payload), payload);
  });

  it('that are any view of bytes come out as a Buffer', () => {
    const bytes = there(new Uint8Array([9, 1, 2, 9]).subarray(1, 3));
    assert.ok(Buffer.isBuffer(bytes));
    assert.deepEqual(bytes, Buffer.of(1, 2));
  });

  it('that are nothing come out as no bytes', () => {
    for (const payload of [undefined, null]) assert.deepEqual(there(payload), Buffer.alloc(0));
  });

  const circular: { self?: unknown } = {};
  circular.self = circular;
  const deep = (levels: number): unknown => {
    let payload: unknown = 0;
    for (let level = 0; level < levels; level++) payload = [payload];
    return payload;
  };
  const refused: Readonly<Record<string, unknown>> = {
    'a function': () => undefined,
    'a symbol': Symbol('s'),
    'a big integer': 1n,
    'a circle': circular,
    'more levels than the other side reads': deep(101),
    'very many levels': deep(1_000_000),
    'what throws when it is read': {
      toJSON: () => {
        throw new Error('no');
      },
    },
  };
  for (const [what, payload] of Object.entries(refused)) {
    it(`that are ${what} are refused where they are sent`, () => {
      assert.throws(() => contentOf(payload), { code: 'ERR_INVALID_INPUT' });
    });
  }

  it('that claim to be JSON and are not are malformed', () => {
    for (const text of ['', '{', 'undefined', '['.repeat(101)]) {
      assert.throws(() => payloadOf({ kind: 'json', body: Buffer.from(text) }), { code: 'ERR_MALFORMED_MESSAGE' });
    }
  });
});
