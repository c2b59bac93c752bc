/**
 * Asks the store how certificates stand: all questions of one turn of the event loop together.
 */
import type { CertificateQuestion, CertificateStatus } from '../store/certificate-status.ts';
import type { CertificateStore } from '../store/certificate-store.ts';

/** What is needed of a store. */
export type StatusStore = Pick<CertificateStore, 'statusesOf' | 'changes'>;

/** Questions that travel together. */
const MAX_BATCH = 500;

interface Pending {
  readonly question: CertificateQuestion;
  readonly resolve: (rows: readonly CertificateStatus[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Gathers questions and carries them to the store. */
export class StatusLookup {
  readonly #store: StatusStore;
  #pending: Pending[] = [];

  constructor(store: StatusStore) {
    this.#store = store;
  }

  /** The rows of a certificate. @throws PeerError what the store throws */
  find(question: CertificateQuestion): Promise<readonly CertificateStatus[]> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ question, resolve, reject });
      if (this.#pending.length === 1) setImmediate(() => void this.#ask());
    });
  }

  async #ask(): Promise<void> {
    const all = this.#pending;
    this.#pending = [];
    for (let at = 0; at < all.length; at += MAX_BATCH) void this.#askBatch(all.slice(at, at + MAX_BATCH));
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
