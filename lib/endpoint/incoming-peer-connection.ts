/**
 * One accepted connection: who is at the other end and what may be done over it, at every moment.
 */
import type { TLSSocket } from 'node:tls';
import type { AuthenticatedPeer } from '../auth/authenticated-peer.ts';
import { type RefusalCause, validityCause } from '../auth/client-certificate.ts';
import { isMember, type Role } from '../auth/role.ts';
import { CERTIFICATE_STATUS } from '../store/certificate-data.ts';
import type { CertificateStore } from '../store/certificate-store.ts';

/** Roles and standing of an authenticated socket; asked on every request, not only at the handshake. */
export class IncomingPeerConnection {
  readonly peer: AuthenticatedPeer;
  readonly socket: TLSSocket;
  #isRevoked = false;
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
    return this.#isRevoked ? 'revoked' : validityCause(this.peer, now);
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

  /** Asks the store whether it knows the certificate as revoked. Fails when the store does: unknown is not good. */
  async checkRevocation(store: CertificateStore): Promise<void> {
    const row = await store.findByFingerprint(this.peer.fingerprint);
    this.#isRevoked = row?.status === CERTIFICATE_STATUS.revoked;
  }
}
