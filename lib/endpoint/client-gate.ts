/**
 * Judges who comes in by TLS, and who may stay: certificate, trust list, store, and what an operator has blocked.
 *
 * Owns the connections that were admitted.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { AuthenticatedPeer } from '../auth/authenticated-peer.ts';
import { judgeClientCertificate } from '../auth/client-certificate.ts';
import { PeerError, toPeerError } from '../errors.ts';
import { isTrusted, type TrustEntry } from '../keybinding/remote-authenticator.ts';
import type { CertificateStore } from '../store/certificate-store.ts';
import type { Contact } from './incoming-connections.ts';
import type { IncomingNews } from './incoming-news.ts';
import { IncomingPeerConnection } from './incoming-peer-connection.ts';
import { refuseConnection } from './refuse-connection.ts';
import { RevocationCheck, unavailable } from './revocation-check.ts';

/** What the gate judges by. */
export interface ClientGateOptions {
  /** Read anew for each client. */
  readonly trust: () => readonly TrustEntry[];
  /** Where revocations are looked up. */
  readonly store: CertificateStore | undefined;
  /** Whether client certificates that the store does not know are refused. */
  readonly mustBeStored: boolean;
  /** Whether this side admits the certificate with this fingerprint nowhere. */
  readonly isBlocked: (fingerprint: string) => boolean;
  readonly news: IncomingNews;
  readonly now: () => number;
  /** Takes a socket that may speak. */
  readonly onAdmitted: (socket: TLSSocket) => void;
}

/** Who is let in, and for how long. */
export class ClientGate {
  readonly #options: ClientGateOptions;
  readonly #open = new Map<Socket, IncomingPeerConnection>();
  readonly #check: RevocationCheck | undefined;

  /** @throws PeerError ERR_INVALID_CONFIG when certificates must be stored, and there is no store */
  constructor(options: ClientGateOptions) {
    this.#options = options;
    const { store, mustBeStored } = options;
    if (mustBeStored && store === undefined) {
      throw new PeerError('ERR_INVALID_CONFIG', 'Client certificates must be stored, but there is no store');
    }
    this.#check = store === undefined ? undefined : new RevocationCheck({ store, mustBeStored });
  }

  /** Connections that were admitted and are open. */
  connections(): IterableIterator<IncomingPeerConnection> {
    return this.#open.values();
  }

  /**
   * The connection of a socket that may go on; undefined for one that was not admitted.
   *
   * @throws PeerError ERR_STORE_UNAVAILABLE when the store has not been able for long to say whether it is revoked
   */
  connectionOf(socket: Socket): IncomingPeerConnection | undefined {
    const connection = this.#open.get(socket);
    if (connection !== undefined && this.#check?.isStale(connection)) throw unavailable();
    return connection;
  }

  /** Judges a socket whose handshake is over. Never rejects. */
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
      if (!isTrusted(verdict.certificate, this.#options.trust())) {
        const error = new PeerError('ERR_NOT_AUTHENTICATED', 'Client certificate: not one that the trust list names');
        this.#contact(socket, contactOf(verdict.peer, address), verdict.peer);
        return this.#refuse(socket, verdict.peer.fingerprint, error);
      }
      await this.#admit(socket, new IncomingPeerConnection(verdict.peer, socket));
    } catch (error) {
      this.#refuse(socket, address, toPeerError(error));
    }
  }

  /** To be called when what `isBlocked` says has changed: cuts who is blocked now. */
  applyBlocked(): void {
    const { news, isBlocked } = this.#options;
    for (const { id } of news.incoming.list()) news.incoming.blocked(id, isBlocked(id));
    for (const connection of this.#open.values()) connection.isBlocked = isBlocked(connection.peer.fingerprint);
    this.recheck();
  }

  /** A connection outlives its certificate: whoever must not go on any more is cut, idle or not. */
  recheck(): void {
    for (const connection of [...this.#open.values()]) {
      const cause = connection.refusal(this.#options.now());
      if (cause !== undefined) this.#cut(connection, `Client certificate: ${cause}`);
      else if (this.#check?.isStale(connection)) this.#cut(connection, unavailable().message);
    }
    this.#check?.refresh(this.#open.values());
  }

  /** Takes note of a client, and of its leaving whatever becomes of it. @returns whether it came for the first time */
  #contact(socket: TLSSocket, contact: Contact, peer?: AuthenticatedPeer): boolean {
    const { news, isBlocked } = this.#options;
    const isFirst = news.incoming.connected(contact, peer);
    news.incoming.blocked(contact.id, isBlocked(contact.id));
    socket.once('close', () => {
      this.#open.delete(socket);
      news.incoming.disconnected(contact.id);
    });
    return isFirst;
  }

  async #admit(socket: TLSSocket, connection: IncomingPeerConnection): Promise<void> {
    const { news, isBlocked, now, onAdmitted } = this.#options;
    const id = connection.peer.fingerprint;
    const isFirst = this.#contact(socket, contactOf(connection.peer, socket.remoteAddress ?? ''), connection.peer);
    connection.isBlocked = isBlocked(id);
    try {
      if (!connection.isBlocked) await this.#check?.admit(connection);
    } catch (error) {
      return this.#refuse(socket, id, toPeerError(error, 'ERR_STORE_UNAVAILABLE'));
    }
    // The client, or this endpoint, may have gone while the store was asked.
    if (socket.destroyed) return;
    const cause = connection.refusal(now());
    if (cause !== undefined) {
      return this.#refuse(socket, id, new PeerError('ERR_NOT_AUTHENTICATED', `Client certificate: ${cause}`));
    }
    if (isFirst) news.tell('first-contact', id, '');
    this.#open.set(socket, connection);
    onAdmitted(socket);
  }

  #refuse(socket: TLSSocket, id: string, error: PeerError): void {
    this.#options.news.refused(id, error.message);
    refuseConnection(socket, error);
  }

  #cut({ socket, peer }: IncomingPeerConnection, cause: string): void {
    this.#options.news.refused(peer.fingerprint, cause);
    socket.destroy();
  }
}

function contactOf({ fingerprint, subjectDN, issuerDN, serialNumber, expireDate }: AuthenticatedPeer, address: string) {
  return { id: fingerprint, subjectDN, issuerDN, serialNumber, address, expires: new Date(expireDate).toISOString() };
}
