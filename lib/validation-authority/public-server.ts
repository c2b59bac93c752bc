/**
 * The public side of a VA: a plain HTTP listener of its own, because what it serves is signed and must be reachable
 * without any certificate (RFC 4387, RFC 6960 A.1).
 *
 * Owns limits, routing and the answers to what nobody serves. What is served is in the faces.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { PeerError, toPeerError } from '../errors.ts';
import { sendText } from './public-answer.ts';

/** Something that is served under a path. */
export interface Face {
  /** Absolute, e.g. `/crls/search.cgi`. */
  readonly path: string;
  /** Whether it serves the paths below its own too, as OCSP by GET does. Default: no. */
  readonly hasPathsBelow?: boolean;
  /** HTTP methods. HEAD has to be among them where it is answered. */
  readonly methods: readonly string[];
  /** Answers. What it throws becomes a plain 503, or 400 for ERR_INVALID_INPUT and ERR_MALFORMED_MESSAGE. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

/** Settings of the public side. */
export interface PublicServerOptions {
  /** 0 = any free port. */
  readonly port: number;
  /** Address to listen on. Default: all. */
  readonly host?: string;
  readonly faces: readonly Face[];
  /** Most connections at once. Default 1000. */
  readonly maxConnections?: number;
  /** Most connections from one address. Default 200. */
  readonly maxConnectionsPerAddress?: number;
  /** Told after each answer: path of the face, '' for none; HTTP status; what went wrong inside. */
  readonly onAnswer?: (path: string, status: number, error?: PeerError) => void;
}

const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
const KEEP_ALIVE_MS = 15_000;
/** Without a byte in either direction; ends also a client that has stopped reading a large CRL. */
const IDLE_MS = 30_000;
const CHECK_INTERVAL_MS = 2_000;
const MAX_HEADER_BYTES = 8 * 1024;
const MAX_REQUESTS_PER_CONNECTION = 1_000;

/** Listens for the public. */
export class PublicServer {
  readonly #options: PublicServerOptions;
  readonly #server: Server;
  readonly #perAddress = new Map<string, number>();

  constructor(options: PublicServerOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        headersTimeout: HEADERS_MS,
        requestTimeout: REQUEST_MS,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connectionsCheckingInterval: CHECK_INTERVAL_MS,
        maxHeaderSize: MAX_HEADER_BYTES,
      },
      (request, response) => void this.#serve(request, response),
    );
    this.#server.maxConnections = options.maxConnections ?? 1_000;
    this.#server.maxRequestsPerSocket = MAX_REQUESTS_PER_CONNECTION;
    this.#server.setTimeout(IDLE_MS);
    this.#server.on('connection', (socket: Socket) => this.#limitAddress(socket));
  }

  /** @throws PeerError ERR_INVALID_CONFIG when the port cannot be had */
  async start(): Promise<void> {
    const { port, host } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const onError = (cause: Error): void =>
        reject(new PeerError('ERR_INVALID_CONFIG', `Port ${port} cannot be listened on: ${cause.message}`, { cause }));
      this.#server.once('error', onError);
      this.#server.listen({ port, ...(host !== undefined && { host }) }, () => {
        this.#server.off('error', onError);
        resolve();
      });
    });
  }

  /** The port listened on. */
  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? this.#options.port;
  }

  /** Cuts all connections and stops listening. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
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

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const face = this.#options.faces.find((one) => isServedBy(one, path));
    let error: PeerError | undefined;
    if (face === undefined) sendText(request, response, 404, 'There is nothing under this path');
    else if (!face.methods.includes(request.method ?? '')) {
      response.setHeader('allow', face.methods.join(', '));
      sendText(request, response, 405, 'This method is not served here');
    } else {
      try {
        await face.handle(request, response);
      } catch (cause) {
        error = refuse(request, response, cause);
      }
    }
    this.#options.onAnswer?.(face?.path ?? '', response.statusCode, error);
  }
}

function isServedBy({ path, hasPathsBelow = false }: Face, asked: string): boolean {
  return asked === path || (hasPathsBelow && asked.startsWith(`${path}/`));
}

/** A wrong question is told what is wrong with it; the rest is this side's own affair. Gives what it was. */
function refuse(request: IncomingMessage, response: ServerResponse, cause: unknown): PeerError | undefined {
  const error = toPeerError(cause);
  if (response.headersSent) {
    response.destroy();
    return error;
  }
  if (error.code === 'ERR_INVALID_INPUT' || error.code === 'ERR_MALFORMED_MESSAGE') {
    sendText(request, response, 400, error.message);
    return undefined;
  }
  response.setHeader('retry-after', '30');
  sendText(request, response, 503, 'This cannot be answered at the moment');
  return error;
}
