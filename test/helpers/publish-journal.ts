/**
 * What was told of publishing, outside of the processes whose words are checked, against what is in their stores.
 */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { WorkerStore } from '../../lib/store/worker-store.ts';
import { fingerprint, row } from '../lib/store/rows.ts';
import type { PublishOrder } from './publish-side.ts';

/** What became of one change. */
export interface ToldOrder extends PublishOrder {
  readonly verdict: string;
}

/** For each row the highest state of each kind. */
export class PublishJournal {
  readonly attempted = new Map<number, number>();
  readonly acknowledged = new Map<number, number>();
  readonly queued = new Map<number, number>();
  readonly #rejected: unknown[] = [];
  readonly #open = new Set<string>();

  attempt({ index, state }: PublishOrder): void {
    this.#open.add(`${state} ${index}`);
    this.attempted.set(index, Math.max(state, this.attempted.get(index) ?? 0));
  }

  told({ index, state, verdict }: ToldOrder): void {
    this.#open.delete(`${state} ${index}`);
    const kinds: Record<string, Map<number, number>> = {
      stored: this.acknowledged,
      unchanged: this.acknowledged,
      queued: this.queued,
    };
    const kind = kinds[verdict];
    if (kind === undefined) this.#rejected.push({ index, state, verdict });
    kind?.set(index, Math.max(state, kind.get(index) ?? 0));
  }

  /** Messages from this state on of which nothing was told. */
  silent(from = 0): number {
    return [...this.#open].filter((each) => Number.parseInt(each, 10) >= from).length;
  }

  /** Rows that the VA has in a newer state than any that was acknowledged. */
  async doneUnheard(vaFile: string): Promise<number> {
    const atVa = await statesIn(vaFile);
    const heard = (index: number): number => this.acknowledged.get(index) ?? 0;
    return [...this.attempted.keys()].filter((index) => (atVa.get(fingerprint(index)) ?? 0) > heard(index)).length;
  }

  /** Nothing rejected, lost, made up, wrong or there twice, once all is published and both processes have ended. */
  async check(caFile: string, vaFile: string, seed: number): Promise<void> {
    const [atCa, atVa] = [await statesIn(caFile), await statesIn(vaFile)];
    assert.deepEqual(this.#rejected, [], 'neither stored nor queued');
    const stateAtVa = (index: number): number => atVa.get(fingerprint(index)) ?? 0;
    const tooOld = (map: ReadonlyMap<number, number>) => [...map].filter(([index, state]) => stateAtVa(index) < state);
    assert.deepEqual(tooOld(this.acknowledged), [], `lost of what was stored, seed ${seed}`);
    assert.deepEqual(tooOld(this.queued), [], `lost of what was queued, seed ${seed}`);
    const made = [...this.attempted].filter(([index, state]) => stateAtVa(index) > state);
    assert.deepEqual(made, [], `phantom, seed ${seed}`);
    assert.deepEqual(new Map([...atVa].sort()), new Map([...atCa].sort()), `wrong, seed ${seed}`);
  }
}

/** Marks on the queue of a store, parked ones too. */
export function marksLeft(file: string): number {
  const db = new DatabaseSync(file, { readOnly: true });
  const { n } = db.prepare('SELECT count(*) AS n FROM PublisherQueue').get() as { n: number };
  db.close();
  return n;
}

async function statesIn(file: string): Promise<ReadonlyMap<string, number>> {
  const store = new WorkerStore({ kind: 'sqlite', file });
  const rows = await store.list({ limit: 1_000_000 });
  await store.close();
  assert.equal(new Set(rows.map((each) => each.fingerprint)).size, rows.length, 'double');
  return new Map(rows.map((each) => [each.fingerprint, each.updateTime - row(0).updateTime]));
}
