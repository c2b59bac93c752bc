/**
 * The publisher queue of one certificate store: one drainer per peer and kind of mark, whoever uses it.
 *
 * Owns the drainers. The marks are in the store (`store/publisher-queue.ts`); what is sent is up to the senders.
 */
import type { CertificateStore } from '../store/certificate-store.ts';
import type { MarkKind, MarkList, MarkListRequest, MarkSelection, QueueMark } from '../store/publisher-queue.ts';
import { CrlSender } from './crl-sender.ts';
import { CertificateSender, type DrainOutcome, type MarkSender } from './mark-sender.ts';
import { type FindPeer, PeerGroup } from './peer-group.ts';
import { type PeerQueueStatus, statusOf } from './publisher-status.ts';
import { type DrainFailure, QueueDrainer } from './queue-drainer.ts';

/** What a queue works with. */
export interface PublisherQueueOptions {
  readonly store: CertificateStore;
  readonly find: FindPeer;
  /** See `DrainerOptions`. */
  readonly maxBackOffMs?: number;
  readonly random?: () => number;
}

/** A mark that was set right now. */
export type NewMark = Pick<QueueMark, 'peer' | 'kind' | 'fingerprint' | 'sequence' | 'withCertificate'>;

/** Begins to drain with `resume`, and goes on until it is closed. */
export class PublisherQueue {
  readonly store: CertificateStore;
  readonly #options: PublisherQueueOptions;
  readonly #senders: readonly MarkSender[];
  readonly #groups = new Map<string, PeerGroup>();
  readonly #drainers = new Map<string, ReadonlyMap<MarkKind, QueueDrainer>>();
  readonly #listeners = new Set<() => void>();
  #isClosed = false;

  constructor(options: PublisherQueueOptions) {
    this.store = options.store;
    this.#options = options;
    this.#senders = [new CertificateSender(options.store), new CrlSender(options.store.crls)];
  }

  /** A peer or group by its key, see `groupKey`. */
  group(key: string): PeerGroup {
    const group = this.#groups.get(key) ?? new PeerGroup(key, this.#options.find, this.#options.random);
    this.#groups.set(key, group);
    return group;
  }

  /** Drains for everybody who has marks, also for those that no node names any more. @throws what the store throws */
  async resume(): Promise<void> {
    for (const { peer } of await this.store.queueSummaries(Date.now())) this.#drainersOf(peer);
  }

  /** Sends a mark before older ones; gives what the peer says, or `queued` when it cannot be reached. */
  sendNow({ peer, kind, ...mark }: NewMark): Promise<DrainOutcome> {
    const drainer = this.#drainersOf(peer).get(kind);
    return drainer?.sendNow(mark) ?? Promise.resolve({ verdict: 'queued', peer: this.group(peer).name });
  }

  /** Marks were set for this peer. */
  wake(peer: string): void {
    for (const drainer of this.#drainersOf(peer).values()) drainer.wake();
  }

  /** Tries all peers at once; after a deploy, which may have made a connector usable. */
  tryAgain(): void {
    for (const drainers of this.#drainers.values()) for (const drainer of drainers.values()) drainer.tryAgain();
  }

  /**
   * The queues of these peers, and of all that have marks.
   *
   * @param outOfSyncAfterMs age of the oldest waiting mark from which on a peer is out of sync
   * @throws what the store throws
   */
  async status(peers: readonly string[], outOfSyncAfterMs: number): Promise<readonly PeerQueueStatus[]> {
    const now = Date.now();
    const summaries = new Map((await this.store.queueSummaries(now)).map((summary) => [summary.peer, summary]));
    return [...new Set([...peers, ...summaries.keys()])].map((peer) => {
      const { name, exists } = this.group(peer);
      const failure = this.#lastFailure(peer);
      return statusOf(summaries.get(peer), { peer, name, exists, failure }, { now, outOfSyncAfterMs });
    });
  }

  list(request: MarkListRequest): Promise<MarkList> {
    return this.store.listMarks(request);
  }

  /** Tries marks again at once, parked ones too; gives how many. */
  async retry(selection: MarkSelection): Promise<number> {
    const count = await this.store.retryMarks(selection);
    for (const drainer of this.#drainersOf(selection.peer).values()) drainer.tryAgain();
    this.#changed();
    return count;
  }

  /** Forgets marks: the peer will not be told; gives how many. */
  async empty(selection: MarkSelection): Promise<number> {
    const count = await this.store.removeMarks(selection);
    this.#changed();
    return count;
  }

  /** Tells that a queue or the last failure of a peer has changed. @returns ends it */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Stops within a second; marks stay. The store is not closed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const drainers = [...this.#drainers.values()].flatMap((each) => [...each.values()]);
    this.#drainers.clear();
    await Promise.all(drainers.map((drainer) => drainer.close()));
  }

  #drainersOf(peer: string): ReadonlyMap<MarkKind, QueueDrainer> {
    const standing = this.#drainers.get(peer);
    if (standing !== undefined || this.#isClosed) return standing ?? new Map();
    const { store, maxBackOffMs, random } = this.#options;
    const options = {
      store,
      group: this.group(peer),
      onChange: () => this.#changed(),
      ...(maxBackOffMs !== undefined && { maxBackOffMs }),
      ...(random !== undefined && { random }),
    };
    const drainers = new Map(this.#senders.map((sender) => [sender.kind, new QueueDrainer({ ...options, sender })]));
    this.#drainers.set(peer, drainers);
    return drainers;
  }

  #lastFailure(peer: string): DrainFailure | undefined {
    const drainers = [...(this.#drainers.get(peer)?.values() ?? [])];
    return drainers.map(({ lastFailure }) => lastFailure).find((failure) => failure !== undefined);
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
