/**
 * What a drainer of the publisher queue needs to know of a kind of mark: how to send what marks speak of.
 */
import type { PeerClient } from '../pool/peer-client.ts';
import { readRows } from '../store/certificate-row.ts';
import type { CertificateStore } from '../store/certificate-store.ts';
import type { MarkKind, QueueMark } from '../store/publisher-queue.ts';
import { type PublishOutcome, toPublishOutcome } from './peer-publisher.ts';

/**
 * What became of a mark that was sent; `gone`: what it spoke of is not in the store any more; `replaced`: nor is it, but
 * the mark lives on in that of its successor.
 */
export type SendOutcome = PublishOutcome | { readonly verdict: 'gone' } | { readonly verdict: 'replaced' };

/** What became of a mark somebody waits for: what the peer said, or that it stays on the queue, and why. */
export interface DrainOutcome extends Omit<PublishOutcome, 'verdict'> {
  readonly verdict: PublishOutcome['verdict'] | 'queued';
  /** Name of the peer that answered, or of the group. */
  readonly peer: string;
}

/** Sends marks of one kind. */
export interface MarkSender {
  readonly kind: MarkKind;
  /** Most marks of one call. */
  readonly maxMarks: number;
  /**
   * Sends what stands now for these marks, or for some of them.
   *
   * @returns an outcome for each mark in its place, undefined for those that were left for the next call; at least one
   *   is not
   * @throws PeerError what the connector, the store, or the peer says to all of it
   */
  send(
    client: PeerClient,
    marks: readonly QueueMark[],
    signal: AbortSignal,
  ): Promise<readonly (SendOutcome | undefined)[]>;
}

const MAX_BYTES_PER_REQUEST = 4 * 1024 * 1024;

/** Sends certificate data. */
export class CertificateSender implements MarkSender {
  readonly kind = 'certificate';
  readonly maxMarks = 1_000;
  readonly #store: Pick<CertificateStore, 'rowsOf'>;

  constructor(store: Pick<CertificateStore, 'rowsOf'>) {
    this.#store = store;
  }

  async send(
    client: PeerClient,
    marks: readonly QueueMark[],
    signal: AbortSignal,
  ): Promise<readonly (SendOutcome | undefined)[]> {
    // With and without certificates are two requests; the other ones come next.
    const withCertificate = marks[0]?.withCertificate ?? false;
    const wanted = marks.filter((mark) => mark.withCertificate === withCertificate);
    const fingerprints = Buffer.from(wanted.map(({ fingerprint }) => fingerprint).join(''), 'hex');
    const { rows, taken } = await this.#store.rowsOf({
      fingerprints,
      withCertificate,
      maxBytes: MAX_BYTES_PER_REQUEST,
    });
    const found = readRows(rows).map(({ fingerprint }) => Buffer.from(fingerprint).toString('hex'));
    const outcomes = new Map<string, SendOutcome>();
    for (const { fingerprint } of wanted.slice(0, taken)) outcomes.set(fingerprint, { verdict: 'gone' });
    if (found.length > 0) {
      const { verdicts, refusals } = await client.publishCertificates(rows, found.length, signal);
      const causes = new Map(refusals.map((refusal) => [refusal.index, refusal]));
      for (const [index, fingerprint] of found.entries())
        outcomes.set(fingerprint, toPublishOutcome(verdicts[index], causes.get(index)));
    }
    return marks.map(({ fingerprint }) => outcomes.get(fingerprint));
  }
}
