/**
 * RA requests with an empty handler, from the caller at the RA to the CA and back: against a ping and against bare
 * undici POSTs on as many connections. The CA is a process of its own.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { RaQueue } from '../lib/ra/ra-queue.ts';
import { LISTENING_CA, question } from '../test/helpers/ra-sides.ts';
import { createTestPki } from '../test/helpers/test-pki.ts';
import { caRole, startTwoPeers } from '../test/helpers/two-peers.ts';
import { median, printTable } from './statistics.ts';

const ROUNDS = 5;
const PARALLEL = 16;
const LATENCY_REQUESTS = 500;
const RATE_REQUESTS = 2_000;
/** As for pings alone: before, half of the time is the compiler's. */
const WARM_UP = 3_000;
/** Stands for ten minutes: longer than the call waits and longer than the pool keeps an unused connection. */
const IDLE_MS = 1_500;
const WAIT_MS = 300;
const KEEP_ALIVE_MS = 700;

export async function run(): Promise<Record<string, number>> {
  const pki = createTestPki();
  const queue = new RaQueue();
  const idleQueue = new RaQueue();
  const start = (desk: RaQueue) => startTwoPeers({ pki, roles: [caRole(LISTENING_CA)], endpoint: { desk } });
  const [busy, idle, https] = await Promise.all([start(queue), start(idleQueue), bareServer(pki)]);
  const { certificatePem: certificate, keyPem: key } = pki.caClient;
  const ports = { endpoint: busy.server.port, idle: idle.server.port, https };
  const times = { parallel: PARALLEL, waitMs: WAIT_MS, keepAliveMs: KEEP_ALIVE_MS };
  const ca = fork(new URL('./ra-server.ts', import.meta.url), {
    env: {
      ...process.env,
      BENCH: JSON.stringify({ certificate, key, ca: pki.managementCa.certificatePem, ...ports, ...times }),
    },
  });
  await once(ca, 'message');
  const atCa = async (what: 'ping' | 'rate', count: number): Promise<number> => {
    ca.send({ what, times: count });
    const [result] = (await once(ca, 'message')) as [number];
    return result;
  };

  await rateOf(queue, RATE_REQUESTS);
  await atCa('rate', RATE_REQUESTS);
  await latencyOf(queue, WARM_UP);
  await atCa('ping', WARM_UP);
  const rounds = { ping: [], latency: [], undici: [], rate: [], first: [], busy: [] } as Record<string, number[]>;
  for (let round = 0; round < ROUNDS; round++) {
    rounds['ping']?.push(await atCa('ping', LATENCY_REQUESTS));
    rounds['latency']?.push(await latencyOf(queue, LATENCY_REQUESTS));
    rounds['undici']?.push(await atCa('rate', RATE_REQUESTS));
    rounds['rate']?.push(await rateOf(queue, RATE_REQUESTS));
    rounds['busy']?.push(await latencyOf(idleQueue, LATENCY_REQUESTS / 5));
    await delay(IDLE_MS);
    rounds['first']?.push(await latencyOf(idleQueue, 1));
  }
  ca.kill();
  const of = (name: string): number => median(rounds[name] ?? []);
  console.log(`${ROUNDS} alternating rounds; medians. Idle: ${IDLE_MS} ms, with a wait of ${WAIT_MS} ms per call and`);
  console.log(`connections kept for ${KEEP_ALIVE_MS} ms, so that every timer of ten minutes' idleness has passed.`);
  printTable(
    ['one after the other', 'ms'],
    [
      ['ping', of('ping')],
      ['RA request', of('latency')],
      ['RA request, busy', of('busy')],
      ['RA request, first after idleness', of('first')],
    ],
  );
  printTable(
    [`${PARALLEL} parallel`, 'per second'],
    [
      ['bare undici POST', of('undici')],
      ['RA request', of('rate')],
    ],
  );
  const ratio = (a: string, b: string): number =>
    median((rounds[a] ?? []).map((value, round) => value / (rounds[b]?.[round] ?? Number.NaN)));
  return {
    medianVsPing: ratio('latency', 'ping'),
    rateVsUndici: ratio('rate', 'undici'),
    idleFirstVsBusy: ratio('first', 'busy'),
  };
}

/** Milliseconds, the median of requests one after the other. */
async function latencyOf(queue: RaQueue, times: number): Promise<number> {
  const durations: number[] = [];
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    await queue.ask(question(''));
    durations.push(performance.now() - start);
  }
  return median(durations);
}

/** Requests per second, so many at once. */
async function rateOf(queue: RaQueue, times: number): Promise<number> {
  const start = performance.now();
  const share = Math.ceil(times / PARALLEL);
  const loop = async (): Promise<void> => {
    for (let i = 0; i < share; i++) await queue.ask(question(''));
  };
  await Promise.all(Array.from({ length: PARALLEL }, loop));
  return (share * PARALLEL * 1_000) / (performance.now() - start);
}

/** A plain handler with the certificates of the endpoint. */
async function bareServer({ vaServer, managementCa }: ReturnType<typeof createTestPki>): Promise<number> {
  const server = createServer(
    {
      cert: vaServer.certificatePem,
      key: vaServer.keyPem,
      ca: managementCa.certificatePem,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
      keepAliveTimeout: 75_000,
    },
    (request, response) => {
      request
        .on('data', () => undefined)
        .on('end', () => {
          response.writeHead(200, { 'content-type': 'application/cbor', 'content-length': 100 }).end(Buffer.alloc(100));
        });
    },
  ).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
