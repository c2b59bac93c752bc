/**
 * Counts of a worker, and how much it does per second.
 */

const SECONDS = 10;

/** Counters since the start. */
export interface WorkerCounts {
  /** Requests that were executed and answered. */
  readonly answered: number;
  /** Requests the rules did not allow. */
  readonly refused: number;
  /** Requests without an answer: the flow failed, was too slow, or was stopped. */
  readonly failed: number;
  /** Requests that came again and were answered from what is kept. */
  readonly repeated: number;
}

/** Counts. */
export class WorkerStatistics {
  readonly #counts = { answered: 0, refused: 0, failed: 0, repeated: 0 };
  readonly #perSecond = new Map<number, number>();

  count(what: keyof WorkerCounts): void {
    this.#counts[what] += 1;
    if (what !== 'answered') return;
    const second = Math.floor(performance.now() / 1_000);
    this.#perSecond.set(second, (this.#perSecond.get(second) ?? 0) + 1);
    for (const [past] of this.#perSecond) {
      if (past >= second - SECONDS) break;
      this.#perSecond.delete(past);
    }
  }

  counts(): WorkerCounts {
    return { ...this.#counts };
  }

  /** Answers per second over the last ten whole seconds. */
  rate(): number {
    const now = Math.floor(performance.now() / 1_000);
    const recent = [...this.#perSecond].filter(([second]) => second < now && second >= now - SECONDS);
    return recent.reduce((sum, [, count]) => sum + count, 0) / SECONDS;
  }
}
