import assert from 'node:assert/strict';
import {
  parseRevocationReason,
  REVOCATION_REASONS,
  revocationReasonName,
} from '../../../lib/x509/revocation-reason.ts';

describe('revocation reasons', () => {
  it('takes every reason by name, code and digits', () => {
    for (const [name, code] of Object.entries(REVOCATION_REASONS)) {
      assert.deepEqual([name, code, String(code)].map(parseRevocationReason), [code, code, code]);
      assert.equal(revocationReasonName(code), name);
    }
  });

  it('takes the names of EJBCA’s REST interface', () => {
    assert.equal(parseRevocationReason('KEY_COMPROMISE'), 1);
    assert.equal(parseRevocationReason('CA_COMPROMISE'), 2);
    assert.equal(parseRevocationReason('PRIVILEGES_WITHDRAWN'), 9);
    assert.equal(parseRevocationReason('remove-from-crl'), 8);
  });

  it('has no name for a code that is not used', () => {
    assert.equal(revocationReasonName(7), undefined);
  });

  for (const wrong of [
    7,
    -1,
    11,
    1.5,
    Number.NaN,
    '7',
    '-1',
    '',
    'stolen',
    '100',
    'constructor',
    null,
    undefined,
    {},
    [],
  ]) {
    it(`refuses ${JSON.stringify(wrong) ?? 'undefined'}`, () => {
      assert.throws(() => parseRevocationReason(wrong), { code: 'ERR_INVALID_INPUT' });
    });
  }
});
