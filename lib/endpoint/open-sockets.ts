/**
 * All sockets of a listener, from their first byte on, and how many come from one address.
 */
import type { Socket } from 'node:net';

/** Knows every socket until it is closed: in the handshake, being judged, open, being refused. */
export class OpenSockets {
  readonly #sockets = new Set<Socket>();
  readonly #perAddress = new Map<string, number>();
  readonly #maxPerAddress: number;

  constructor(maxPerAddress: number) {
    this.#maxPerAddress = maxPerAddress;
  }

  /** Takes note of a socket; one too many of an address is cut. */
  add(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const count = (this.#perAddress.get(address) ?? 0) + 1;
    this.#perAddress.set(address, count);
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#perAddress.delete(address);
      else this.#perAddress.set(address, left);
    });
    if (count > this.#maxPerAddress) socket.destroy();
  }

  /** Cuts them all. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
