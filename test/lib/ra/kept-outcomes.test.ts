import assert from 'node:assert/strict';
import type { RaOutcome } from '../../../lib/protocol/ra-messages.ts';
import { type KeepOptions, KeptOutcomes } from '../../../lib/ra/kept-outcomes.ts';

const FORGOTTEN = 'ERR_RA_NO_ANSWER';

/** An answer with a content of so many bytes. */
function answerOf(bytes: number, headers: Readonly<Record<string, string>> = {}): RaOutcome {
  return {
    answer: { statusCode: 200, headers, cookies: {}, content: { kind: 'bytes', body: new Uint8Array(bytes) } },
  };
}

describe('outcomes that are kept', () => {
  let now: number;
  const keep = (options: KeepOptions = {}): KeptOutcomes => new KeptOutcomes(options, () => now);
  const codeOf = (kept: KeptOutcomes, id: string): string | undefined => {
    const outcome = kept.get(id)?.outcome;
    if (outcome === undefined) return undefined;
    return 'failure' in outcome ? outcome.failure.code : 'answer';
  };

  beforeEach(() => {
    now = 1_000_000;
  });

  it('are given with the digest of their question', () => {
    const kept = keep();
    const outcome = answerOf(3);
    kept.put('a', 'digest', outcome);
    assert.deepEqual([kept.get('a')?.digest, kept.get('a')?.outcome], ['digest', outcome]);
    assert.equal(kept.get('b'), undefined);
  });

  it('stay until their time is over, and not a millisecond longer', () => {
    const kept = keep({ keepMs: 1_000 });
    kept.put('a', '', answerOf(1));
    now += 1_000;
    assert.equal(codeOf(kept, 'a'), 'answer');
    now += 1;
    assert.equal(codeOf(kept, 'a'), undefined);
    kept.put('b', '', answerOf(1));
    assert.equal(kept.size, 1);
  });

  it('leave by number, the oldest first', () => {
    const kept = keep({ maxIds: 3 });
    for (const id of ['a', 'b', 'c', 'd', 'e']) kept.put(id, '', answerOf(1));
    assert.deepEqual(
      ['a', 'b', 'c', 'd', 'e'].map((id) => codeOf(kept, id)),
      [undefined, undefined, 'answer', 'answer', 'answer'],
    );
    assert.equal(kept.size, 3);
  });

  it('leave by bytes before their ids do, the oldest first: nothing is executed twice', () => {
    const kept = keep({ maxBytes: 250 });
    for (const id of ['a', 'b', 'c', 'd']) kept.put(id, `digest of ${id}`, answerOf(100));
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((id) => codeOf(kept, id)),
      [FORGOTTEN, FORGOTTEN, 'answer', 'answer'],
    );
    assert.equal(kept.get('a')?.digest, 'digest of a');
  });

  it('count with headers and failures too', () => {
    const kept = keep({ maxBytes: 1_000 });
    kept.put('a', '', answerOf(0, { 'x-long': 'x'.repeat(900) }));
    kept.put('b', '', { failure: { code: 'ERR_INTERNAL', detail: 'x'.repeat(900) } });
    assert.equal(codeOf(kept, 'a'), FORGOTTEN);
    assert.equal(codeOf(kept, 'b'), 'ERR_INTERNAL');
    kept.put('c', '', answerOf(900));
    assert.deepEqual([codeOf(kept, 'b'), codeOf(kept, 'c')], [FORGOTTEN, 'answer']);
  });

  it('are not kept when one alone is too large, but its id is', () => {
    const kept = keep({ maxBytes: 100 });
    kept.put('small', '', answerOf(10));
    kept.put('large', '', answerOf(101));
    assert.equal(codeOf(kept, 'large'), FORGOTTEN);
    kept.put('small again', '', answerOf(10));
    assert.equal(codeOf(kept, 'small again'), 'answer');
  });

  it('count once under an id that comes again, and are then the newest', () => {
    const kept = keep({ maxBytes: 300, maxIds: 2 });
    for (let i = 0; i < 10; i++) kept.put('a', `${i}`, answerOf(200));
    assert.equal(codeOf(kept, 'a'), 'answer');
    kept.put('b', '', answerOf(1));
    kept.put('a', 'again', answerOf(1));
    kept.put('c', '', answerOf(1));
    assert.deepEqual([codeOf(kept, 'a'), codeOf(kept, 'b'), codeOf(kept, 'c')], ['answer', undefined, 'answer']);
  });

  it('give their bytes free when they leave by time or number', () => {
    const kept = keep({ keepMs: 100, maxBytes: 300, maxIds: 10 });
    for (let round = 0; round < 50; round++) {
      kept.put(`a${round}`, '', answerOf(200));
      assert.equal(codeOf(kept, `a${round}`), 'answer');
      now += 101;
    }
    const few = keep({ maxBytes: 300, maxIds: 1 });
    for (let round = 0; round < 50; round++) few.put(`${round}`, '', answerOf(200));
    assert.equal(codeOf(few, '49'), 'answer');
  });
});
