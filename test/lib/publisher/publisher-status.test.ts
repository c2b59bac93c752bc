import assert from 'node:assert/strict';
import { statusAnswer, statusOf } from '../../../lib/publisher/publisher-status.ts';
import type { QueueSummary } from '../../../lib/store/publisher-queue.ts';

const NOW = 1_790_000_000_000;
const HOUR_MS = 3_600_000;

describe('publisher status', () => {
  const status = (age: number | undefined, name = 'VA', exists = true) => {
    const oldest = age === undefined ? -1 : NOW - age;
    const summary: QueueSummary = { peer: 'id', byAge: [1, 0, 0, 0], waiting: 1, parked: 0, oldest };
    return statusOf(summary, { peer: 'id', name, exists, failure: undefined }, { now: NOW, outOfSyncAfterMs: HOUR_MS });
  };

  it('is out of sync once the oldest mark is older than the limit, and not before', () => {
    assert.deepEqual(
      [undefined, 0, HOUR_MS, HOUR_MS + 1, -HOUR_MS].map((age) => status(age).isOutOfSync),
      [false, false, false, true, false],
    );
  });

  it('is in sync without any mark', () => {
    const facts = { peer: 'id', name: 'VA', exists: true, failure: undefined };
    const { waiting, oldest, isOutOfSync } = statusOf(undefined, facts, { now: NOW, outOfSyncAfterMs: 1 });
    assert.deepEqual([waiting, oldest, isOutOfSync], [0, '', false]);
  });

  it('answers 200 with an empty list, 503 with those that are late, 404 for one that is not there', () => {
    const all = [status(0, 'A'), status(2 * HOUR_MS, 'B'), status(2 * HOUR_MS, 'gone', false)];
    assert.deepEqual(
      [undefined, 'A', 'B', 'C', 'gone'].map((peer) => {
        const answer = statusAnswer(all, peer);
        return [answer.status, answer.body.map((each) => each.peer)];
      }),
      [
        [503, ['B']],
        [200, []],
        [503, ['B']],
        [404, []],
        [404, []],
      ],
    );
  });

  it('tells no details of failures to whoever asks', () => {
    const failure = { code: 'ERR_PEER_NOT_TRUSTED', detail: 'secret host', at: NOW } as const;
    const late: QueueSummary = { peer: 'id', byAge: [0, 0, 0, 1], waiting: 1, parked: 0, oldest: 1 };
    const facts = { peer: 'id', name: 'VA', exists: true, failure };
    const told = statusAnswer([statusOf(late, facts, { now: NOW, outOfSyncAfterMs: 1 })]);
    assert.doesNotMatch(JSON.stringify(told), /secret|ERR_/);
  });
});
