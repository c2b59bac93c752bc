/**
 * Who is in: judges every client at its handshake, keeps the roles of who was admitted, and cuts who must not go on.
 *
 * Owns the accepted sockets and the list of incoming peers; what is asked over the sockets is the server's.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { AuthenticatedPeer } from '../auth/authenticated-peer.ts';
import { judgeClientCertificate } from '../auth/client-certificate.ts';
import type { Role } from '../auth/role.ts';
import { PeerError, toPeerError } from '../errors.ts';
import { isTrusted, type TrustEntry } from '../keybinding/remote-authenticator.ts';
import type { CertificateStore } from '../store/certificate-store.ts';
import { type Contact, IncomingConnections, type IncomingEvent, type StandingEvent } from './incoming-connections.ts';
import { IncomingPeerConnection } from './incoming-peer-connection.ts';
import { refuseConnection } from './refuse-connection.ts';
import { RevocationCheck, unavailable } from './revocation-check.ts';

/** What decides over clients. */
export interface PeerAdmissionOptions {
  readonly roles: readonly Role[];
  readonly store?: CertificateStore;
  /** Whether client certificates that the store does not know are refused. Default false. */
  readonly mustBeStored?: boolean;
  /** Whether this side admits the certificate with this fingerprint nowhere. Default: none is blocked. */
  readonly isBlocked?: (fingerprint: string) => boolean;
  /** Takes a socket whose client was accepted. */
  readonly onAccepted: (socket: TLSSocket) => void;
  readonly onEvent?: (event: IncomingEvent) => void;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

const RECHECK_INTERVAL_MS = 1_000;

/** Judges clients, at the handshake and as long as they stay. */
export class PeerAdmission {
  readonly incoming: IncomingConnections;
  readonly #options: PeerAdmissionOptions;
  readonly #open = new Map<Socket, IncomingPeerConnection>();
  readonly #check: RevocationCheck | undefined;
  #roles: readonly Role[];
  #trust: readonly TrustEntry[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** @throws PeerError ERR_INVALID_CONFIG when certificates must be stored and there is no store */
  constructor(options: PeerAdmissionOptions) {
    const { store, mustBeStored = false } = options;
    if (mustBeStored && store === undefined) {
      throw new PeerError('ERR_INVALID_CONFIG', 'Client certificates must be stored, but there is no store');
    }
    this.#options = options;
    this.#roles = options.roles;
    this.#check = store === undefined ? undefined : new RevocationCheck({ store, mustBeStored });
    this.incoming = new IncomingConnections(options.now);
  }

  get roles(): readonly Role[] {
    return this.#roles;
  }

  /** Takes effect with the next request, also on open connections. */
  setRoles(roles: readonly Role[]): void {
    this.#roles = roles;
    for (const connection of this.#open.values()) this.#noteRoles(connection);
  }

  /** Takes effect with the next connection. */
  setTrust(trust: readonly TrustEntry[]): void {
    this.#trust = trust;
  }

  /** Begins to look at open connections every second. */
  start(): void {
    this.#timer = setInterval(() => this.#recheck(), RECHECK_INTERVAL_MS).unref();
  }

  /** Ends that; sockets are left to who listens. */
  close(): void {
    clearInterval(this.#timer);
  }

  /** Accepts the client of a new socket, or refuses it, tells it why and ends the connection. */
  async judge(socket: TLSSocket): Promise<void> {
    socket.on('error', () => undefined);
    const address = socket.remoteAddress ?? '';
    try {
      const verdict = judgeClientCertificate(socket);
      if (!verdict.accepted) {
        const { subjectDN, cause } = verdict;
        const id = subjectDN === '' ? address : `${subjectDN} (${address})`;
        this.#contact(socket, { id, subjectDN, issuerDN: '', serialNumber: '', address, expires: '' });
        return this.#refuse(socket, id, new PeerError('ERR_NOT_AUTHENTICATED', `Client certificate: ${cause}`));
      }
      if (!isTrusted(verdict.certificate, this.#trust)) {
        const error = new PeerError('ERR_NOT_AUTHENTICATED', 'Client certificate: not one that the trust list names');
        this.#contact(socket, contactOf(verdict.peer, address), verdict.peer);
        return this.#refuse(socket, verdict.peer.fingerprint, error);
      }
      await this.#admit(socket, new IncomingPeerConnection(verdict.peer, socket));
    } catch (error) {
      this.#refuse(socket, address, toPeerError(error));
    }
  }

  /** The connection of an accepted socket that is still open. */
  connectionOf(socket: Socket): IncomingPeerConnection | undefined {
    return this.#open.get(socket);
  }

  /** @throws PeerError ERR_STORE_UNAVAILABLE when nobody has vouched for the certificate lately */
  requireStanding(connection: IncomingPeerConnection): void {
    if (this.#check?.isStale(connection)) throw unavailable();
  }

  /** Takes note of a request that was allowed. */
  noteOperation(connection: IncomingPeerConnection, name: string): void {
    this.incoming.operated(connection.peer.fingerprint, name);
    if (connection.isNewsOf(this.#roles)) this.#noteRoles(connection);
  }

  /** Takes note of a refusal. @param id of the peer in the list */
  noteRefusal(id: string, cause: string): void {
    this.incoming.refused(id, cause);
    this.#tell('refused', id, cause);
  }

  /** To be called when what `isBlocked` says has changed: cuts who is blocked now. */
  applyBlocked(): void {
    for (const { id } of this.incoming.list()) this.incoming.blocked(id, this.#isBlocked(id));
    for (const connection of this.#open.values()) connection.isBlocked = this.#isBlocked(connection.peer.fingerprint);
    this.#recheck();
  }

  /** Takes note of a client, and of its leaving whatever becomes of it. @returns whether it came for the first time */
  #contact(socket: TLSSocket, contact: Contact, peer?: AuthenticatedPeer): boolean {
    const isFirst = this.incoming.connected(contact, peer);
    this.incoming.blocked(contact.id, this.#isBlocked(contact.id));
    socket.once('close', () => {
      this.#open.delete(socket);
      this.incoming.disconnected(contact.id);
    });
    return isFirst;
  }

  async #admit(socket: TLSSocket, connection: IncomingPeerConnection): Promise<void> {
    const id = connection.peer.fingerprint;
    const isFirst = this.#contact(socket, contactOf(connection.peer, socket.remoteAddress ?? ''), connection.peer);
    connection.isBlocked = this.#isBlocked(id);
    try {
      if (!connection.isBlocked) await this.#check?.admit(connection);
    } catch (error) {
      return this.#refuse(socket, id, toPeerError(error, 'ERR_STORE_UNAVAILABLE'));
    }
    // The client, or this endpoint, may have gone while the store was asked.
    if (socket.destroyed) return;
    const cause = connection.refusal(this.#options.now());
    if (cause !== undefined) {
      return this.#refuse(socket, id, new PeerError('ERR_NOT_AUTHENTICATED', `Client certificate: ${cause}`));
    }
    if (isFirst) this.#tell('first-contact', id, '');
    this.#open.set(socket, connection);
    this.#options.onAccepted(socket);
  }

  #isBlocked(fingerprint: string): boolean {
    return this.#options.isBlocked?.(fingerprint) ?? false;
  }

  #refuse(socket: TLSSocket, id: string, error: PeerError): void {
    this.noteRefusal(id, error.message);
    refuseConnection(socket, error);
  }

  #noteRoles(connection: IncomingPeerConnection): void {
    const id = connection.peer.fingerprint;
    const known = this.incoming.get(id);
    // Who has not been admitted yet has no roles that could change.
    if (known === undefined || known.lastOperation === '') return;
    const before = known.roles.join(', ');
    const roles = connection.rolesAmong(this.#roles).map((role) => role.name);
    if (roles.join(', ') === before) return;
    this.incoming.roles(id, roles);
    this.#tell(before === '' && roles.length > 0 ? 'admitted' : 'role-changed', id, before);
  }

  /** A connection outlives its certificate: whoever must not go on any more is cut, idle or not. */
  #recheck(): void {
    for (const connection of [...this.#open.values()]) {
      const cause = connection.refusal(this.#options.now());
      if (cause !== undefined) this.#cut(connection, `Client certificate: ${cause}`);
      else if (this.#check?.isStale(connection)) this.#cut(connection, unavailable().message);
    }
    this.#check?.refresh(this.#open.values());
  }

  #cut({ socket, peer }: IncomingPeerConnection, cause: string): void {
    this.noteRefusal(peer.fingerprint, cause);
    socket.destroy();
  }

  #tell(kind: StandingEvent['kind'], id: string, cause: string): void {
    const peer = this.incoming.get(id);
    if (peer !== undefined) this.#options.onEvent?.({ kind, peer, cause });
  }
}

function contactOf({ fingerprint, subjectDN, issuerDN, serialNumber, expireDate }: AuthenticatedPeer, address: string) {
  return { id: fingerprint, subjectDN, issuerDN, serialNumber, address, expires: new Date(expireDate).toISOString() };
}
