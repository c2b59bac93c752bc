/**
 * The incoming side: a TLS listener whose clients are judged here and not by TLS, and an HTTP server that sees only the
 * sockets of those who were admitted.
 *
 * Owns listening and limits. Who is admitted is decided in `client-gate.ts`, what is answered in `dispatch.ts`.
 */
import { constants } from 'node:crypto';
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import type { Role } from '../auth/role.ts';
import { PeerError, toPeerError } from '../errors.ts';
import type { ManagedKeyBinding } from '../keybinding/offline-key-binding.ts';
import type { RemoteAuthenticator, TrustEntry } from '../keybinding/remote-authenticator.ts';
import { OPERATIONS } from '../protocol/operations.ts';
import type { RaDesk } from '../protocol/ra-messages.ts';
import type { CertificateStore } from '../store/certificate-store.ts';
import { sendAnswer, sendProblem } from './answer.ts';
import { ClientGate } from './client-gate.ts';
import { type DispatchContext, dispatch } from './dispatch.ts';
import type { IncomingConnections, IncomingEvent } from './incoming-connections.ts';
import { IncomingNews } from './incoming-news.ts';
import { OpenSockets } from './open-sockets.ts';
import { refuseBytes } from './refuse-connection.ts';
import { BodyBudget } from './request-body.ts';
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
  readonly #options: PeerServerOptions;
  readonly #now: () => number;
  readonly #tls: TlsServer;
  readonly #http: HttpServer;
  readonly #sockets: OpenSockets;
  readonly #news: IncomingNews;
  readonly #gate: ClientGate;
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
    this.#news = new IncomingNews(this.#now, options.onEvent);
    this.#gate = new ClientGate({
      trust: () => this.#trust,
      store: options.store,
      mustBeStored: options.mustBeStored ?? false,
      isBlocked: options.isBlocked ?? (() => false),
      news: this.#news,
      now: this.#now,
      onAdmitted: (socket) => void this.#http.emit('connection', socket),
    });
    this.#spool = openSpool(options.spoolFolder);
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
    this.#tls.on('secureConnection', (socket) => void this.#gate.judge(socket));
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
    this.#timer = setInterval(() => this.#gate.recheck(), RECHECK_INTERVAL_MS).unref();
  }

  /** Who came in lately. */
  get incoming(): IncomingConnections {
    return this.#news.incoming;
  }

  /** The port listened on. */
  get port(): number {
    return (this.#tls.address() as AddressInfo | null)?.port ?? this.#options.port;
  }

  /** Takes effect with the next request, also on open connections. */
  setRoles(roles: readonly Role[]): void {
    this.#roles = roles;
    for (const connection of this.#gate.connections()) this.#news.rolesChanged(connection, roles);
    // Calls that wait were allowed by the old ones.
    this.#options.desk?.release();
  }

  /** To be called when what `isBlocked` says has changed: cuts who is blocked now. */
  applyBlocked(): void {
    this.#gate.applyBlocked();
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

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let id = '';
    try {
      const connection = this.#gate.connectionOf(request.socket);
      if (connection === undefined) return void request.socket.destroy();
      id = connection.peer.fingerprint;
      sendAnswer(response, await dispatch(request, connection, this.#context()));
    } catch (error) {
      const peerError = toPeerError(error);
      if (peerError.code === 'ERR_NOT_AUTHORIZED' || peerError.code === 'ERR_NOT_AUTHENTICATED') {
        this.#news.refused(id, peerError.message);
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
      onOperation: (connection, name) => this.#news.operated(connection, name, this.#roles),
      onPublished: (connection, result) => this.#news.published(connection, result),
      onPublishedCrl: (connection, result) => this.#news.publishedCrl(connection, result),
    };
  }
}
