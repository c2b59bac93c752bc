/**
 * The incoming side: a TLS listener that judges every client itself and hands only accepted
 * sockets to an HTTP server.
 */
import { constants } from 'node:crypto';
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from 'node:tls';
import type { AuthenticatedPeer } from '../auth/authenticated-peer.ts';
import { judgeClientCertificate } from '../auth/client-certificate.ts';
import type { Role } from '../auth/role.ts';
import { PeerError, toPeerError } from '../errors.ts';
import type { ManagedKeyBinding } from '../keybinding/offline-key-binding.ts';
import { isTrusted, type RemoteAuthenticator, type TrustEntry } from '../keybinding/remote-authenticator.ts';
import type { PublishedCrl } from '../protocol/messages.ts';
import { OPERATIONS } from '../protocol/operations.ts';
import type { RaDesk } from '../protocol/ra-messages.ts';
import type { CertificateStore, WriteResult } from '../store/certificate-store.ts';
import { sendAnswer, sendProblem } from './answer.ts';
import { type DispatchContext, dispatch } from './dispatch.ts';
import {
  type Contact,
  IncomingConnections,
  type IncomingEvent,
  publishedCrlEvent,
  type StandingEvent,
} from './incoming-connections.ts';
import { IncomingPeerConnection } from './incoming-peer-connection.ts';
import { OpenSockets } from './open-sockets.ts';
import { refuseBytes, refuseConnection } from './refuse-connection.ts';
import { BodyBudget } from './request-body.ts';
import { RevocationCheck, unavailable } from './revocation-check.ts';
import { longestReceipt, openSpool, type Spool } from './spool.ts';

/** Settings of the incoming side. */
export interface PeerServerOptions {
  /** 0 = any free port. */
  readonly port: number;
  /** Address to listen on. Default: all. */
  readonly host?: string;
  readonly authenticator: RemoteAuthenticator;
  readonly roles: readonly Role[];
  readonly store?: CertificateStore;
  /** Whether client certificates that the store does not know are refused. Default false. */
  readonly mustBeStored?: boolean;
  /** Whether this side admits the certificate with this fingerprint nowhere. Default: none is blocked. */
  readonly isBlocked?: (fingerprint: string) => boolean;
  /** Who hands out RA requests. Default: nobody. */
  readonly desk?: RaDesk;
  /** Read anew for each request. Default: none. */
  readonly keyBindings?: () => readonly ManagedKeyBinding[];
  /** Name and version told to peers. */
  readonly software: string;
  /** Where CRLs are kept while they are received. Default: a folder among the temporary files of the system. */
  readonly spoolFolder?: string;
  /** Default TLSv1.3. */
  readonly minTlsVersion?: 'TLSv1.2' | 'TLSv1.3';
  /** Most connections at once. Default 1000. */
  readonly maxConnections?: number;
  /** Most connections from one address. Default 200. */
  readonly maxConnectionsPerAddress?: number;
  readonly onEvent?: (event: IncomingEvent) => void;
  readonly now?: () => number;
}

const HANDSHAKE_MS = 10_000;
const HEADERS_MS = 15_000;
/** Bodies have limits of their own (`request-body.ts`, `spool.ts`); this one only ends what slips past them. */
const REQUEST_MS = longestReceipt(OPERATIONS.publishCrl.maxBodyBytes);
/** Longer than the 60 s for which the outgoing side keeps a connection, so that the client closes first. */
const KEEP_ALIVE_MS = 75_000;
const HTTP_CHECK_INTERVAL_MS = 2_000;
const RECHECK_INTERVAL_MS = 1_000;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_BODY_BYTES_AT_ONCE = 128 * 1024 * 1024;

/** Listens for peers. */
export class PeerServer {
  readonly incoming: IncomingConnections;
  readonly #options: PeerServerOptions;
  readonly #now: () => number;
  readonly #tls: TlsServer;
  readonly #http: HttpServer;
  readonly #open = new Map<Socket, IncomingPeerConnection>();
  readonly #sockets: OpenSockets;
  readonly #check: RevocationCheck | undefined;
  readonly #budget = new BodyBudget(MAX_BODY_BYTES_AT_ONCE);
  readonly #spool: Spool;
  #roles: readonly Role[];
  #trust: readonly TrustEntry[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** @throws PeerError what reading the identity throws */
  constructor(options: PeerServerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#roles = options.roles;
    this.#sockets = new OpenSockets(options.maxConnectionsPerAddress ?? 200);
    const { store, mustBeStored = false } = options;
    if (mustBeStored && store === undefined) {
      throw new PeerError('ERR_INVALID_CONFIG', 'Client certificates must be stored, but there is no store');
    }
    this.#check = store === undefined ? undefined : new RevocationCheck({ store, mustBeStored });
    this.#spool = openSpool(options.spoolFolder);
    this.incoming = new IncomingConnections(this.#now);
    this.#http = createServer(
      {
        headersTimeout: HEADERS_MS,
        requestTimeout: REQUEST_MS,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connectionsCheckingInterval: HTTP_CHECK_INTERVAL_MS,
        maxHeaderSize: MAX_HEADER_BYTES,
      },
      (request, response) => void this.#serve(request, response),
    );
    // A server that does not listen itself looks after its time limits only when told that it does.
    this.#http.emit('listening');
    this.#http.on('clientError', refuseBytes);
    this.#tls = createTlsServer({
      ...this.#tlsOptions(),
      handshakeTimeout: HANDSHAKE_MS,
      // An answer that comes long after its request must not wait until the one before it is acknowledged.
      noDelay: true,
      requestCert: true,
      // The verdict is this endpoint's own (see client-certificate.ts), so that its cause can be told.
      rejectUnauthorized: false,
    });
    this.#tls.maxConnections = options.maxConnections ?? 1_000;
    this.#tls.on('connection', (socket: Socket) => this.#sockets.add(socket));
    this.#tls.on('secureConnection', (socket) => void this.#judge(socket));
    // A handshake that fails is the client's affair; without a listener it would be nobody's.
    this.#tls.on('tlsClientError', () => undefined);
  }

  /** @throws PeerError ERR_INVALID_CONFIG when the port cannot be had */
  async start(): Promise<void> {
    this.#spool.removeLeftovers();
    const { port, host } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const onError = (cause: Error): void =>
        reject(new PeerError('ERR_INVALID_CONFIG', `Port ${port} cannot be listened on: ${cause.message}`, { cause }));
      this.#tls.once('error', onError);
      this.#tls.listen({ port, ...(host !== undefined && { host }) }, () => {
        this.#tls.off('error', onError);
        resolve();
      });
    });
    this.#timer = setInterval(() => this.#recheck(), RECHECK_INTERVAL_MS).unref();
  }

  /** The port listened on. */
  get port(): number {
    return (this.#tls.address() as AddressInfo | null)?.port ?? this.#options.port;
  }

  /** Takes effect with the next request, also on open connections. */
  setRoles(roles: readonly Role[]): void {
    this.#roles = roles;
    for (const connection of this.#open.values()) this.#noteRoles(connection);
    // Calls that wait were allowed by the old ones.
    this.#options.desk?.release();
  }

  /**
   * Reads identity and trust anew for new connections.
   *
   * @throws PeerError what reading the identity throws; the old ones stay then
   */
  reset(): void {
    this.#tls.setSecureContext(this.#tlsOptions());
  }

  /** Cuts all connections and stops listening. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    const closed = new Promise<void>((resolve) => this.#tls.close(() => resolve()));
    this.#http.close();
    this.#sockets.destroy();
    await closed;
  }

  #tlsOptions() {
    const { options, trust } = this.#options.authenticator.load();
    this.#trust = trust;
    return {
      ...options,
      ca: [...options.ca],
      minVersion: this.#options.minTlsVersion ?? ('TLSv1.3' as const),
      // No tickets: every connection shows its certificate and is judged anew.
      secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    };
  }

  async #judge(socket: TLSSocket): Promise<void> {
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
    const cause = connection.refusal(this.#now());
    if (cause !== undefined) {
      return this.#refuse(socket, id, new PeerError('ERR_NOT_AUTHENTICATED', `Client certificate: ${cause}`));
    }
    if (isFirst) this.#tell('first-contact', id, '');
    this.#open.set(socket, connection);
    this.#http.emit('connection', socket);
  }

  #isBlocked(fingerprint: string): boolean {
    return this.#options.isBlocked?.(fingerprint) ?? false;
  }

  #refuse(socket: TLSSocket, id: string, error: PeerError): void {
    this.incoming.refused(id, error.message);
    this.#tell('refused', id, error.message);
    refuseConnection(socket, error);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const connection = this.#open.get(request.socket);
    if (connection === undefined) return void request.socket.destroy();
    try {
      if (this.#check?.isStale(connection)) throw unavailable();
      sendAnswer(response, await dispatch(request, connection, this.#context()));
    } catch (error) {
      const peerError = toPeerError(error);
      const id = connection.peer.fingerprint;
      if (peerError.code === 'ERR_NOT_AUTHORIZED' || peerError.code === 'ERR_NOT_AUTHENTICATED') {
        this.incoming.refused(id, peerError.message);
        this.#tell('refused', id, peerError.message);
      }
      sendProblem(request, response, peerError);
    }
  }

  #context(): DispatchContext {
    return {
      roles: this.#roles,
      store: this.#options.store,
      desk: this.#options.desk,
      keyBindings: this.#options.keyBindings?.() ?? [],
      software: this.#options.software,
      budget: this.#budget,
      spool: this.#spool,
      now: this.#now,
      onOperation: (connection, name) => this.#noteOperation(connection, name),
      onPublished: (connection, result) => this.#notePublished(connection, result),
      onPublishedCrl: (connection, result) => this.#notePublishedCrl(connection, result),
    };
  }

  #noteOperation(connection: IncomingPeerConnection, name: string): void {
    const id = connection.peer.fingerprint;
    this.incoming.operated(id, name);
    if (connection.isNewsOf(this.#roles)) this.#noteRoles(connection);
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

  #notePublished(connection: IncomingPeerConnection, { verdicts }: WriteResult): void {
    const peer = this.incoming.get(connection.peer.fingerprint);
    if (peer === undefined) return;
    const count = (letter: string): number => verdicts.split(letter).length - 1;
    this.#options.onEvent?.({
      kind: 'published',
      peer,
      stored: count('s'),
      unchanged: count('u'),
      refused: count('r'),
    });
  }

  #notePublishedCrl(connection: IncomingPeerConnection, result: PublishedCrl): void {
    const peer = this.incoming.get(connection.peer.fingerprint);
    if (peer !== undefined) this.#options.onEvent?.(publishedCrlEvent(peer, result));
  }

  /** To be called when what `isBlocked` says has changed: cuts who is blocked now. */
  applyBlocked(): void {
    for (const { id } of this.incoming.list()) this.incoming.blocked(id, this.#isBlocked(id));
    for (const connection of this.#open.values()) connection.isBlocked = this.#isBlocked(connection.peer.fingerprint);
    this.#recheck();
  }

  /** A connection outlives its certificate: whoever must not go on any more is cut, idle or not. */
  #recheck(): void {
    for (const connection of [...this.#open.values()]) {
      const cause = connection.refusal(this.#now());
      if (cause !== undefined) this.#cut(connection, `Client certificate: ${cause}`);
      else if (this.#check?.isStale(connection)) this.#cut(connection, unavailable().message);
    }
    this.#check?.refresh(this.#open.values());
  }

  #cut({ socket, peer }: IncomingPeerConnection, cause: string): void {
    this.incoming.refused(peer.fingerprint, cause);
    this.#tell('refused', peer.fingerprint, cause);
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
