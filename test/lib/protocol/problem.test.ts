import assert from 'node:assert/strict';
import { failureOf, PEER_ERROR_CODES, PeerError } from '../../../lib/errors.ts';
import { parseCapabilities, parseJson, parsePingAnswer, parseWriteResult } from '../../../lib/protocol/messages.ts';
import { fromProblem, toProblem } from '../../../lib/protocol/problem.ts';

describe('problem document', () => {
  it('carries every code to the other side', () => {
    for (const code of PEER_ERROR_CODES) {
      const problem = toProblem(new PeerError(code, 'what was wrong'));
      assert.equal(problem.status, failureOf(code).status);
      assert.equal(fromProblem(JSON.parse(JSON.stringify(problem)), problem.status).code, code);
    }
  });

  it('tells a peer its own mistake in words', () => {
    assert.equal(toProblem(new PeerError('ERR_NOT_AUTHORIZED', 'rule /x')).detail, 'rule /x');
  });

  it('keeps what is wrong on this side to itself', () => {
    for (const error of [new Error('password 1234'), new PeerError('ERR_STORE_FULL', '/secret/path'), 'text']) {
      assert.doesNotMatch(JSON.stringify(toProblem(error)), /1234|secret|text/);
    }
  });

  it('is not invented from another answer', () => {
    for (const value of [undefined, null, 'x', [], {}, { code: 'constructor' }, { code: 7 }]) {
      assert.equal(fromProblem(value, 502).code, 'ERR_MALFORMED_MESSAGE');
    }
  });

  it('is cut when a peer talks too much', () => {
    assert.equal(fromProblem({ code: 'ERR_INTERNAL', detail: 'x'.repeat(1e6) }, 500).message.length, 1_000);
  });
});

describe('messages from a peer', () => {
  const malformed = (parse: () => unknown): void => assert.throws(parse, { code: 'ERR_MALFORMED_MESSAGE' });

  it('are refused when they are not JSON', () => malformed(() => parseJson(Buffer.from('<html>'))));

  it('are refused when a field is missing or of another type', () => {
    for (const value of [null, [], 'x', {}, { serverTime: 5 }]) malformed(() => parsePingAnswer(value));
    for (const value of [null, {}, { protocol: '1' }]) malformed(() => parseCapabilities(value));
  });

  it('are refused when the verdicts are not those of the rows sent', () => {
    for (const value of [
      {},
      { verdicts: 'ss' },
      { verdicts: 's', refusals: [] },
      { verdicts: 'sx', refusals: [] },
      { verdicts: 'sr', refusals: [{}] },
    ]) {
      malformed(() => parseWriteResult(value, 2));
    }
    assert.equal(parseWriteResult({ verdicts: 'su', refusals: [] }, 2).verdicts, 'su');
  });
});
