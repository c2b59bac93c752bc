import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StatusLookup } from '../../../lib/ocsp/status-lookup.ts';
import type { CertificateQuestion } from '../../../lib/store/certificate-status.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { row, stream } from '../store/rows.ts';
import { questionOf } from '../store/status-contract.ts';

describe('Lookup of statuses', () => {
  const folder = mkdtempSync(join(tmpdir(), 'status-lookup-'));
  const store = new WorkerStore({ kind: 'sqlite', file: join(folder, 'store.sqlite') });
  before(() =>
    store.writeRows(
      [stream(...Array.from({ length: 2_000 }, (_, index) => row(index, { updateTime: index })))],
      ALL_CAS,
    ),
  );
  after(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });

  /** A lookup over the store as one that cannot tell its changes, and the sizes of its batches. */
  const open = (beforeAnswer: (batch: number) => Promise<void> = async () => undefined) => {
    const sizes: number[] = [];
    const lookup = new StatusLookup({
      changes: undefined,
      statusesOf: async (questions: readonly CertificateQuestion[]) => {
        sizes.push(questions.length);
        await beforeAnswer(sizes.length);
        return store.statusesOf(questions);
      },
    });
    const find = async (index: number) => (await lookup.find(questionOf(row(index))))[0]?.updateTime;
    return { lookup, sizes, find };
  };

  it('carries the questions of one turn together, each answer to its question', async () => {
    const { sizes, find } = open();
    const found = await Promise.all(Array.from({ length: 300 }, (_, index) => find(299 - index)));
    assert.deepEqual(
      found,
      Array.from({ length: 300 }, (_, index) => 299 - index),
    );
    assert.deepEqual(sizes, [300]);
  });

  it('carries at most 500 at a time, and loses none', async () => {
    const { sizes, find } = open();
    const found = await Promise.all(Array.from({ length: 1_201 }, (_, index) => find(index)));
    assert.deepEqual(sizes, [500, 500, 201]);
    assert.equal(found[1_200], 1_200);
  });

  it('gathers what comes while the store is asked', async () => {
    const { sizes, find } = open(() => new Promise((resolve) => setTimeout(resolve, 50)));
    const early = find(1);
    await new Promise((resolve) => setTimeout(resolve, 10));
    const late = [];
    for (let index = 2; index < 12; index++) {
      late.push(find(index));
      await new Promise(setImmediate);
    }
    assert.equal(await early, 1);
    assert.deepEqual(await Promise.all(late), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert.deepEqual(sizes, [1, 10]);
  });

  it('fails those of a batch that failed, and no other', async () => {
    const { find } = open(async (batch) => {
      if (batch === 2) throw new Error('away');
    });
    const ended = await Promise.allSettled(Array.from({ length: 1_200 }, (_, index) => find(index)));
    assert.deepEqual(
      ended.flatMap(({ status }, index) => (status === 'rejected' ? [index] : [])),
      Array.from({ length: 500 }, (_, index) => 500 + index),
    );
    assert.equal(await find(3), 3);
  });

  describe('counts changes', () => {
    it('as the store does, where it can tell', async () => {
      const lookup = new StatusLookup(store);
      await lookup.find(questionOf(row(1)));
      assert.equal(lookup.changes, store.changes);
    });

    it('otherwise each time the store is asked, and not before', async () => {
      const { lookup, find } = open();
      const before = lookup.changes;
      const found = find(1);
      await Promise.resolve();
      assert.equal(lookup.changes, before);
      await found;
      assert.notEqual(lookup.changes, before);
    });
  });
});
