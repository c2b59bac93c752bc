/**
 * What an endpoint tells of its peers: to its list, and to whoever listens.
 */
import type { Role } from '../auth/role.ts';
import type { PublishedCrl } from '../protocol/messages.ts';
import type { WriteResult } from '../store/certificate-store.ts';
import {
  IncomingConnections,
  type IncomingEvent,
  publishedCrlEvent,
  type StandingEvent,
} from './incoming-connections.ts';
import type { IncomingPeerConnection } from './incoming-peer-connection.ts';

/** Owns the list; an event goes out after the list has it. */
export class IncomingNews {
  readonly incoming: IncomingConnections;
  readonly #onEvent: (event: IncomingEvent) => void;

  constructor(now: () => number, onEvent: (event: IncomingEvent) => void = () => undefined) {
    this.incoming = new IncomingConnections(now);
    this.#onEvent = onEvent;
  }

  /** A peer that is known came to a standing. */
  tell(kind: StandingEvent['kind'], id: string, cause: string): void {
    const peer = this.incoming.get(id);
    if (peer !== undefined) this.#onEvent({ kind, peer, cause });
  }

  refused(id: string, cause: string): void {
    this.incoming.refused(id, cause);
    this.tell('refused', id, cause);
  }

  /** A peer was allowed to do something, as the roles of now are. */
  operated(connection: IncomingPeerConnection, name: string, roles: readonly Role[]): void {
    this.incoming.operated(connection.peer.fingerprint, name);
    if (connection.isNewsOf(roles)) this.rolesChanged(connection, roles);
  }

  /** Compares the roles of a peer with those it was last told with. */
  rolesChanged(connection: IncomingPeerConnection, all: readonly Role[]): void {
    const id = connection.peer.fingerprint;
    const known = this.incoming.get(id);
    // Who has not been admitted yet has no roles that could change.
    if (known === undefined || known.lastOperation === '') return;
    const before = known.roles.join(', ');
    const roles = connection.rolesAmong(all).map((role) => role.name);
    if (roles.join(', ') === before) return;
    this.incoming.roles(id, roles);
    this.tell(before === '' && roles.length > 0 ? 'admitted' : 'role-changed', id, before);
  }

  published(connection: IncomingPeerConnection, { verdicts }: WriteResult): void {
    const peer = this.incoming.get(connection.peer.fingerprint);
    if (peer === undefined) return;
    const count = (letter: string): number => verdicts.split(letter).length - 1;
    this.#onEvent({ kind: 'published', peer, stored: count('s'), unchanged: count('u'), refused: count('r') });
  }

  publishedCrl(connection: IncomingPeerConnection, result: PublishedCrl): void {
    const peer = this.incoming.get(connection.peer.fingerprint);
    if (peer !== undefined) this.#onEvent(publishedCrlEvent(peer, result));
  }
}
