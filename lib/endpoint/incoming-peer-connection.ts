/**
 * One accepted connection: who is at the other end and what may be done over it, at every moment.
 */
import type { TLSSocket } from 'node:tls';
import type { AuthenticatedPeer } from '../auth/authenticated-peer.ts';
import { type RefusalCause, validityCause } from '../auth/client-certificate.ts';
import { isMember, type Role } from '../auth/role.ts';
import type { CertificateStanding } from './revocation-check.ts';

/** Roles and standing of an authenticated socket; asked on every request, not only at the handshake. */
export class IncomingPeerConnection {
  readonly peer: AuthenticatedPeer;
  readonly socket: TLSSocket;
  /** What the store said last of the certificate; undefined = it is not asked, or has not answered yet. */
  standing: CertificateStanding | undefined;
  isBlocked = false;
  #rolesFrom: readonly Role[] | undefined;
  #roles: readonly Role[] = [];
  #told: readonly Role[] | undefined;

  constructor(peer: AuthenticatedPeer, socket: TLSSocket) {
    this.peer = peer;
    this.socket = socket;
  }

  get subjectDN(): string {
    return this.peer.subjectDN;
  }

  /** Calls back when the connection closes; gives the function that ends it. */
  onDisconnect(listener: () => void): () => void {
    if (this.socket.destroyed) queueMicrotask(listener);
    this.socket.once('close', listener);
    return () => this.socket.off('close', listener);
  }

  /** Why the peer must not go on, or undefined. */
  refusal(now: number): RefusalCause | undefined {
    if (this.isBlocked) return 'blocked by the operator';
    return this.standing?.cause ?? validityCause(this.peer, now);
  }

  /** The roles of the peer; matched anew whenever the endpoint's list is another one. */
  rolesAmong(roles: readonly Role[]): readonly Role[] {
    if (this.#rolesFrom !== roles) {
      this.#roles = roles.filter((role) => isMember(role, this.peer));
      this.#rolesFrom = roles;
    }
    return this.#roles;
  }

  /** True once for each list of roles. */
  isNewsOf(roles: readonly Role[]): boolean {
    const isNews = this.#told !== roles;
    this.#told = roles;
    return isNews;
  }
}
