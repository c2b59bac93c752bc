/**
 * Marks that were put on the queue right now and are sent before older ones, and who waits for their outcome.
 *
 * Only names are held, and only as long as the peer answers; the marks themselves are in the store.
 */
import type { QueueMark } from '../store/publisher-queue.ts';
import type { DrainOutcome } from './mark-sender.ts';

const MAX_MARKS = 200_000;

interface Fresh {
  readonly mark: QueueMark;
  readonly waiting: readonly Waiting[];
}

interface Waiting {
  readonly sequence: number;
  readonly resolve: (outcome: DrainOutcome) => void;
}

type FreshMark = Pick<QueueMark, 'peer' | 'kind' | 'fingerprint' | 'sequence' | 'withCertificate'>;

/** At most one of each fingerprint, in the order of arrival. */
export class FreshMarks {
  readonly #marks = new Map<string, Fresh>();

  get size(): number {
    return this.#marks.size;
  }

  get isFull(): boolean {
    return this.#marks.size >= MAX_MARKS;
  }

  /** Takes a mark; answers when it, or a later change of the same, has an outcome. */
  add(fresh: FreshMark): Promise<DrainOutcome> {
    return new Promise((resolve) => {
      const standing = this.#marks.get(fresh.fingerprint);
      const waiting = [...(standing?.waiting ?? []), { sequence: fresh.sequence, resolve }];
      const sequence = Math.max(fresh.sequence, standing?.mark.sequence ?? 0);
      const withCertificate = fresh.withCertificate || standing?.mark.withCertificate === true;
      this.#marks.set(fresh.fingerprint, { mark: { ...UNTRIED, ...fresh, sequence, withCertificate }, waiting });
    });
  }

  /** The first ones; they stay until they are settled. */
  first(limit: number): readonly QueueMark[] {
    const marks: QueueMark[] = [];
    for (const { mark } of this.#marks.values()) {
      if (marks.length === limit) break;
      marks.push(mark);
    }
    return marks;
  }

  /** Tells those who wait for this change, or for one before it. */
  settle({ fingerprint, sequence }: QueueMark, outcome: DrainOutcome): void {
    const fresh = this.#marks.get(fingerprint);
    if (fresh === undefined) return;
    const later = fresh.waiting.filter((each) => each.sequence > sequence);
    for (const each of fresh.waiting) if (each.sequence <= sequence) each.resolve(outcome);
    if (later.length > 0) this.#marks.set(fingerprint, { ...fresh, waiting: later });
    else this.#marks.delete(fingerprint);
  }

  /** Tells everybody the same. */
  settleAll(outcome: DrainOutcome): void {
    const all = [...this.#marks.values()];
    this.#marks.clear();
    for (const { waiting } of all) for (const { resolve } of waiting) resolve(outcome);
  }
}

const UNTRIED = { addedAt: 0, attempts: 0, lastAttemptAt: -1, lastCode: '', lastDetail: '', parkedAt: -1 } as const;
