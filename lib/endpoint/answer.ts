/**
 * Writes answers and problem documents.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { CBOR_TYPE, JSON_TYPE, PROBLEM_TYPE } from '../protocol/operations.ts';
import { toProblem } from '../protocol/problem.ts';

const DRAIN_MS = 1_000;
/** An unread body of this size is read away; a larger one costs the connection. */
const MAX_DRAINED_BYTES = 64 * 1024;

/** Sends an answer with status 200: bytes as they are, anything else as JSON. */
export function sendAnswer(response: ServerResponse, value: unknown): void {
  const isBytes = value instanceof Uint8Array;
  const body = isBytes ? value : JSON.stringify(value);
  const type = isBytes ? CBOR_TYPE : JSON_TYPE;
  response.writeHead(200, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

/** Sends an error as problem document (RFC 9457). With a large unread body the connection closes behind it. */
export function sendProblem(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  const problem = toProblem(error);
  const body = JSON.stringify(problem);
  const headers = { 'content-type': PROBLEM_TYPE, 'content-length': Buffer.byteLength(body) };
  if (request.complete || Number(request.headers['content-length'] ?? Infinity) <= MAX_DRAINED_BYTES) {
    request.resume();
    response.writeHead(problem.status, headers).end(body);
    return;
  }
  response.writeHead(problem.status, { ...headers, connection: 'close' }).write(body);
  // Closing at once, with bytes unread, would reset the connection and take the answer with it.
  const end = (): void => void response.end();
  const timer = setTimeout(end, DRAIN_MS);
  request.once('close', () => clearTimeout(timer)).once('end', end);
  request.resume();
}
