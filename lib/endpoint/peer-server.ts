/**
 * The incoming side: a TLS listener that judges every client itself and hands only accepted
 * sockets to an HTTP server.
 */
import { constants } from 'node:crypto';
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from 'node:tls';
import { judgeClientCertificate } from '../auth/client-certificate.ts';
import type { Role } from '../auth/role.ts';
import { PeerError, toPeerError } from '../errors.ts';
import type { KeyBinding } from '../keybinding/key-binding.ts';
import { isTrusted, type RemoteAuthenticator, type TrustEntry } from '../keybinding/remote-authenticator.ts';
import type { CertificateStore, WriteResult } from '../store/certificate-store.ts';
import { sendAnswer, sendProblem } from './answer.ts';
import { type DispatchContext, dispatch } from './dispatch.ts';
import { IncomingConnections, type IncomingEvent, type StandingEvent } from './incoming-connections.ts';
import { IncomingPeerConnection } from './incoming-peer-connection.ts';
import { refuseBytes, refuseConnection } from './refuse-connection.ts';
import { BodyBudget } from './request-body.ts';

/** Settings of the incoming side. */
export interface PeerServerOptions {
  /** 0 = any free port. */
  readonly port: number;
  /** Address to listen on. Default: all. */
  readonly host?: string;
  readonly authenticator: RemoteAuthenticator;
  readonly roles: readonly Role[];
  readonly store?: CertificateStore;
  /** Read anew for each request. Default: none. */
  readonly keyBindings?: () => readonly KeyBinding[];
  /** Name and version told to peers. */
  readonly software: string;
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
const REQUEST_MS = 60_000;
/** Longer than the 60 s for which the outgoing side keeps a connection, so that the client closes first. */
const KEEP_ALIVE_MS = 75_000;
const CHECK_INTERVAL_MS = 2_000;
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
  readonly #refused = new Set<TLSSocket>();
  readonly #perAddress = new Map<string, number>();
  readonly #budget = new BodyBudget(MAX_BODY_BYTES_AT_ONCE);
  #roles: readonly Role[];
  #trust: readonly TrustEntry[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** @throws PeerError what reading the identity throws */
  constructor(options: PeerServerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#roles = options.roles;
    this.incoming = new IncomingConnections(this.#now);
    this.#http = createServer(
      {
        headersTimeout: HEADERS_MS,
        requestTimeout: REQUEST_MS,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connectionsCheckingInterval: CHECK_INTERVAL_MS,
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
      requestCert: true,
      // The verdict is this endpoint's own (see client-certificate.ts), so that its cause can be told.
      rejectUnauthorized: false,
    });
    this.#tls.maxConnections = options.maxConnections ?? 1_000;
    this.#tls.on('connection', (socket: Socket) => this.#limitAddress(socket));
    this.#tls.on('secureConnection', (socket) => void this.#judge(socket));
    // A handshake that fails is the client's affair; without a listener it would be nobody's.
    this.#tls.on('tlsClientError', () => undefined);
  }

  /** @throws PeerError ERR_INVALID_CONFIG when the port cannot be had */
  async start(): Promise<void> {
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
    this.#timer = setInterval(() => void this.#recheck(), CHECK_INTERVAL_MS).unref();
  }

  /** The port listened on. */
  get port(): number {
    return (this.#tls.address() as AddressInfo | null)?.port ?? this.#options.port;
  }

  /** Takes effect with the next request, also on open connections. */
  setRoles(roles: readonly Role[]): void {
    this.#roles = roles;
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
    for (const socket of this.#open.keys()) socket.destroy();
    for (const socket of this.#refused) socket.destroy();
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

  #limitAddress(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const count = (this.#perAddress.get(address) ?? 0) + 1;
    this.#perAddress.set(address, count);
    socket.once('close', () => {
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#perAddress.delete(address);
      else this.#perAddress.set(address, left);
    });
    if (count > (this.#options.maxConnectionsPerAddress ?? 200)) socket.destroy();
  }

  async #judge(socket: TLSSocket): Promise<void> {
    socket.on('error', () => undefined);
    const address = socket.remoteAddress ?? '';
    try {
      const verdict = judgeClientCertificate(socket);
      if (!verdict.accepted) {
        const { subjectDN, cause } = verdict;
        const id = subjectDN === '' ? address : `${subjectDN} (${address})`;
        this.incoming.connected({ id, subjectDN, issuerDN: '', serialNumber: '', address });
        return this.#refuse(socket, id, new PeerError('ERR_NOT_AUTHENTICATED', `Client certificate: ${cause}`));
      }
      if (!isTrusted(verdict.certificate, this.#trust)) {
        const error = new PeerError('ERR_NOT_AUTHENTICATED', 'Client certificate: not one that the trust list names');
        this.incoming.connected({ ...verdict.peer, id: verdict.peer.fingerprint, address });
        return this.#refuse(socket, verdict.peer.fingerprint, error);
      }
      await this.#admit(socket, new IncomingPeerConnection(verdict.peer, socket));
    } catch (error) {
      this.#refuse(socket, address, toPeerError(error));
    }
  }

  async #admit(socket: TLSSocket, connection: IncomingPeerConnection): Promise<void> {
    const { fingerprint: id, subjectDN, issuerDN, serialNumber } = connection.peer;
    const address = socket.remoteAddress ?? '';
    const isFirst = this.incoming.connected({ id, subjectDN, issuerDN, serialNumber, address });
    if (this.#options.store !== undefined) await connection.checkRevocation(this.#options.store);
    const cause = connection.refusal(this.#now());
    if (cause !== undefined) {
      return this.#refuse(socket, id, new PeerError('ERR_NOT_AUTHENTICATED', `Client certificate: ${cause}`));
    }
    if (isFirst) this.#tell('first-contact', id, '');
    this.#open.set(socket, connection);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.incoming.disconnected(id);
    });
    this.#http.emit('connection', socket);
  }

  #refuse(socket: TLSSocket, id: string, error: PeerError): void {
    this.incoming.refused(id, error.message);
    this.#tell('refused', id, error.message);
    this.#refused.add(socket);
    socket.once('close', () => {
      this.#refused.delete(socket);
      this.incoming.disconnected(id);
    });
    refuseConnection(socket, error);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const connection = this.#open.get(request.socket);
    if (connection === undefined) return void request.socket.destroy();
    try {
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
      keyBindings: this.#options.keyBindings?.() ?? [],
      software: this.#options.software,
      budget: this.#budget,
      now: this.#now,
      onOperation: (connection, name) => this.#noteOperation(connection, name),
      onPublished: (connection, result) => this.#notePublished(connection, result),
    };
  }

  #noteOperation(connection: IncomingPeerConnection, name: string): void {
    const id = connection.peer.fingerprint;
    this.incoming.operated(id, name);
    if (!connection.isNewsOf(this.#roles)) return;
    const roles = connection.rolesAmong(this.#roles).map((role) => role.name);
    if (roles.join('\n') === this.incoming.get(id)?.roles.join('\n')) return;
    this.incoming.roles(id, roles);
    this.#tell('admitted', id, '');
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

  /** A connection outlives its certificate: what has expired or was revoked since is cut, idle or not. */
  async #recheck(): Promise<void> {
    const { store } = this.#options;
    for (const connection of [...this.#open.values()]) {
      if (store !== undefined) await connection.checkRevocation(store).catch(() => undefined);
      if (connection.refusal(this.#now()) === undefined) continue;
      const id = connection.peer.fingerprint;
      const cause = `Client certificate: ${connection.refusal(this.#now())}`;
      this.incoming.refused(id, cause);
      this.#tell('refused', id, cause);
      connection.socket.destroy();
    }
  }

  #tell(kind: StandingEvent['kind'], id: string, cause: string): void {
    const peer = this.incoming.get(id);
    if (peer !== undefined) this.#options.onEvent?.({ kind, peer, cause });
  }
}
