import assert from 'node:assert/strict';
import { backOff } from '../../../lib/pool/back-off.ts';

const LIMITS = { firstMs: 500, maxMs: 5_000 };

describe('back-off', () => {
  it('doubles its bound with each failure, up to the longest', () => {
    const bounds = [1, 2, 3, 4, 5, 50, 5_000].map((failures) => backOff(failures, LIMITS, () => 1));
    assert.deepEqual(bounds, [500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
  });

  it('takes any time below its bound, and never none', () => {
    assert.equal(
      backOff(2, LIMITS, () => 0.25),
      250,
    );
    assert.ok(backOff(1, LIMITS, () => 0) > 0);
  });
});
