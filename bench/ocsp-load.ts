/**
 * The client of the OCSP benchmark, in a process of its own: connections that each send the next request when the
 * answer to the last one is there, kept open as long as the server keeps them.
 */
import { connect } from 'node:net';

/** What to send, and for how long. */
export interface LoadOrder {
  readonly port: number;
  /** Requests in DER, base64; sent in turns by POST. */
  readonly requests: readonly string[];
  readonly connections: number;
  /** Seconds; 0 = until the next message comes. */
  readonly seconds: number;
}

/** What came back. Times in milliseconds. */
export interface LoadResult {
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

const HEADER_END = '\r\n\r\n';
let isStopped = false;

process.on('message', async (order: LoadOrder | 'stop') => {
  isStopped = true;
  if (order === 'stop') return;
  isStopped = false;
  const timer = order.seconds > 0 ? setTimeout(stop, order.seconds * 1_000) : undefined;
  const payloads = order.requests.map((request) => payloadOf(Buffer.from(request, 'base64')));
  const begun = performance.now();
  const times = (
    await Promise.all(Array.from({ length: order.connections }, (_, i) => drive(order, payloads, i)))
  ).flat();
  const seconds = (performance.now() - begun) / 1_000;
  clearTimeout(timer);
  const sorted = Float64Array.from(times).sort();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  process.send?.({ rate: times.length / seconds, p50: at(0.5), p99: at(0.99), max: at(1) } satisfies LoadResult);
});

function stop(): void {
  isStopped = true;
}

function payloadOf(der: Buffer): Buffer {
  const head = `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/ocsp-request\r\nContent-Length: ${der.length}`;
  return Buffer.concat([Buffer.from(head + HEADER_END), der]);
}

/** One request after the other; milliseconds of each. */
async function drive(order: LoadOrder, payloads: readonly Buffer[], first: number): Promise<number[]> {
  const times: number[] = [];
  let next = first;
  while (!isStopped) {
    await new Promise<void>((resolve, reject) => {
      const socket = connect(order.port, '127.0.0.1').setNoDelay();
      let received: Buffer = Buffer.alloc(0);
      // A connection that is made for a request is part of its time.
      let sent = performance.now();
      const send = (): void => {
        received = Buffer.alloc(0);
        socket.write(payloads[next % payloads.length] as Buffer);
        next += order.connections;
      };
      socket.on('connect', send);
      socket.on('data', (chunk) => {
        received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
        const answer = wholeAnswer(received);
        if (answer === undefined) return;
        if (!answer.isSuccessful) return void socket.destroy(new Error(received.toString('latin1').slice(0, 200)));
        times.push(performance.now() - sent);
        // OpenSSL 3.0 waits for ever for a client that connects and says nothing: every connection asks at least once.
        if (!answer.isKept || isStopped) return void socket.end();
        sent = performance.now();
        send();
      });
      socket.on('error', reject);
      socket.on('close', () => resolve());
    });
  }
  return times;
}

/** Undefined as long as something is missing. */
function wholeAnswer(bytes: Buffer): { readonly isSuccessful: boolean; readonly isKept: boolean } | undefined {
  const end = bytes.indexOf(HEADER_END);
  if (end === -1) return undefined;
  const head = bytes.toString('latin1', 0, end).toLowerCase();
  const start = end + HEADER_END.length;
  const at = head.indexOf('content-length:');
  if (bytes.length < start + Number.parseInt(head.slice(at + 15), 10)) return undefined;
  // SEQUENCE with two length octets, then ENUMERATED 0.
  const isSuccessful = bytes[start] === 0x30 && bytes.readUIntBE(start + 4, 3) === 0x0a0100;
  return { isSuccessful, isKept: head.startsWith('http/1.1') && !head.includes('connection: close') };
}
