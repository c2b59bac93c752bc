/** Writes answers to the public: caching (RFC 9111), conditional requests (RFC 9110 13), HEAD. Nothing is compressed. */
import type { IncomingMessage, ServerResponse } from 'node:http';

/** Something that can be fetched. */
export interface Resource {
  readonly type: string;
  readonly bytes: number;
  /** Differs when the bytes do. */
  readonly tag: string;
  /** Epoch milliseconds; absent = not known. */
  readonly lastModified?: number;
  /** Epoch milliseconds until which caches may keep it. */
  readonly expires: number;
  /** The bytes; asked for only when they are sent. They are not copied. */
  readonly body: () => Promise<Uint8Array>;
}

/** Sends a resource, or 304 when the client has it. */
export async function sendResource(
  request: IncomingMessage,
  response: ServerResponse,
  resource: Resource,
  now: number = Date.now(),
): Promise<void> {
  const { lastModified, expires, type, bytes, tag } = resource;
  const maxAge = Math.max(0, Math.floor((expires - now) / 1_000));
  const headers: Record<string, string> = {
    etag: `"${tag}"`,
    expires: new Date(expires).toUTCString(),
    'cache-control': `public, max-age=${maxAge}, no-transform, must-revalidate`,
    ...(lastModified !== undefined && { 'last-modified': new Date(lastModified).toUTCString() }),
  };
  if (isKnown(request, `"${tag}"`, lastModified)) return void response.writeHead(304, headers).end();
  const full = {
    ...headers,
    'content-type': type,
    'content-length': bytes,
    'accept-ranges': 'none',
    'x-content-type-options': 'nosniff',
  };
  if (request.method === 'HEAD') return void response.writeHead(200, full).end();
  const body = await resource.body();
  if (response.destroyed) return;
  response.writeHead(200, full);
  response.end(body);
}

/** If-None-Match decides alone where it is given (RFC 9110 13.2.2). */
function isKnown({ headers }: IncomingMessage, tag: string, lastModified: number | undefined): boolean {
  const tags = headers['if-none-match'];
  if (tags !== undefined)
    return tags.split(',').some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === tag);
  const since = Date.parse(headers['if-modified-since'] ?? '');
  return lastModified !== undefined && since >= Math.floor(lastModified / 1_000) * 1_000;
}

/** Sends a line of plain text. */
export function sendText(request: IncomingMessage, response: ServerResponse, status: number, text: string): void {
  const body = `${text}\n`;
  const headers = {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
    // A body that nobody reads must not be taken for the next request.
    ...(request.complete ? {} : { connection: 'close' }),
  };
  response.writeHead(status, headers).end(request.method === 'HEAD' ? undefined : body);
  request.resume();
}
