import assert from 'node:assert/strict';
import { IncomingWatch } from '../../../lib/endpoint/incoming-watch.ts';
import { peer } from '../overview/rows.ts';

const NOON = Date.parse('2026-01-01T12:00:00Z');
const HOUR_MS = 3_600_000;
const iso = (time: number): string => new Date(time).toISOString();

describe('watch over incoming peers', () => {
  let now = NOON;
  const admitted = (fields: object) => peer('a', { lastOperation: 'ping', lastSeen: iso(NOON), ...fields });
  const watch = () => new IncomingWatch({ expiryMs: 24 * HOUR_MS, quietMs: HOUR_MS }, () => now);

  beforeEach(() => {
    now = NOON;
  });

  it('tells once that a certificate is about to expire, and when', () => {
    const expires = iso(NOON + 23 * HOUR_MS);
    const looking = watch();
    const [event, ...others] = looking.look([admitted({ expires })]);
    assert.deepEqual([event?.kind, event?.cause, others], ['expiring', expires, []]);
    assert.deepEqual(looking.look([admitted({ expires })]), []);
  });

  it('tells of a certificate that has expired already, and not of one that holds', () => {
    assert.equal(watch().look([admitted({ expires: iso(NOON - 1) })]).length, 1);
    assert.deepEqual(watch().look([admitted({ expires: iso(NOON + 25 * HOUR_MS) })]), []);
  });

  it('tells once that a peer has gone quiet, and again after it was heard of', () => {
    const looking = watch();
    assert.deepEqual(looking.look([admitted({})]), []);
    now = NOON + 2 * HOUR_MS;
    assert.deepEqual(
      looking.look([admitted({})]).map(({ kind, cause }) => [kind, cause]),
      [['gone-quiet', iso(NOON)]],
    );
    assert.deepEqual(looking.look([admitted({})]), []);
    assert.deepEqual(looking.look([admitted({ lastSeen: iso(now) })]), []);
    now += 2 * HOUR_MS;
    assert.equal(looking.look([admitted({})]).length, 1);
  });

  it('says nothing of who was never admitted, nor of what is switched off', () => {
    now = NOON + 99 * HOUR_MS;
    assert.deepEqual(watch().look([peer('x', { expires: iso(NOON) })]), []);
    const off = new IncomingWatch({ expiryMs: 0, quietMs: 0 }, () => now);
    assert.deepEqual(off.look([admitted({ expires: iso(NOON) })]), []);
  });

  it('forgets who is forgotten, however many come and go', () => {
    const looking = watch();
    now = NOON + 2 * HOUR_MS;
    assert.equal(looking.look([admitted({})]).length, 1);
    looking.look([]);
    assert.equal(looking.look([admitted({})]).length, 1);
  });
});
