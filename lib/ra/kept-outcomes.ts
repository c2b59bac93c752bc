/**
 * Outcomes of requests under their ids, for a while, so that a request that comes again is not executed again.
 *
 * Bounded in time, number and bytes. When the bytes run out, old outcomes leave before ids do: not to
 * execute twice matters more than to be able to answer again.
 */
import type { RaOutcome } from '../protocol/ra-messages.ts';

/** Limits of what is kept. */
export interface KeepOptions {
  /** Milliseconds. Default 300000. */
  readonly keepMs?: number;
  /** Default 100000. */
  readonly maxIds?: number;
  /** Of the outcomes, bytes. Default 32 MB. */
  readonly maxBytes?: number;
}

interface Kept {
  readonly until: number;
  /** Of the question; see `get`. */
  readonly digest: string;
  outcome: RaOutcome;
  bytes: number;
}

const FORGOTTEN: RaOutcome = {
  failure: { code: 'ERR_RA_NO_ANSWER', detail: 'The request was answered before, and its answer is no longer kept' },
};

/** Remembers outcomes. */
export class KeptOutcomes {
  readonly #options: Required<KeepOptions>;
  readonly #now: () => number;
  readonly #kept = new Map<string, Kept>();
  /** Ids whose outcome is still here, oldest first. */
  readonly #withOutcome = new Set<string>();
  #bytes = 0;

  constructor(options: KeepOptions = {}, now: () => number = Date.now) {
    this.#options = { keepMs: 300_000, maxIds: 100_000, maxBytes: 32 * 1024 * 1024, ...options };
    this.#now = now;
  }

  get size(): number {
    return this.#kept.size;
  }

  /** What was put under an id, with the digest of the question that it answers. */
  get(id: string): { readonly outcome: RaOutcome; readonly digest: string } | undefined {
    const kept = this.#kept.get(id);
    return kept === undefined || kept.until < this.#now() ? undefined : kept;
  }

  put(id: string, digest: string, outcome: RaOutcome): void {
    this.#drop(id);
    const bytes = sizeOf(outcome);
    this.#kept.set(id, { until: this.#now() + this.#options.keepMs, digest, outcome, bytes });
    this.#withOutcome.add(id);
    this.#bytes += bytes;
    this.#trim();
  }

  #trim(): void {
    const { maxIds, maxBytes } = this.#options;
    const now = this.#now();
    for (const [id, { until }] of this.#kept) {
      if (until >= now && this.#kept.size <= maxIds) break;
      this.#drop(id);
    }
    for (const id of this.#withOutcome) {
      if (this.#bytes <= maxBytes) break;
      this.#forgetOutcome(id);
    }
  }

  #forgetOutcome(id: string): void {
    const kept = this.#kept.get(id);
    this.#withOutcome.delete(id);
    if (kept === undefined) return;
    this.#bytes -= kept.bytes;
    kept.bytes = 0;
    kept.outcome = FORGOTTEN;
  }

  #drop(id: string): void {
    this.#bytes -= this.#kept.get(id)?.bytes ?? 0;
    this.#withOutcome.delete(id);
    this.#kept.delete(id);
  }
}

/** About how many bytes. */
function sizeOf(outcome: RaOutcome): number {
  if ('failure' in outcome) return outcome.failure.detail.length;
  const { headers, cookies, content } = outcome.answer;
  return content.body.length + JSON.stringify([headers, cookies]).length;
}
