/**
 * The pool of one peer connector: kept-alive, mutually authenticated HTTP/1.1 connections to one peer.
 *
 * Owns when connections are made, which identity they use and what their numbers are.
 * Knows nothing of what is said over them.
 *
 * @see EJBCA, Peer Systems Operations
 */
import type { X509Certificate } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { buildConnector, type Dispatcher, Pool } from 'undici';
import { type AuthenticatedPeer, authenticatedPeerOf } from '../auth/authenticated-peer.ts';
import { PeerError } from '../errors.ts';
import { isTrusted, type RemoteAuthenticator, type TlsMaterial } from '../keybinding/remote-authenticator.ts';
import { readCertificate } from '../x509/certificate.ts';
import { type CertificateSummary, summarizeCertificate } from '../x509/certificate-summary.ts';
import { isBrokenConnection, toConnectionFailure } from './connection-failure.ts';
import { type Answer, type Deadline, exchange } from './exchange.ts';

/** Settings of a pool. */
export interface PoolOptions {
  readonly url: URL;
  /** Most connections at once. Default 10. */
  readonly maxConnections?: number;
  /** Requests that may wait for a connection. Default 1000. */
  readonly maxQueued?: number;
  /** Milliseconds for TCP and TLS. Default 10000. */
  readonly connectTimeoutMs?: number;
  /** Milliseconds from the call to the whole answer, waiting included; a large body has longer. Default 60000. */
  readonly requestTimeoutMs?: number;
  /** Milliseconds for which an unused connection is kept. Default 60000. */
  readonly keepAliveMs?: number;
  /** Default TLSv1.3. */
  readonly minTlsVersion?: 'TLSv1.2' | 'TLSv1.3';
}

/** One request over the pool. */
export interface PoolRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly contentType?: string;
  /** Further request headers. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | StreamedBody;
  readonly signal?: AbortSignal;
}

/** A body that is not in memory. */
export interface StreamedBody {
  /** Begins anew at every call: a request may have to be sent twice. */
  readonly open: () => Readable;
  /** About how many; the request may take as much longer as they need on a slow line. */
  readonly bytes: number;
  /** Exactly how many; absent = not known. */
  readonly contentLength?: number;
}

/** A snapshot of the pool, as EJBCA's overview shows it. */
export interface PoolFacts {
  readonly state: 'disabled' | 'stopped' | 'running';
  readonly inUse: number;
  readonly ready: number;
  readonly max: number;
  readonly queued: number;
  /** True when the files of the identity changed after the pool had read them: time for a reset. */
  readonly identityOutdated: boolean;
  readonly clientCertificate: CertificateSummary | undefined;
  readonly serverCertificate: CertificateSummary | undefined;
  /** Of the newest connection, e.g. TLSv1.3. */
  readonly protocol: string | undefined;
  readonly cipher: string | undefined;
}

interface Running {
  readonly pool: Pool;
  readonly clientCertificate: CertificateSummary;
}

interface ServerFacts {
  readonly serverCertificate: CertificateSummary;
  readonly protocol: string;
  readonly cipher: string;
}

const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** 128 kbit/s, the least rate at which an endpoint takes a large body. */
const LEAST_BYTES_PER_MS = 16;
const CLOSE_GRACE_MS = 5_000;

/** Starts when first used, stops when disabled; a reset reads the identity anew. */
export class ConnectionPool {
  readonly #options: Required<PoolOptions>;
  readonly #authenticator: RemoteAuthenticator;
  /** Who is at the other end of each open connection. */
  readonly #servers = new Map<TLSSocket, AuthenticatedPeer>();
  readonly #forgetAuthenticator: () => void;
  #running: Running | undefined;
  #server: ServerFacts | undefined;
  #outstanding = 0;
  #enabled = true;
  #identityOutdated = false;
  readonly #usableListeners = new Set<() => void>();

  constructor(options: PoolOptions, authenticator: RemoteAuthenticator) {
    this.#options = {
      maxConnections: 10,
      maxQueued: 1_000,
      connectTimeoutMs: 10_000,
      requestTimeoutMs: 60_000,
      keepAliveMs: 60_000,
      minTlsVersion: 'TLSv1.3',
      ...options,
    };
    this.#authenticator = authenticator;
    this.#forgetAuthenticator = authenticator.onChange(() => {
      this.#identityOutdated = this.#running !== undefined;
    });
  }

  get host(): string {
    return this.#options.url.host;
  }

  facts(): PoolFacts {
    const stats = this.#running?.pool.stats;
    return {
      state: this.#enabled ? (this.#running === undefined ? 'stopped' : 'running') : 'disabled',
      inUse: stats?.running ?? 0,
      ready: stats === undefined ? 0 : Math.max(0, stats.connected - stats.running),
      max: this.#options.maxConnections,
      queued: stats?.queued ?? 0,
      identityOutdated: this.#identityOutdated,
      clientCertificate: this.#running?.clientCertificate,
      serverCertificate: this.#server?.serverCertificate,
      protocol: this.#server?.protocol,
      cipher: this.#server?.cipher,
    };
  }

  /** Who is at the other end of the open connections; behind a load balancer there may be several. */
  servers(): readonly AuthenticatedPeer[] {
    return [...new Map([...this.#servers.values()].map((peer) => [peer.fingerprint, peer])).values()];
  }

  /**
   * Sends a request and reads the whole answer.
   *
   * A connection that broke before an answer came is replaced and the request sent once more:
   * every operation of the protocol may be repeated.
   *
   * @throws PeerError ERR_CONNECTOR_DISABLED, ERR_POOL_QUEUE_FULL, ERR_PEER_UNREACHABLE,
   *   ERR_PEER_NOT_TRUSTED, ERR_PEER_TIMEOUT, and what reading the identity throws
   */
  async request(request: PoolRequest): Promise<Answer> {
    const { pool } = this.#start();
    const { maxConnections, maxQueued } = this.#options;
    if (this.#outstanding >= maxConnections + maxQueued) {
      throw new PeerError('ERR_POOL_QUEUE_FULL', `${maxQueued} requests wait for ${this.host} already`);
    }
    const { body, signal } = request;
    const bytes = body instanceof Uint8Array ? body.length : (body?.bytes ?? 0);
    const timeoutMs = this.#options.requestTimeoutMs + bytes / LEAST_BYTES_PER_MS;
    const onTimeout = (): PeerError =>
      new PeerError('ERR_PEER_TIMEOUT', `No answer from ${this.host} within ${Math.round(timeoutMs)} ms`);
    this.#outstanding += 1;
    try {
      const answer = await this.#send(pool, request, { timeoutMs, onTimeout, signal });
      if (answer.status === 200) this.#tellUsable();
      return answer;
    } finally {
      this.#outstanding -= 1;
    }
  }

  /**
   * Reads the identity anew and moves to new connections; running requests end on the old ones.
   *
   * @throws PeerError what reading the identity throws; the old connections stay then
   */
  reset(): void {
    if (this.#running === undefined) return;
    const old = this.#running;
    this.#running = this.#open();
    retire(old.pool);
    this.#tellUsable();
  }

  /** Lets the pool start again at its next use. */
  enable(): void {
    this.#enabled = true;
    this.#tellUsable();
  }

  /** Tells when it is worth another try: a request succeeded, or the pool was reset or enabled. @returns ends it */
  onUsable(listener: () => void): () => void {
    this.#usableListeners.add(listener);
    return () => this.#usableListeners.delete(listener);
  }

  /** Ends all connections; requests fail with ERR_CONNECTOR_DISABLED. */
  async disable(): Promise<void> {
    this.#enabled = false;
    await this.#stop();
  }

  async close(): Promise<void> {
    this.#forgetAuthenticator();
    await this.disable();
  }

  #tellUsable(): void {
    for (const listener of this.#usableListeners) listener();
  }

  #start(): Running {
    if (!this.#enabled) {
      throw new PeerError('ERR_CONNECTOR_DISABLED', `The peer connector to ${this.host} is disabled`);
    }
    this.#running ??= this.#open();
    return this.#running;
  }

  async #stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    this.#server = undefined;
    await running?.pool.destroy(new PeerError('ERR_CONNECTOR_DISABLED', `The pool to ${this.host} was stopped`));
  }

  #open(): Running {
    const material = this.#authenticator.load();
    this.#identityOutdated = false;
    const pool = new Pool(this.#options.url.origin, {
      connections: this.#options.maxConnections,
      pipelining: 1,
      keepAliveTimeout: this.#options.keepAliveMs,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxResponseSize: MAX_ANSWER_BYTES,
      connect: this.#connector(material),
    });
    return { pool, clientCertificate: summarizeCertificate(material.identity.certificate) };
  }

  /** Every new connection passes the trust list, which may name single certificates, before it carries anything. */
  #connector(material: TlsMaterial): buildConnector.connector {
    const connect = buildConnector({
      ...material.options,
      ca: [...material.options.ca],
      minVersion: this.#options.minTlsVersion,
      rejectUnauthorized: true,
      allowH2: false,
      timeout: this.#options.connectTimeoutMs,
      // A resumed session would keep the old identity after a reset.
      maxCachedSessions: 0,
    });
    return (options, callback) => {
      connect(options, (...[error, socket]) => {
        if (error !== null) return callback(error, null);
        const certificate = (socket as TLSSocket).getPeerX509Certificate();
        if (certificate === undefined || !isTrusted(certificate, material.trust)) {
          socket.destroy();
          const detail = `The certificate of ${this.host} is not one that the trust list names`;
          return callback(new PeerError('ERR_PEER_NOT_TRUSTED', detail), null);
        }
        this.#noteServer(socket as TLSSocket, certificate);
        return callback(null, socket);
      });
    };
  }

  #noteServer(socket: TLSSocket, certificate: X509Certificate): void {
    this.#servers.set(socket, authenticatedPeerOf(certificate));
    socket.once('close', () => this.#servers.delete(socket));
    this.#server = {
      serverCertificate: summarizeCertificate(readCertificate(certificate.raw)),
      protocol: socket.getProtocol() ?? '',
      cipher: socket.getCipher().name,
    };
  }

  async #send(pool: Pool, request: PoolRequest, deadline: Deadline): Promise<Answer> {
    const begun = performance.now();
    try {
      return await exchange(pool, dispatchOptions(request), deadline);
    } catch (error) {
      if (deadline.signal?.aborted || !isBrokenConnection(error)) throw this.#failure(error, deadline);
    }
    // One deadline for both tries.
    const timeoutMs = Math.max(1, deadline.timeoutMs - (performance.now() - begun));
    try {
      return await exchange(pool, dispatchOptions(request), { ...deadline, timeoutMs });
    } catch (error) {
      throw this.#failure(error, deadline);
    }
  }

  #failure(error: unknown, { signal }: Deadline): unknown {
    return signal?.aborted ? signal.reason : toConnectionFailure(error, this.host);
  }
}

function dispatchOptions({ method, path, contentType, headers, body }: PoolRequest): Dispatcher.DispatchOptions {
  const all: Record<string, string> = { ...headers };
  if (contentType !== undefined) all['content-type'] = contentType;
  if (body === undefined || body instanceof Uint8Array) return { method, path, headers: all, body: body ?? null };
  if (body.contentLength !== undefined) all['content-length'] = String(body.contentLength);
  return { method, path, headers: all, body: body.open() };
}

/** Lets running requests end, then closes; what still hangs after the grace period is cut. */
function retire(pool: Pool): void {
  const timer = setTimeout(() => void pool.destroy().catch(() => undefined), CLOSE_GRACE_MS).unref();
  void pool
    .close()
    .catch(() => undefined)
    .finally(() => clearTimeout(timer));
}
