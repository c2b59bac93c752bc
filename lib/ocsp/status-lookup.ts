/**
 * Asks the store how certificates stand: all at once that has come together, and the rest after the answers to that.
 */
import type { CertificateQuestion, CertificateStatus } from '../store/certificate-status.ts';
import type { CertificateStore } from '../store/certificate-store.ts';

/** What is needed of a store. */
export type StatusStore = Pick<CertificateStore, 'statusesOf' | 'changes'>;

/** Questions that travel together, at most. */
const MAX_BATCH = 500;

interface Pending {
  readonly question: CertificateQuestion;
  readonly resolve: (rows: readonly CertificateStatus[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Gathers questions and carries them to the store. */
export class StatusLookup {
  readonly #store: StatusStore;
  readonly #pending: Pending[] = [];
  #isAsking = false;
  #rounds = 0;

  constructor(store: StatusStore) {
    this.#store = store;
  }

  /**
   * What is known, or still to be asked, since this was the same number is as new as what is asked now. Where the store
   * cannot tell its changes, there may be one behind each time it was asked.
   */
  get changes(): number {
    return this.#store.changes ?? this.#rounds;
  }

  /** The rows of a certificate. @throws PeerError what the store throws */
  find(question: CertificateQuestion): Promise<readonly CertificateStatus[]> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ question, resolve, reject });
      if (!this.#isAsking) void this.#askAll();
    });
  }

  /** While the store is asked the next questions gather: the slower it is, the fewer its round trips. */
  async #askAll(): Promise<void> {
    this.#isAsking = true;
    while (this.#pending.length > 0) {
      // All that this turn of the event loop brings goes along.
      await new Promise(setImmediate);
      this.#rounds += 1;
      const asked: Promise<void>[] = [];
      while (this.#pending.length > 0) asked.push(this.#askBatch(this.#pending.splice(0, MAX_BATCH)));
      await Promise.all(asked);
    }
    this.#isAsking = false;
  }

  async #askBatch(batch: readonly Pending[]): Promise<void> {
    try {
      const found = await this.#store.statusesOf(batch.map(({ question }) => question));
      for (const [index, { resolve }] of batch.entries()) resolve(found[index] ?? []);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}
