/**
 * Publishes certificate data to one peer: rows that come together travel together.
 *
 * A lone row leaves at once. While requests are under way, newer rows gather and leave as one.
 */
import { isPeerErrorCode, PeerError, type PeerErrorCode, toPeerError } from '../errors.ts';
import type { PeerClient } from '../pool/peer-client.ts';
import type { CertificateData } from '../store/certificate-data.ts';
import { encodeRow } from '../store/certificate-row.ts';
import type { WriteResult } from '../store/certificate-store.ts';

/** What became of one row at the peer. */
export interface PublishOutcome {
  readonly verdict: 'stored' | 'unchanged' | 'refused';
  /** Why, when refused. */
  readonly code?: PeerErrorCode;
  readonly detail?: string;
}

interface Waiting {
  readonly bytes: Uint8Array;
  readonly resolve: (outcome: PublishOutcome) => void;
  readonly reject: (error: PeerError) => void;
}

const MAX_ROWS_PER_REQUEST = 10_000;
const MAX_BYTES_PER_REQUEST = 4 * 1024 * 1024;
const MAX_REQUESTS = 2;
const MAX_WAITING_ROWS = 200_000;

/** Gathers rows for one peer connector. */
export class PeerPublisher {
  readonly #client: PeerClient;
  #waiting: Waiting[] = [];
  #requests = 0;
  #isScheduled = false;

  constructor(client: PeerClient) {
    this.#client = client;
  }

  /**
   * Publishes one row; answers after the peer has it on disk.
   *
   * @throws PeerError what the connector or the peer says to the whole request; a row that the
   *   peer refuses by itself is an outcome, not an error
   */
  publish(row: CertificateData): Promise<PublishOutcome> {
    if (this.#waiting.length >= MAX_WAITING_ROWS) {
      return Promise.reject(
        new PeerError('ERR_POOL_QUEUE_FULL', `${MAX_WAITING_ROWS} certificates wait for the peer already`),
      );
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ bytes: encodeRow(row), resolve, reject });
      this.#schedule();
    });
  }

  /** Later than the messages that are here already, so that they travel together. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      while (this.#waiting.length > 0 && this.#requests < MAX_REQUESTS) void this.#send(this.#nextBatch());
    });
  }

  #nextBatch(): readonly Waiting[] {
    let bytes = 0;
    const end = this.#waiting.findIndex((row, index) => {
      bytes += row.bytes.length;
      return index === MAX_ROWS_PER_REQUEST || (index > 0 && bytes > MAX_BYTES_PER_REQUEST);
    });
    return this.#waiting.splice(0, end === -1 ? this.#waiting.length : end);
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    this.#requests += 1;
    try {
      const body = Buffer.concat(batch.map((row) => row.bytes));
      const result = await this.#client.publishCertificates(body, batch.length);
      settle(batch, result);
    } catch (error) {
      const peerError = toPeerError(error);
      for (const row of batch) row.reject(peerError);
    } finally {
      this.#requests -= 1;
      if (this.#waiting.length > 0) this.#schedule();
    }
  }
}

function settle(batch: readonly Waiting[], { verdicts, refusals }: WriteResult): void {
  const causes = new Map(refusals.map((refusal) => [refusal.index, refusal]));
  batch.forEach((row, index) => {
    if (verdicts[index] !== 'r') return row.resolve({ verdict: verdicts[index] === 's' ? 'stored' : 'unchanged' });
    const { code, detail } = causes.get(index) ?? { code: 'ERR_INTERNAL', detail: 'Refused without a cause' };
    return row.resolve({ verdict: 'refused', code: isPeerErrorCode(code) ? code : 'ERR_INTERNAL', detail });
  });
}
