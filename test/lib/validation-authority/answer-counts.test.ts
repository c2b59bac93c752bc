import assert from 'node:assert/strict';
import { AnswerCounts } from '../../../lib/validation-authority/answer-counts.ts';

const NOTHING = { answers: 0, found: 0, crls: 0, notModified: 0, notFound: 0, refused: 0, failed: 0 };

describe('counts of answers', () => {
  for (const [path, status, fields] of [
    ['/crls/search.cgi', 200, { found: 1, crls: 1 }],
    ['/certificates/search.cgi', 200, { found: 1 }],
    ['/ocsp', 200, { found: 1 }],
    // Whoever has it already was sent none.
    ['/crls/search.cgi', 304, { notModified: 1 }],
    ['/crls/search.cgi', 404, { notFound: 1 }],
    ['/crls/search.cgi', 405, { refused: 1 }],
    ['/crls/search.cgi', 503, { failed: 1 }],
    ['', 404, { notFound: 1 }],
  ] as const) {
    it(`have ${Object.keys(fields).join(' and ')} for ${status} at "${path}"`, () => {
      const counts = new AnswerCounts();
      counts.add(path, status);
      assert.deepEqual(counts.numbers(), { ...NOTHING, answers: 1, ...fields });
    });
  }

  it('are news until they are taken, not when somebody only looks', () => {
    const counts = new AnswerCounts();
    counts.add('/ocsp', 200);
    counts.numbers();
    assert.ok(counts.hasNews());
    counts.take();
    assert.ok(!counts.hasNews());
  });

  it('are not changed by what becomes of a copy', () => {
    const counts = new AnswerCounts();
    Object.assign(counts.numbers(), { answers: 7 });
    assert.deepEqual(counts.numbers(), NOTHING);
  });
});
