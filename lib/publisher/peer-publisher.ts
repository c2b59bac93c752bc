/**
 * Publishes certificate data to one peer: rows that come together travel together.
 *
 * A lone row leaves at once. While requests are under way, newer rows gather and leave as one.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isPeerErrorCode, PeerError, type PeerErrorCode, toPeerError } from '../errors.ts';
import type { PeerClient } from '../pool/peer-client.ts';
import type { CertificateData } from '../store/certificate-data.ts';
import { encodeRow } from '../store/certificate-row.ts';
import type { Refusal, WriteResult } from '../store/certificate-store.ts';

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

const MAX_ROWS_PER_REQUEST = 1_000;
const MAX_BYTES_PER_REQUEST = 4 * 1024 * 1024;
const MAX_REQUESTS = 2;
/** Every answered row wakes a flow; so many flows may run before the event loop gets its turn. */
const ROWS_PER_TURN = 25;
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
    const body = Buffer.concat(batch.map((row) => row.bytes));
    const answer = await this.#client.publishCertificates(body, batch.length).catch((error) => toPeerError(error));
    this.#requests -= 1;
    if (this.#waiting.length > 0) this.#schedule();
    await settle(batch, answer);
  }
}

async function settle(batch: readonly Waiting[], answer: WriteResult | PeerError): Promise<void> {
  const causes = new Map(answer instanceof PeerError ? [] : answer.refusals.map((refusal) => [refusal.index, refusal]));
  for (const [index, row] of batch.entries()) {
    if (answer instanceof PeerError) row.reject(answer);
    else row.resolve(toPublishOutcome(answer.verdicts[index], causes.get(index)));
    if (index % ROWS_PER_TURN === ROWS_PER_TURN - 1) await nextTurn();
  }
}

/** From a letter of `WriteResult` to what became of the row. */
export function toPublishOutcome(letter: string | undefined, refusal: Refusal | undefined): PublishOutcome {
  if (letter !== 'r') return { verdict: letter === 's' ? 'stored' : 'unchanged' };
  const { code, detail } = refusal ?? { code: 'ERR_INTERNAL', detail: 'Refused without a cause' };
  return { verdict: 'refused', code: isPeerErrorCode(code) ? code : 'ERR_INTERNAL', detail };
}
