/**
 * Waiting longer and longer between tries, with jitter so that many do not come back at once.
 */
import { setTimeout as delay } from 'node:timers/promises';

const FIRST_MS = 100;
const LONGEST_MS = 5_000;

/** Tries of one thing. */
export class BackOff {
  #limitMs = FIRST_MS;

  /** Waits a random part of a time that doubles with each call; ends at once when aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    const ms = this.#limitMs * (0.5 + Math.random() / 2);
    this.#limitMs = Math.min(LONGEST_MS, this.#limitMs * 2);
    await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
  }
}
