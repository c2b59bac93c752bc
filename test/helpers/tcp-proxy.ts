/**
 * A TCP proxy between two peers that can lose what passes, or be late with it.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What becomes of bytes. `cut-answers` closes a connection in place of each answer; `hang` swallows, both ways. */
export type ProxyMode = 'pass' | 'cut-answers' | 'hang';

/** Starts a proxy to a port on this machine. */
export async function startProxy(to: number) {
  let target = to;
  const sockets = new Set<Socket>();
  /** Connections over which nothing comes through any more. */
  const forgotten = new WeakSet<Socket>();
  let mode: ProxyMode = 'pass';
  let isDown = false;
  let cuts = 0;
  let latency: (() => number) | undefined;
  /** When the last bytes to a socket arrive; none overtakes another. */
  const arrivals = new WeakMap<Socket, number>();
  const later = (socket: Socket, bytes: Buffer): void => {
    const now = performance.now();
    const at = Math.max(arrivals.get(socket) ?? 0, now + (latency?.() ?? 0));
    arrivals.set(socket, at);
    if (at <= now) socket.write(bytes);
    else setTimeout(() => socket.write(bytes), at - now);
  };
  const server = createServer((incoming) => {
    if (isDown) return void incoming.destroy();
    const outgoing = connect(target, '127.0.0.1');
    for (const socket of [incoming, outgoing]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    }
    // A handshake must pass: only what comes after a request is an answer.
    let isAsked = false;
    const isLost = (): boolean => mode === 'hang' || forgotten.has(incoming);
    incoming.on('data', (bytes) => {
      isAsked = outgoing.bytesWritten > 3_000 || isAsked;
      if (!isLost()) later(outgoing, bytes);
    });
    outgoing.on('data', (bytes) => {
      if (isLost()) return;
      if (mode === 'cut-answers' && isAsked) {
        cuts += 1;
        incoming.destroy();
        outgoing.destroy();
        return;
      }
      later(incoming, bytes);
    });
    incoming.on('close', () => outgoing.destroy());
    outgoing.on('close', () => (isLost() ? undefined : incoming.destroy()));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    set: (next: ProxyMode) => {
      mode = next;
    },
    /** Milliseconds that bytes need for one way, asked for each piece. */
    setLatency: (next: () => number) => {
      latency = next;
    },
    /** Where new connections go from now on. */
    leadTo: (next: number) => {
      target = next;
    },
    /** Swallows what comes over the connections that are open now, as a firewall does that has lost its table. */
    forget: () => {
      for (const socket of sockets) forgotten.add(socket);
    },
    /** Connections that were closed in place of an answer. */
    cuts: () => cuts,
    /** Cuts all connections, and refuses new ones until it is up again. */
    setDown: (down: boolean) => {
      isDown = down;
      if (down) for (const socket of sockets) socket.destroy();
    },
    async close(): Promise<void> {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
