/**
 * OCSP over HTTP, GET and POST, with the headers of RFC 9919.
 *
 * A face for a node:http server: it takes request and response and needs nothing else of the server. An OCSP error is
 * an answer like any other, with HTTP status 200 (RFC 6960 A.2); other statuses are for what is not OCSP at all.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type AnswerCaching, ERROR_ANSWERS, type OcspAnswer } from './ocsp-answer.ts';
import { requestFromUrl } from './ocsp-get.ts';
import { MAX_REQUEST_BYTES } from './ocsp-request.ts';
import type { OcspResponder } from './ocsp-responder.ts';

const REQUEST_TYPE = 'application/ocsp-request';
const RESPONSE_TYPE = 'application/ocsp-response';
const METHODS = 'GET, HEAD, POST';
const BODY_TIMEOUT_MS = 10_000;

/** What errors and answers for one client alone say to caches. Signed answers never say no-cache (RFC 9919 7.2). */
const NOT_TO_KEEP = 'max-age=0, no-cache';
const FOR_ONE_CLIENT = 'max-age=0, private, no-transform, must-revalidate';

/** Where and how long. */
export interface OcspHandlerOptions {
  /** Where it is mounted, for the requests in the path of a GET. Default `/ocsp`; they are found at `/` as well. */
  readonly path?: string;
  /** Time for the body of a POST, milliseconds. Default 10,000. */
  readonly bodyTimeoutMs?: number;
  /** Epoch milliseconds. Default: the clock of the machine. */
  readonly clock?: () => number;
}

/** Answers HTTP requests by a responder. */
export class OcspHandler {
  readonly path: string;
  readonly #responder: Pick<OcspResponder, 'answer'>;
  readonly #bodyTimeoutMs: number;
  readonly #clock: () => number;

  constructor(responder: Pick<OcspResponder, 'answer'>, options: OcspHandlerOptions = {}) {
    this.#responder = responder;
    this.path = options.path ?? '/ocsp';
    this.#bodyTimeoutMs = options.bodyTimeoutMs ?? BODY_TIMEOUT_MS;
    this.#clock = options.clock ?? Date.now;
  }

  /** Answers one request. Never throws; a client that goes away is forgotten. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    const { method } = request;
    if (method === 'POST') this.#handlePost(request, response);
    else if (method === 'GET' || method === 'HEAD') this.#handleGet(request, response);
    else this.#refuse(request, response, { status: 405, headers: ['Allow', METHODS] });
  }

  #handleGet(request: IncomingMessage, response: ServerResponse): void {
    // A body that nobody asked for is not read, but must not stand in front of the next request.
    request.resume();
    const der = requestFromUrl(request.url ?? '', this.path);
    // No request at all is counted as a malformed one.
    this.#answer(request, response, der ?? new Uint8Array(0));
  }

  #handlePost(request: IncomingMessage, response: ServerResponse): void {
    if (!isRequestType(request.headers['content-type'])) {
      return this.#refuse(request, response, { status: 415, headers: ['Accept', REQUEST_TYPE] });
    }
    if (Number(request.headers['content-length'] ?? 0) > MAX_REQUEST_BYTES) {
      return this.#refuse(request, response, { status: 413 });
    }
    this.#readBody(request, response);
  }

  #readBody(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    let length = 0;
    const stop = (status: number): void => {
      clearTimeout(timer);
      request.removeAllListeners('data').removeAllListeners('end');
      this.#refuse(request, response, { status });
    };
    const timer = setTimeout(() => stop(408), this.#bodyTimeoutMs);
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > MAX_REQUEST_BYTES) return stop(413);
      chunks.push(chunk);
    });
    request.on('end', () => {
      clearTimeout(timer);
      const [first] = chunks;
      this.#answer(request, response, first !== undefined && chunks.length === 1 ? first : Buffer.concat(chunks));
    });
    // Reset in the middle, or never finished.
    request.on('error', () => clearTimeout(timer));
    request.on('close', () => clearTimeout(timer));
  }

  #answer(request: IncomingMessage, response: ServerResponse, der: Uint8Array): void {
    const answer = this.#responder.answer(der);
    if (answer instanceof Promise) void answer.then((later) => this.#send(request, response, later));
    else this.#send(request, response, answer);
  }

  #send(request: IncomingMessage, response: ServerResponse, answer: OcspAnswer): void {
    if (response.destroyed) return;
    const { status, der, caching } = answer;
    const headers =
      caching === undefined ? uncachedHeaders(status === 'successful') : cachingHeaders(caching, this.#clock());
    if (
      caching !== undefined &&
      request.method !== 'POST' &&
      isKnownTo(request.headers['if-none-match'], caching.etag)
    ) {
      response.writeHead(304, headers);
      response.end();
      return;
    }
    headers.push('Content-Type', RESPONSE_TYPE, 'Content-Length', `${der.length}`);
    response.writeHead(200, headers);
    response.end(request.method === 'HEAD' ? undefined : der);
  }

  /** What is not OCSP: the connection ends, because the rest of the body is not read. */
  #refuse(
    request: IncomingMessage,
    response: ServerResponse,
    { status, headers = [] }: { readonly status: number; readonly headers?: readonly string[] },
  ): void {
    request.on('error', () => undefined).resume();
    const { der } = ERROR_ANSWERS.malformedRequest;
    const common = ['Content-Type', RESPONSE_TYPE, 'Content-Length', `${der.length}`, 'Cache-Control', NOT_TO_KEEP];
    response.writeHead(status, [...headers, ...common, 'Connection', 'close']);
    response.end(der);
  }
}

function isRequestType(type: string | undefined): boolean {
  if (type === REQUEST_TYPE) return true;
  return type?.split(';')[0]?.trim().toLowerCase() === REQUEST_TYPE;
}

function uncachedHeaders(isAnswer: boolean): string[] {
  return ['Cache-Control', isAnswer ? FOR_ONE_CLIENT : NOT_TO_KEEP];
}

/** RFC 9919 7.2. `Date` is set by node:http. */
function cachingHeaders(caching: AnswerCaching, now: number): string[] {
  const { nextUpdate, maxAgeMs, etag, lastModified, expires } = caching;
  // Less than what is left of the validity; a cached answer is sent for half of it only.
  const left = nextUpdate === undefined ? 0 : nextUpdate - now - 1000;
  const seconds = Math.max(0, Math.floor(Math.min(maxAgeMs, left) / 1000));
  const headers = ['Last-Modified', lastModified, 'ETag', etag];
  if (expires !== undefined) headers.push('Expires', expires);
  headers.push('Cache-Control', `max-age=${seconds}, public, no-transform, must-revalidate`);
  return headers;
}

function isKnownTo(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag || tag.trim() === '*');
}
