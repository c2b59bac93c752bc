/**
 * Round trip of a ping: through the pool and through the ping node, against a bare undici POST to a bare
 * node:https handler and against a raw TLS echo. One connection, the server in a process of its own.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { Pool } from 'undici';
import { RemoteAuthenticator } from '../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool } from '../lib/pool/connection-pool.ts';
import { PeerClient } from '../lib/pool/peer-client.ts';
import { BASE_PATH } from '../lib/protocol/operations.ts';
import { createTestPki, identitySource } from '../test/helpers/test-pki.ts';
import { startPingFlow } from './ping-flow.ts';
import { median, printTable, watchLoop } from './statistics.ts';

const ROUNDS = 7;
const PINGS_PER_ROUND = 2_000;
const WARM_UP = 3_000;

type Step = () => Promise<unknown>;

export async function run(): Promise<Record<string, number>> {
  const pki = createTestPki();
  const { certificatePem: certificate, keyPem: key } = pki.vaServer;
  const ca = pki.managementCa.certificatePem;
  const server = fork(new URL('./ping-server.ts', import.meta.url), {
    env: { ...process.env, BENCH_TLS: JSON.stringify({ certificate, key, ca }) },
  });
  const [ports] = (await once(server, 'message')) as [Record<'endpoint' | 'https' | 'echo', number>];
  const tls = { ca, cert: pki.caClient.certificatePem, key: pki.caClient.keyPem, servername: 'localhost' };

  const url = new URL(`https://localhost:${ports.endpoint}${BASE_PATH}`);
  const authenticator = new RemoteAuthenticator(identitySource(pki.caClient), () => [
    { caDer: pki.managementCa.certificate },
  ]);
  const client = new PeerClient(new ConnectionPool({ url, maxConnections: 1 }, authenticator));
  const flow = await startPingFlow(url.href, pki);

  const bare = new Pool(`https://localhost:${ports.https}`, { connections: 1, connect: { ...tls, allowH2: false } });
  const body = Buffer.from('{}');
  const headers = { 'content-type': 'application/json' };
  const undiciPost: Step = async () => {
    const response = await bare.request({ method: 'POST', path: '/', headers, body });
    return response.body.json();
  };
  const steps: Record<string, Step> = {
    'raw TLS echo': await rawEcho(ports.echo, tls),
    'bare undici POST': undiciPost,
    'PeerClient.ping': () => client.ping(),
    'ping node': flow.ping,
  };
  for (const step of Object.values(steps)) await repeat(step, WARM_UP);
  const loop = watchLoop();
  const rounds: Record<string, number[]> = Object.fromEntries(Object.keys(steps).map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, step] of Object.entries(steps)) rounds[name]?.push(median(await repeat(step, PINGS_PER_ROUND)));
  }
  const medians = Object.fromEntries(Object.entries(rounds).map(([name, values]) => [name, median(values)]));
  console.log(`one connection, ${ROUNDS} alternating rounds of ${PINGS_PER_ROUND}; medians of the rounds' medians`);
  printTable(
    ['round trip', 'median µs', 'x raw TLS', 'rounds'],
    Object.entries(medians).map(([name, us]) => [
      name,
      us,
      us / (medians['raw TLS echo'] ?? 1),
      (rounds[name] ?? []).map((value) => value.toFixed(0)).join(' '),
    ]),
  );
  server.send('loop');
  const [{ loopDelayMaxMs }] = (await once(server, 'message')) as [{ loopDelayMaxMs: number }];
  printTable(
    ['event loop', 'longest delay ms'],
    [
      ['CA side', loop.maxMs()],
      ['VA side', loopDelayMaxMs],
    ],
  );
  server.kill();
  // Pair by pair, because the machine's speed drifts.
  const ratio = (a: string, b: string): number =>
    median((rounds[a] ?? []).map((value, round) => value / (rounds[b]?.[round] ?? Number.NaN)));
  return {
    medianVsUndici: ratio('PeerClient.ping', 'bare undici POST'),
    medianVsRawTls: ratio('PeerClient.ping', 'raw TLS echo'),
    nodeMedianVsRawTls: ratio('ping node', 'raw TLS echo'),
    loopDelayMaxMs: Math.max(loop.maxMs(), loopDelayMaxMs),
  };
}

/** Microseconds of each call. */
async function repeat(step: Step, times: number): Promise<number[]> {
  const durations: number[] = [];
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    await step();
    durations.push((performance.now() - start) * 1_000);
  }
  return durations;
}

/** The same number of bytes that a ping and its answer have on the wire. */
async function rawEcho(port: number, tls: object): Promise<Step> {
  const socket: TLSSocket = connect({ port, host: '127.0.0.1', ...tls });
  await once(socket, 'secureConnect');
  socket.setNoDelay(true);
  const message = Buffer.alloc(180, 'x');
  return () =>
    new Promise<void>((resolve) => {
      let received = 0;
      const onData = (data: Buffer): void => {
        received += data.length;
        if (received < message.length) return;
        socket.off('data', onData);
        resolve();
      };
      socket.on('data', onData);
      socket.write(message);
    });
}
