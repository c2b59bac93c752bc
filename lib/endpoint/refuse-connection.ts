/**
 * Tells a client whose certificate is not accepted why, without reading a request.
 *
 * The socket never reaches the HTTP server: whatever arrives is thrown away, the answer is a
 * constant, and the connection closes.
 */
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { PeerError } from '../errors.ts';
import { PROBLEM_TYPE } from '../protocol/operations.ts';
import { toProblem } from '../protocol/problem.ts';

const FIRST_BYTE_MS = 10_000;
const DRAIN_MS = 1_000;

/** Answers the first bytes with a problem document (RFC 9457), then closes. */
export function refuseConnection(socket: TLSSocket, error: PeerError): void {
  const destroy = (): void => {
    socket.destroy();
  };
  socket.on('error', destroy);
  socket.setTimeout(FIRST_BYTE_MS, destroy);
  // A client drops an answer that comes before it has asked, so its first bytes are waited for.
  socket.once('data', () => {
    socket.end(answerTo(error));
    // Closing with unread bytes would reset the connection and take the answer with it.
    socket.resume();
    setTimeout(destroy, DRAIN_MS).unref();
  });
}

/** Answers bytes that are no request, or come too slowly; a listener for `clientError` of an HTTP server. */
export function refuseBytes(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
  socket.end(answerTo(errorOf(error)));
}

function errorOf({ code }: NodeJS.ErrnoException): PeerError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new PeerError('ERR_TOO_SLOW', 'The request did not arrive in time');
  if (code === 'HPE_HEADER_OVERFLOW') return new PeerError('ERR_TOO_LARGE', 'The headers are too large');
  return new PeerError('ERR_MALFORMED_MESSAGE', 'This is not an HTTP/1.1 request');
}

function answerTo(error: PeerError): string {
  const problem = toProblem(error);
  const body = JSON.stringify(problem);
  return (
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}\r\nContent-Type: ${PROBLEM_TYPE}\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
  );
}
