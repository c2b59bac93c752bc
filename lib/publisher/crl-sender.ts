/**
 * How marks of CRLs are sent: the CRL that stands then, read from the store piece by piece.
 *
 * A mark of a CRL that was replaced has become one of its successor in the store, so nothing older than what stands is
 * ever sent. A delta CRL whose base the peer lacks takes the full CRL along.
 */
import { Readable } from 'node:stream';
import { type PeerErrorCode, toPeerError } from '../errors.ts';
import type { StreamedBody } from '../pool/connection-pool.ts';
import type { PeerClient } from '../pool/peer-client.ts';
import { CRL_CHUNK_BYTES, type CrlData, type CrlStore } from '../store/crl-data.ts';
import type { QueueMark } from '../store/publisher-queue.ts';
import type { MarkSender, SendOutcome } from './mark-sender.ts';
import type { PublishOutcome } from './peer-publisher.ts';

/** What a peer says of the CRL itself; sending it once more would change nothing. */
const REFUSALS: ReadonlySet<PeerErrorCode> = new Set<PeerErrorCode>([
  'ERR_INVALID_CRL',
  'ERR_CRL_TOO_OLD',
  'ERR_CRL_BASE_MISSING',
  'ERR_NOT_AUTHORIZED',
  'ERR_TOO_LARGE',
]);

/** The outcome that an error is when it is about the CRL itself; undefined = it is about something else. */
export function crlRefusalOf(error: unknown): PublishOutcome | undefined {
  const { code, message: detail } = toPeerError(error);
  return REFUSALS.has(code) ? { verdict: 'refused', code, detail } : undefined;
}

/** Sends CRLs, one at a time. */
export class CrlSender implements MarkSender {
  readonly kind = 'crl';
  readonly maxMarks = 1;
  readonly #crls: Pick<CrlStore, 'find' | 'findByFingerprint' | 'read'>;

  constructor(crls: Pick<CrlStore, 'find' | 'findByFingerprint' | 'read'>) {
    this.#crls = crls;
  }

  async send(client: PeerClient, marks: readonly QueueMark[], signal: AbortSignal): Promise<readonly SendOutcome[]> {
    const [mark] = marks;
    if (mark === undefined) return [];
    const crl = await this.#crls.findByFingerprint(mark.fingerprint);
    if (crl === undefined) return [{ verdict: 'replaced' }];
    const outcome = await this.#sendOne(client, crl, signal);
    const isBaseMissing = outcome.verdict === 'refused' && outcome.code === 'ERR_CRL_BASE_MISSING';
    return [isBaseMissing ? await this.#sendWithBase(client, crl, signal) : outcome];
  }

  async #sendOne(client: PeerClient, crl: CrlData, signal: AbortSignal): Promise<SendOutcome> {
    const stored = new StoredCrlBody(this.#crls, crl);
    try {
      const { verdict } = await client.publishCrl(stored.body, crl.crlPartitionIndex, signal);
      return { verdict };
    } catch (error) {
      if (stored.isReplaced) return { verdict: 'replaced' };
      const refusal = crlRefusalOf(error);
      if (refusal === undefined) throw error;
      return refusal;
    }
  }

  /** What the peer refuses of the full CRL is told of the delta CRL too. */
  async #sendWithBase(client: PeerClient, delta: CrlData, signal: AbortSignal): Promise<SendOutcome> {
    const { issuerDN, crlPartitionIndex } = delta;
    const base = await this.#crls.find({ issuerDN, crlPartitionIndex });
    const outcome = base && (await this.#sendOne(client, base, signal));
    return outcome?.verdict === 'refused' ? outcome : this.#sendOne(client, delta, signal);
  }
}

/** The bytes of a stored CRL on their way out. */
class StoredCrlBody {
  readonly #crls: Pick<CrlStore, 'read'>;
  readonly #crl: CrlData;
  #isReplaced = false;

  constructor(crls: Pick<CrlStore, 'read'>, crl: CrlData) {
    this.#crls = crls;
    this.#crl = crl;
  }

  /** Whether another CRL took its place while it was read; what was sent of it is no CRL then. */
  get isReplaced(): boolean {
    return this.#isReplaced;
  }

  get body(): StreamedBody {
    const { size } = this.#crl;
    return { open: () => Readable.from(this.#chunks(), { objectMode: false }), bytes: size, contentLength: size };
  }

  async *#chunks(): AsyncGenerator<Uint8Array> {
    const { fingerprint, size } = this.#crl;
    for (let at = 0; at < size; at += CRL_CHUNK_BYTES) {
      const chunk = await this.#crls.read(fingerprint, at);
      if (chunk === undefined) {
        this.#isReplaced = true;
        throw new Error('Another CRL took the place of this one');
      }
      yield chunk;
    }
  }
}
