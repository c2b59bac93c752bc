/**
 * Tells a client whose certificate is not accepted why, without reading a request.
 *
 * The socket never reaches the HTTP server: whatever arrives is thrown away, the answer is a
 * constant, and the connection closes.
 */
import type { TLSSocket } from 'node:tls';
import type { PeerError } from '../errors.ts';
import { PROBLEM_TYPE } from '../protocol/operations.ts';
import { toProblem } from '../protocol/problem.ts';

const FIRST_BYTE_MS = 10_000;
const DRAIN_MS = 1_000;

/** Answers the first bytes with a problem document (RFC 9457), then closes. */
export function refuseConnection(socket: TLSSocket, error: PeerError): void {
  const problem = toProblem(error);
  const body = JSON.stringify(problem);
  const destroy = (): void => {
    socket.destroy();
  };
  socket.on('error', destroy);
  socket.setTimeout(FIRST_BYTE_MS, destroy);
  // A client drops an answer that comes before it has asked, so its first bytes are waited for.
  socket.once('data', () => {
    socket.end(
      `HTTP/1.1 ${problem.status} Unauthorized\r\nContent-Type: ${PROBLEM_TYPE}\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
    // Closing with unread bytes would reset the connection and take the answer with it.
    socket.resume();
    setTimeout(destroy, DRAIN_MS).unref();
  });
}
