/**
 * Tells what does not happen by itself: that the certificate of an incoming peer is about to expire, and that a peer
 * has not been heard of for long.
 */
import type { IncomingPeer, StandingEvent } from './incoming-connections.ts';

/** When to tell. */
export interface WatchLimits {
  /** Milliseconds before the end of a certificate; 0 = never. */
  readonly expiryMs: number;
  /** Milliseconds without a connection or request; 0 = never. */
  readonly quietMs: number;
}

/** Remembers what it has told, so that each thing is told once. */
export class IncomingWatch {
  readonly #limits: WatchLimits;
  readonly #now: () => number;
  readonly #expiring = new Set<string>();
  readonly #quiet = new Set<string>();

  constructor(limits: WatchLimits, now: () => number = Date.now) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Looks at all peers of an endpoint; gives what is new. Whoever is heard of again may go quiet again. */
  look(peers: readonly IncomingPeer[]): readonly StandingEvent[] {
    const admitted = peers.filter(({ lastOperation }) => lastOperation !== '');
    return [
      ...this.#news(this.#expiring, admitted, (peer) => (this.#isExpiring(peer) ? expiring(peer) : undefined)),
      ...this.#news(this.#quiet, admitted, (peer) => (this.#isQuiet(peer) ? goneQuiet(peer) : undefined)),
    ];
  }

  #news(
    told: Set<string>,
    peers: readonly IncomingPeer[],
    eventOf: (peer: IncomingPeer) => StandingEvent | undefined,
  ): readonly StandingEvent[] {
    const current = new Map(peers.flatMap((peer) => [[peer.id, eventOf(peer)] as const]));
    for (const id of told) if (current.get(id) === undefined) told.delete(id);
    return [...current].flatMap(([id, event]) => {
      if (event === undefined || told.has(id)) return [];
      told.add(id);
      return [event];
    });
  }

  #isExpiring({ expires }: IncomingPeer): boolean {
    const { expiryMs } = this.#limits;
    return expiryMs > 0 && expires !== '' && Date.parse(expires) - this.#now() < expiryMs;
  }

  #isQuiet({ lastSeen }: IncomingPeer): boolean {
    const { quietMs } = this.#limits;
    return quietMs > 0 && this.#now() - Date.parse(lastSeen) > quietMs;
  }
}

function expiring(peer: IncomingPeer): StandingEvent {
  return { kind: 'expiring', peer, cause: peer.expires };
}

function goneQuiet(peer: IncomingPeer): StandingEvent {
  return { kind: 'gone-quiet', peer, cause: peer.lastSeen };
}
