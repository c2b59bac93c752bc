/**
 * The incoming side: a TLS listener, and an HTTP server that gets only the sockets of accepted clients.
 *
 * Owns listening, its limits and what is asked over HTTP; who is accepted is `peer-admission.ts`.
 */
import { constants } from 'node:crypto';
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import type { Role } from '../auth/role.ts';
import { PeerError, toPeerError } from '../errors.ts';
import type { KeyBinding } from '../keybinding/key-binding.ts';
import type { RemoteAuthenticator } from '../keybinding/remote-authenticator.ts';
import type { PublishedCrl } from '../protocol/messages.ts';
import { OPERATIONS } from '../protocol/operations.ts';
import type { RaDesk } from '../protocol/ra-messages.ts';
import type { WriteResult } from '../store/certificate-store.ts';
import { sendAnswer, sendProblem } from './answer.ts';
import { type DispatchContext, dispatch } from './dispatch.ts';
import { type IncomingConnections, publishedCrlEvent } from './incoming-connections.ts';
import type { IncomingPeerConnection } from './incoming-peer-connection.ts';
import { OpenSockets } from './open-sockets.ts';
import { PeerAdmission, type PeerAdmissionOptions } from './peer-admission.ts';
import { refuseBytes } from './refuse-connection.ts';
import { BodyBudget } from './request-body.ts';
import { longestReceipt, openSpool, type Spool } from './spool.ts';

/** Settings of the incoming side. */
export interface PeerServerOptions
  extends Pick<PeerAdmissionOptions, 'roles' | 'store' | 'mustBeStored' | 'isBlocked' | 'onEvent'> {
  /** 0 = any free port. */
  readonly port: number;
  /** Address to listen on. Default: all. */
  readonly host?: string;
  readonly authenticator: RemoteAuthenticator;
  /** Who hands out RA requests. Default: nobody. */
  readonly desk?: RaDesk;
  /** Read anew for each request. Default: none. */
  readonly keyBindings?: () => readonly KeyBinding[];
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
  /** Epoch milliseconds. Default: the clock of the machine. */
  readonly now?: () => number;
}

const HANDSHAKE_MS = 10_000;
const HEADERS_MS = 15_000;
/** Bodies have limits of their own (`request-body.ts`, `spool.ts`); this one only ends what slips past them. */
const REQUEST_MS = longestReceipt(OPERATIONS.publishCrl.maxBodyBytes);
/** Longer than the 60 s for which the outgoing side keeps a connection, so that the client closes first. */
const KEEP_ALIVE_MS = 75_000;
const HTTP_CHECK_INTERVAL_MS = 2_000;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_BODY_BYTES_AT_ONCE = 128 * 1024 * 1024;

/** Listens for peers. */
export class PeerServer {
  readonly #options: PeerServerOptions;
  readonly #now: () => number;
  readonly #tls: TlsServer;
  readonly #http: HttpServer;
  readonly #admission: PeerAdmission;
  readonly #sockets: OpenSockets;
  readonly #budget = new BodyBudget(MAX_BODY_BYTES_AT_ONCE);
  readonly #spool: Spool;

  /** @throws PeerError what reading the identity throws */
  constructor(options: PeerServerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#sockets = new OpenSockets(options.maxConnectionsPerAddress ?? 200);
    this.#admission = new PeerAdmission({
      ...options,
      now: this.#now,
      onAccepted: (socket) => this.#http.emit('connection', socket),
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
      // The verdict is the admission's own, so that its cause can be told.
      rejectUnauthorized: false,
    });
    this.#tls.maxConnections = options.maxConnections ?? 1_000;
    this.#tls.on('connection', (socket: Socket) => this.#sockets.add(socket));
    this.#tls.on('secureConnection', (socket) => void this.#admission.judge(socket));
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
    this.#admission.start();
  }

  /** Who came in lately. */
  get incoming(): IncomingConnections {
    return this.#admission.incoming;
  }

  /** The port listened on. */
  get port(): number {
    return (this.#tls.address() as AddressInfo | null)?.port ?? this.#options.port;
  }

  /** Takes effect with the next request, also on open connections. */
  setRoles(roles: readonly Role[]): void {
    this.#admission.setRoles(roles);
    // Calls that wait were allowed by the old ones.
    this.#options.desk?.release();
  }

  /** To be called when what `isBlocked` says has changed: cuts who is blocked now. */
  applyBlocked(): void {
    this.#admission.applyBlocked();
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
    this.#admission.close();
    const closed = new Promise<void>((resolve) => this.#tls.close(() => resolve()));
    this.#http.close();
    this.#sockets.destroy();
    await closed;
  }

  #tlsOptions() {
    const { options, trust } = this.#options.authenticator.load();
    this.#admission.setTrust(trust);
    return {
      ...options,
      ca: [...options.ca],
      minVersion: this.#options.minTlsVersion ?? ('TLSv1.3' as const),
      // No tickets: every connection shows its certificate and is judged anew.
      secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const connection = this.#admission.connectionOf(request.socket);
    if (connection === undefined) return void request.socket.destroy();
    try {
      this.#admission.requireStanding(connection);
      sendAnswer(response, await dispatch(request, connection, this.#context()));
    } catch (error) {
      const peerError = toPeerError(error);
      if (peerError.code === 'ERR_NOT_AUTHORIZED' || peerError.code === 'ERR_NOT_AUTHENTICATED') {
        this.#admission.noteRefusal(connection.peer.fingerprint, peerError.message);
      }
      sendProblem(request, response, peerError);
    }
  }

  #context(): DispatchContext {
    return {
      roles: this.#admission.roles,
      store: this.#options.store,
      desk: this.#options.desk,
      keyBindings: this.#options.keyBindings?.() ?? [],
      software: this.#options.software,
      budget: this.#budget,
      spool: this.#spool,
      now: this.#now,
      onOperation: (connection, name) => this.#admission.noteOperation(connection, name),
      onPublished: (connection, result) => this.#notePublished(connection, result),
      onPublishedCrl: (connection, result) => this.#notePublishedCrl(connection, result),
    };
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
}
