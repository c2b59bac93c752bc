/**
 * Whom something is published to: one peer connector, or a group of which one member gets it.
 *
 * @see EJBCA, Multi Group Publisher
 */
import { PeerError, toPeerError } from '../errors.ts';
import type { PeerClient } from '../pool/peer-client.ts';
import type { PeerPublisher } from './peer-publisher.ts';

/** A peer connector as publishing sees it. */
export interface PublishPeer {
  readonly name: string;
  /** @throws PeerError while the connector is not usable */
  client(): PeerClient;
  /** @throws PeerError while the connector is not usable */
  publisher(): PeerPublisher;
}

/** Finds a connector by its id; undefined = it is not there (any more). Asked anew each time, because of redeploys. */
export type FindPeer = (id: string) => PublishPeer | undefined;

/** A member that failed is tried after the others for so long. */
const AVOID_MS = 30_000;

/** Joins the ids of a group; an id never holds it. */
const SEPARATOR = '+';

/** The key of a group, the same whatever the order of its members: what marks on the queue are for. */
export function groupKey(ids: readonly string[]): string {
  return [...new Set(ids)].sort().join(SEPARATOR);
}

/** One or several peers, one of which is meant. */
export class PeerGroup {
  readonly key: string;
  readonly #ids: readonly string[];
  readonly #find: FindPeer;
  readonly #random: () => number;
  readonly #avoidUntil = new Map<string, number>();

  /** @param key see `groupKey` */
  constructor(key: string, find: FindPeer, random: () => number = Math.random) {
    this.key = key;
    this.#ids = key.split(SEPARATOR);
    this.#find = find;
    this.#random = random;
  }

  /** Names of the members; the id where there is no such connector. */
  get name(): string {
    return this.#ids.map((id) => this.#find(id)?.name ?? id).join(' | ');
  }

  /** Whether at least one member is there. */
  get exists(): boolean {
    return this.#ids.some((id) => this.#find(id) !== undefined);
  }

  /**
   * Works with one member, by chance; when that fails, with the next one.
   *
   * @throws PeerError what the last member failed with; ERR_PEER_UNKNOWN when there is none
   */
  async call<T>(work: (peer: PublishPeer) => Promise<T>): Promise<T> {
    let failure = new PeerError('ERR_PEER_UNKNOWN', `There is no peer connector "${this.name}", or it is not deployed`);
    for (const id of this.#order()) {
      const peer = this.#find(id);
      if (peer === undefined) continue;
      try {
        const result = await work(peer);
        this.#avoidUntil.delete(id);
        return result;
      } catch (error) {
        failure = toPeerError(error);
        this.#avoidUntil.set(id, performance.now() + AVOID_MS);
      }
    }
    throw failure;
  }

  /** Tells when it is worth another try with a member. @returns ends it */
  onUsable(listener: () => void): () => void {
    const ends = this.#ids.flatMap((id) => this.#listen(id, listener));
    return () => {
      for (const end of ends) end();
    };
  }

  #listen(id: string, listener: () => void): readonly (() => void)[] {
    const tell = (): void => {
      this.#avoidUntil.delete(id);
      listener();
    };
    try {
      return [this.#find(id)?.client().onUsable(tell)].filter((end) => end !== undefined);
    } catch {
      // A connector that is set up wrongly becomes usable by a deploy only.
      return [];
    }
  }

  /** By chance, those that failed lately last. */
  #order(): readonly string[] {
    const now = performance.now();
    const ranked = this.#ids.map((id) => {
      const isAvoided = (this.#avoidUntil.get(id) ?? 0) > now;
      return { id, rank: this.#random() + (isAvoided ? 1 : 0) };
    });
    return ranked.sort((a, b) => a.rank - b.rank).map(({ id }) => id);
  }
}
