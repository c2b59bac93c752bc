/**
 * Reads a request body within a limit; the declared length is only a shortcut, the stream is what counts.
 */
import type { IncomingMessage } from 'node:http';
import { PeerError } from '../errors.ts';

/** Time for a whole body in memory. */
const BODY_MS = 60_000;

/** Bytes of bodies that are being read, over all connections of an endpoint. */
export class BodyBudget {
  readonly #limit: number;
  #used = 0;

  /** @param limit bytes */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @throws PeerError ERR_OVERLOADED */
  take(bytes: number): void {
    if (this.#used + bytes > this.#limit) {
      throw new PeerError('ERR_OVERLOADED', 'Too many bytes are being received at once');
    }
    this.#used += bytes;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}

/**
 * The whole body, in memory of its own.
 *
 * @throws PeerError ERR_TOO_LARGE, ERR_TOO_SLOW, ERR_OVERLOADED, ERR_MALFORMED_MESSAGE when the client went away in the middle
 */
export function readBody(request: IncomingMessage, maxBytes: number, budget: BodyBudget): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let taken = 0;
    const settle = (finish: () => void): void => {
      clearTimeout(timer);
      budget.give(taken);
      taken = 0;
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
      // A body that is too long keeps coming until the answer closes the connection; an error must have a listener.
      request.on('error', () => undefined);
      finish();
    };
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      try {
        if (size > maxBytes) throw tooLarge(maxBytes);
        budget.take(chunk.length);
      } catch (error) {
        return settle(() => reject(error));
      }
      taken += chunk.length;
      chunks.push(chunk);
    };
    const timer = setTimeout(() => settle(() => reject(tooSlow())), BODY_MS);
    const onEnd = (): void => settle(() => resolve(join(chunks, size)));
    const onClose = (): void =>
      settle(() =>
        reject(new PeerError('ERR_MALFORMED_MESSAGE', 'The connection closed before the body was complete')),
      );
    if (Number(request.headers['content-length'] ?? 0) > maxBytes) return settle(() => reject(tooLarge(maxBytes)));
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  });
}

/** Buffers of the HTTP parser share memory; what goes to another thread must not. */
function join(chunks: readonly Buffer[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

function tooSlow(): PeerError {
  return new PeerError('ERR_TOO_SLOW', 'The request did not arrive in time');
}

function tooLarge(maxBytes: number): PeerError {
  return new PeerError('ERR_TOO_LARGE', `The body is larger than ${maxBytes} bytes`);
}
