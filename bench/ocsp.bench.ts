/**
 * OCSP answers over HTTP: this package, OpenSSL's responder and cfssl's with answers that were signed before, about the
 * same certificates, with the same signing key and the same client.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { hash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RemoteAuthenticator } from '../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool } from '../lib/pool/connection-pool.ts';
import { PeerClient } from '../lib/pool/peer-client.ts';
import { BASE_PATH } from '../lib/protocol/operations.ts';
import { EVERY_ROW } from '../lib/store/row-filter.ts';
import { WorkerStore } from '../lib/store/worker-store.ts';
import { synchronize } from '../lib/sync/synchronizer.ts';
import { freePort } from '../test/helpers/node-red.ts';
import { createTestPki, identitySource, issueRootCa } from '../test/helpers/test-pki.ts';
import { certId, ocspRequest } from '../test/lib/ocsp/ocsp-messages.ts';
import { CA_NAME, issueSigner } from '../test/lib/ocsp/ocsp-side.ts';
import type { LoadOrder, LoadResult } from './ocsp-load.ts';
import { median, printTable } from './statistics.ts';
import { benchRow, benchRows, fillStore } from './sync-peers.ts';

const ROUNDS = 5;
const SECONDS = 2;
const CONNECTIONS = 16;
const CERTIFICATES = 5_000;
const SYNC_ROWS = 200_000;

type Load = (order: Omit<LoadOrder, 'connections'>) => Promise<LoadResult>;

export async function run(): Promise<Record<string, number>> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-ocsp-'));
  const ca = issueRootCa(CA_NAME);
  const signer = issueSigner(ca);
  const serials = Array.from({ length: CERTIFICATES }, (_, i) => String(10_000 + i));
  const bare = serials.map((serial) => base64(ocspRequest([certId(ca.certificate, serial)])));
  const withNonce = serials.map((serial) =>
    base64(ocspRequest([certId(ca.certificate, serial)], { nonce: randomBytes(32) })),
  );
  const files = {
    ca: write(folder, 'ca.pem', ca.certificatePem),
    signer: write(folder, 'signer.pem', signer.certificatePem),
    key: write(folder, 'signer.key', signer.keyPem),
    index: write(folder, 'index.txt', serials.map(indexLine).join('')),
  };
  const pki = createTestPki();
  const va = fork(new URL('./ocsp-server.ts', import.meta.url), {
    env: {
      ...process.env,
      BENCH_VA: JSON.stringify({
        certificate: pki.vaServer.certificatePem,
        key: pki.vaServer.keyPem,
        managementCa: pki.managementCa.certificatePem,
        file: await fillVa(folder, serials),
        ca: ca.certificatePem,
        signer: signer.certificatePem,
        signerKey: signer.keyPem,
      }),
    },
  });
  const [ports] = (await once(va, 'message')) as [{ peers: number; cached: number; uncached: number }];
  const client = fork(new URL('./ocsp-load.ts', import.meta.url));
  const load: Load = async (order) => {
    client.send({ ...order, connections: CONNECTIONS });
    return ((await once(client, 'message')) as [LoadResult])[0];
  };
  const openssl = await startOpenssl(files, bare[0] ?? '');
  const cfssl = await startCfssl(folder, ports.cached, bare);

  const sides = {
    'openssl ocsp, nonce': { port: openssl.port, requests: withNonce },
    'this package, nonce': { port: ports.cached, requests: withNonce },
    'this package, no cache': { port: ports.uncached, requests: bare },
    'openssl ocsp': { port: openssl.port, requests: bare },
    'cfssl ocspserve': { port: cfssl.port, requests: bare },
    'this package, cached': { port: ports.cached, requests: bare },
  };
  type Side = keyof typeof sides;
  const results = Object.fromEntries(Object.keys(sides).map((name) => [name, []])) as unknown as Record<
    Side,
    LoadResult[]
  >;
  for (let round = -1; round < ROUNDS; round++) {
    for (const [name, side] of Object.entries(sides)) {
      const result = await load({ ...side, seconds: SECONDS });
      if (round >= 0) results[name as Side].push(result);
    }
  }
  for (const { child } of [openssl, cfssl]) child.kill();
  va.send('loop');
  const [quiet] = (await once(va, 'message')) as [{ loopDelayMaxMs: number }];
  const sync = await duringSync(folder, pki, ports, { client, bare });
  va.send('loop');
  const [busy] = (await once(va, 'message')) as [{ loopDelayMaxMs: number }];
  va.kill();
  client.kill();
  rmSync(folder, { recursive: true });

  console.log(
    `${CONNECTIONS} connections, ${CERTIFICATES} certificates, P-256; ${ROUNDS} alternating rounds of ${SECONDS} s`,
  );
  printTable(
    ['responder', 'answers/s', 'p50 ms', 'p99 ms', 'rounds'],
    Object.entries(results).map(([name, rounds]) => [
      name,
      median(rounds.map(({ rate }) => rate)),
      median(rounds.map(({ p50 }) => p50)),
      median(rounds.map(({ p99 }) => p99)),
      rounds.map(({ rate }) => `${(rate / 1_000).toFixed(1)}k`).join(' '),
    ]),
  );
  printTable(
    ['while 200,000 rows come in', 'answers/s', 'p50 ms', 'p99 ms', 'max ms', 'rows/s'],
    [['this package', sync.result.rate, sync.result.p50, sync.result.p99, sync.result.max, sync.rowRate]],
  );
  printTable(
    ['event loop of the VA', 'longest delay ms'],
    [
      ['answering', quiet.loopDelayMaxMs],
      ['answering during the sync', busy.loopDelayMaxMs],
    ],
  );
  const ratio = (one: Side, other: Side): number =>
    median(results[one].map(({ rate }, round) => rate / (results[other][round]?.rate ?? Number.NaN)));
  return {
    signedVsOpenssl: ratio('this package, nonce', 'openssl ocsp, nonce'),
    cachedVsOpenssl: ratio('this package, cached', 'openssl ocsp'),
    cachedVsCfssl: ratio('this package, cached', 'cfssl ocspserve'),
    p99MsDuringSync: sync.result.p99,
    loopDelayMaxMs: Math.max(quiet.loopDelayMaxMs, busy.loopDelayMaxMs),
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function write(folder: string, name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

/** A line of the database of `openssl ca`: valid, its end, serial number in hexadecimal. */
function indexLine(serial: string): string {
  const hex = Number(serial).toString(16).toUpperCase();
  return `V\t491231235959Z\t\t${hex.length % 2 === 0 ? hex : `0${hex}`}\tunknown\t/CN=host-${serial}\n`;
}

async function fillVa(folder: string, serials: readonly string[]): Promise<string> {
  const file = join(folder, 'va.sqlite');
  const store = new WorkerStore({ kind: 'sqlite', file });
  const rows = serials.map((serial, index) => {
    const serialNumber = Buffer.alloc(4);
    serialNumber.writeUInt32BE(Number(serial));
    const fingerprint = hash('sha1', serialNumber, 'buffer');
    return { ...benchRow(index, 0), fingerprint, issuerDN: CA_NAME, serialNumber: serialNumber.subarray(2) };
  });
  await fillStore(store, rows);
  await store.close();
  return file;
}

interface Started {
  readonly child: ChildProcess;
  readonly port: number;
}

async function startOpenssl(
  files: Record<'ca' | 'signer' | 'key' | 'index', string>,
  request: string,
): Promise<Started> {
  const port = await freePort();
  const parameters = ['-port', `${port}`, '-index', files.index, '-rsigner', files.signer, '-rkey', files.key];
  const child = spawn('openssl', ['ocsp', ...parameters, '-CA', files.ca, '-nmin', '480'], { stdio: 'ignore' });
  await reachable(port, request);
  return { child, port };
}

/** Its answers are those that this package has signed. */
async function startCfssl(folder: string, ownPort: number, requests: readonly string[]): Promise<Started> {
  const answers: string[] = [];
  for (const request of requests) answers.push(await ask(ownPort, request));
  const file = write(folder, 'responses', `${answers.join('\n')}\n`);
  const port = await freePort();
  const parameters = ['ocspserve', `-port=${port}`, '-address=127.0.0.1', `-responses=${file}`, '-loglevel=5'];
  const child = spawn('cfssl', parameters, { stdio: 'ignore' });
  await reachable(port, requests[0] ?? '');
  return { child, port };
}

/** Asks until there is an answer. A connection that asks nothing would stop OpenSSL 3.0. */
async function reachable(port: number, request: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    await sleep(50);
    const answer = await ask(port, request).catch(() => undefined);
    if (answer !== undefined) return;
  }
  throw new Error(`Nothing listens at port ${port}`);
}

async function ask(port: number, request: string): Promise<string> {
  const init = { method: 'POST', headers: { 'content-type': 'application/ocsp-request' } };
  const response = await fetch(`http://127.0.0.1:${port}/`, {
    ...init,
    body: Buffer.from(request, 'base64'),
    signal: AbortSignal.timeout(5_000),
  });
  return base64(new Uint8Array(await response.arrayBuffer()));
}

async function duringSync(
  folder: string,
  pki: ReturnType<typeof createTestPki>,
  ports: { readonly peers: number; readonly cached: number },
  { client, bare }: { readonly client: ChildProcess; readonly bare: readonly string[] },
) {
  const source = new WorkerStore({ kind: 'sqlite', file: join(folder, 'ca.sqlite') });
  await fillStore(source, benchRows(SYNC_ROWS));
  const trust = [{ caDer: pki.managementCa.certificate }];
  const pool = new ConnectionPool(
    { url: new URL(`https://localhost:${ports.peers}${BASE_PATH}`), requestTimeoutMs: 600_000 },
    new RemoteAuthenticator(identitySource(pki.caClient), () => trust),
  );
  const task = {
    source,
    client: new PeerClient(pool),
    filter: EVERY_ROW,
    isDryRun: false,
    maxRowsPerSecond: 0,
    batchRows: 0,
  };
  client.send({ port: ports.cached, requests: bare, connections: CONNECTIONS, seconds: 0 } satisfies LoadOrder);
  const begun = performance.now();
  await synchronize(task, new AbortController().signal, () => undefined);
  const seconds = (performance.now() - begun) / 1_000;
  client.send('stop');
  const [result] = (await once(client, 'message')) as [LoadResult];
  await pool.close();
  await source.close();
  return { result, rowRate: SYNC_ROWS / seconds };
}
