/**
 * Who came in lately: per client certificate, when, with which roles, what was done and refused.
 *
 * The list is bounded; the peers seen longest ago leave first.
 */

import type { PeerIdentity } from '../auth/role.ts';
import type { PublishedCrl } from '../protocol/messages.ts';

/** What is known of one incoming peer. Plain data. */
export interface IncomingPeer {
  /** Fingerprint of its certificate; for a client without a readable one, its address. */
  readonly id: string;
  readonly subjectDN: string;
  readonly issuerDN: string;
  readonly serialNumber: string;
  readonly address: string;
  /** Names of the roles it belongs to. */
  readonly roles: readonly string[];
  readonly connections: number;
  readonly requests: number;
  readonly refusals: number;
  /** The operation or the cause of the refusal that came last. */
  readonly lastOperation: string;
  readonly lastRefusal: string;
  /** ISO 8601. */
  readonly firstSeen: string;
  /** ISO 8601. */
  readonly lastSeen: string;
  /** When its certificate expires, ISO 8601; empty = unknown. */
  readonly expires: string;
  /** True when the last thing that happened was a refusal. */
  readonly isRefused: boolean;
  /** True while an operator of this side admits it nowhere. */
  readonly isBlocked: boolean;
}

/**
 * Somebody came in for the first time, was admitted, has other roles than before, was refused; or is about to lose its
 * certificate, or has not been heard of for long.
 */
export interface StandingEvent {
  readonly kind: 'first-contact' | 'admitted' | 'role-changed' | 'refused' | 'expiring' | 'gone-quiet';
  readonly peer: IncomingPeer;
  /** Why, when refused; the roles before, when they changed; since when or until when, for the last two. */
  readonly cause: string;
}

/** A peer published certificates; they are on disk. */
export interface PublishedEvent {
  readonly kind: 'published';
  readonly peer: IncomingPeer;
  readonly stored: number;
  readonly unchanged: number;
  readonly refused: number;
}

/** A peer published a CRL; it is on disk. */
export interface PublishedCrlEvent
  extends Pick<PublishedCrl, 'verdict' | 'crlPartitionIndex' | 'cRLNumber' | 'entries'> {
  readonly kind: 'published-crl';
  readonly peer: IncomingPeer;
  /** The issuer of the CRL; `issuerDN` is that of the peer's certificate. */
  readonly crlIssuerDN: string;
}

/** What is told of a CRL that a peer published. */
export function publishedCrlEvent(peer: IncomingPeer, crl: PublishedCrl): PublishedCrlEvent {
  const { verdict, issuerDN: crlIssuerDN, crlPartitionIndex, cRLNumber, entries } = crl;
  return { kind: 'published-crl', peer, verdict, crlIssuerDN, crlPartitionIndex, cRLNumber, entries };
}

/** What happened, for the log and for flows. */
export type IncomingEvent = StandingEvent | PublishedEvent | PublishedCrlEvent;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const MAX_PEERS = 1_000;

/** What a connection tells at once. */
export type Contact = Pick<IncomingPeer, 'id' | 'subjectDN' | 'issuerDN' | 'serialNumber' | 'address' | 'expires'>;

/** Remembers incoming peers. */
export class IncomingConnections {
  readonly #peers = new Map<string, Mutable<IncomingPeer>>();
  readonly #identities = new Map<string, PeerIdentity>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** All peers, the one seen last first. */
  list(): readonly IncomingPeer[] {
    return [...this.#peers.values()].map((peer) => ({ ...peer })).reverse();
  }

  get(id: string): IncomingPeer | undefined {
    const peer = this.#peers.get(id);
    return peer === undefined ? undefined : { ...peer };
  }

  /**
   * Takes note of a connection, admitted or not.
   *
   * @param identity what roles look at; undefined = the certificate is none that could have one
   * @returns whether it was the first contact
   */
  connected({ id, subjectDN, issuerDN, serialNumber, address, expires }: Contact, identity?: PeerIdentity): boolean {
    const peer = { id, subjectDN, issuerDN, serialNumber, address, expires };
    const known = this.#peers.get(peer.id);
    const time = this.#timestamp();
    const entry = known ?? { ...EMPTY, firstSeen: time };
    Object.assign(entry, peer, { lastSeen: time, connections: entry.connections + 1 });
    if (identity !== undefined) this.#identities.set(id, identity);
    this.#moveToEnd(peer.id, entry as Mutable<IncomingPeer>);
    return known === undefined;
  }

  /** What roles look at of a peer that is remembered. */
  identityOf(id: string): PeerIdentity | undefined {
    return this.#identities.get(id);
  }

  roles(id: string, roles: readonly string[]): void {
    const peer = this.#peers.get(id);
    if (peer !== undefined) peer.roles = roles;
  }

  operated(id: string, operation: string): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    peer.requests += 1;
    peer.lastOperation = operation;
    peer.isRefused = false;
    peer.lastSeen = this.#timestamp();
  }

  refused(id: string, cause: string): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    peer.refusals += 1;
    peer.lastRefusal = cause;
    peer.isRefused = true;
    peer.lastSeen = this.#timestamp();
  }

  disconnected(id: string): void {
    const peer = this.#peers.get(id);
    // It may have been forgotten in between and come again.
    if (peer !== undefined && peer.connections > 0) peer.connections -= 1;
  }

  blocked(id: string, isBlocked: boolean): void {
    const peer = this.#peers.get(id);
    if (peer !== undefined) peer.isBlocked = isBlocked;
  }

  /** Drops what is known of a peer. @returns whether anything was */
  forget(id: string): boolean {
    this.#identities.delete(id);
    return this.#peers.delete(id);
  }

  #moveToEnd(id: string, peer: Mutable<IncomingPeer>): void {
    this.#peers.delete(id);
    this.#peers.set(id, peer);
    if (this.#peers.size <= MAX_PEERS) return;
    const oldest = this.#peers.keys().next().value;
    if (oldest !== undefined) this.forget(oldest);
  }

  #timestamp(): string {
    return new Date(this.#now()).toISOString();
  }
}

const EMPTY = {
  subjectDN: '',
  issuerDN: '',
  serialNumber: '',
  address: '',
  roles: [] as readonly string[],
  connections: 0,
  requests: 0,
  refusals: 0,
  lastOperation: '',
  lastRefusal: '',
  expires: '',
  isRefused: false,
  isBlocked: false,
};
