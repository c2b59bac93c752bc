/**
 * Writes answers and problem documents.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { JSON_TYPE, PROBLEM_TYPE } from '../protocol/operations.ts';
import { toProblem } from '../protocol/problem.ts';

const DRAIN_MS = 1_000;
/** An unread body of this size is read away; a larger one costs the connection. */
const MAX_DRAINED_BYTES = 64 * 1024;

/** Sends a value as JSON with status 200. */
export function sendJson(response: ServerResponse, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(200, { 'content-type': JSON_TYPE, 'content-length': Buffer.byteLength(body) });
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
