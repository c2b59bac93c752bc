/**
 * Certificates sent as single flow messages through publish-cert, durable at a VA in another Node-RED,
 * against SQLite committing the same rows one at a time with synchronous FULL.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { BASE_PATH } from '../lib/protocol/operations.ts';
import { readCertificateInput } from '../lib/publisher/certificate-input.ts';
import type { CertificateData } from '../lib/store/certificate-data.ts';
import { encodeRow } from '../lib/store/certificate-row.ts';
import { issueCertificate } from '../lib/x509/certificate-builder.ts';
import { toPem } from '../lib/x509/pem.ts';
import { authenticatorNode, connectorNode, flowNode } from '../test/helpers/peer-flow.ts';
import { createTestPki, daysFromNow, KEY_MAKERS } from '../test/helpers/test-pki.ts';
import { startFlow } from './node-red.ts';
import { median, printTable, watchLoop } from './statistics.ts';

const CERTIFICATES = 20_000;
const ROUNDS = 5;

export async function run(): Promise<Record<string, number>> {
  const pki = createTestPki();
  const folder = mkdtempSync(join(tmpdir(), 'bench-publish-'));
  const publicKey = KEY_MAKERS.ec();
  const issueBatch = (round: number): string[] =>
    Array.from({ length: CERTIFICATES }, (_, i) =>
      toPem(
        issueCertificate({
          issuer: pki.managementCa,
          subjectDN: `CN=host-${round}-${i}.example.org,O=Example,C=SE`,
          publicKey,
          notBefore: daysFromNow(-1),
          notAfter: daysFromNow(90),
        }),
      ),
    );
  const { certificatePem, keyPem } = pki.vaServer;
  const trusted = { certificatePem: pki.managementCa.certificatePem };
  const settings = { server: { certificatePem, keyPem }, trusted, file: join(folder, 'va.sqlite') };
  const va = fork(new URL('./publish-server.ts', import.meta.url), {
    env: { ...process.env, BENCH_VA: JSON.stringify(settings) },
  });
  const [{ port }] = (await once(va, 'message')) as [{ port: number }];
  const getNode = await startFlow([
    authenticatorNode('ca', pki.caClient, pki.managementCa),
    connectorNode('connector', `https://localhost:${port}${BASE_PATH}`, { requestTimeoutMs: 60_000 }),
    flowNode('publish', 'peer-publish-cert', ['out'], { connectors: ['connector'] }),
  ]);
  const publish = getNode('publish');
  let onStored: () => void = () => undefined;
  getNode('out').on('input', (message: object) => {
    if ((message as { publish?: { stored: number } }).publish?.stored === 1) onStored();
  });

  const local = openPlain(join(folder, 'local.sqlite'));
  const rates: number[] = [];
  const localRates: number[] = [];
  let caLoopMs = 0;
  for (let round = -1; round < ROUNDS; round++) {
    const pems = issueBatch(round);
    const loop = watchLoop();
    const flowRate = await publishAll(pems);
    caLoopMs = Math.max(caLoopMs, loop.maxMs());
    const localRate = commitOneByOne(local, pems);
    if (round < 0) continue;
    rates.push(flowRate);
    localRates.push(localRate);
  }
  const vaLoopMs = await loopOf(va);
  va.kill();
  rmSync(folder, { recursive: true });
  console.log(`${CERTIFICATES} certificates (P-256, ~600 B) a round, ${ROUNDS} alternating rounds after a warm-up`);
  printTable(
    ['way', 'certificates/s', 'rounds'],
    [
      ['20,000 flow messages, durable at the VA', median(rates), rates.map((rate) => rate.toFixed(0)).join(' ')],
      [
        'SQLite, a commit each, synchronous FULL',
        median(localRates),
        localRates.map((rate) => rate.toFixed(0)).join(' '),
      ],
    ],
  );
  printTable(
    ['event loop', 'longest delay ms'],
    [
      ['CA side', caLoopMs],
      ['VA side', vaLoopMs],
    ],
  );
  return {
    rate: median(rates),
    rateVsSqliteFull: median(rates.map((rate, round) => rate / (localRates[round] ?? Number.NaN))),
    loopDelayMaxMs: Math.max(caLoopMs, vaLoopMs),
  };

  /** Messages come as a flow's do: many in a turn, not all at once in one synchronous loop. */
  async function publishAll(pems: readonly string[]): Promise<number> {
    const start = performance.now();
    let stored = 0;
    const done = new Promise<void>((resolve) => {
      onStored = () => {
        stored += 1;
        if (stored === pems.length) resolve();
      };
    });
    for (const [index, pem] of pems.entries()) {
      publish.receive({ payload: pem });
      if (index % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
    }
    await done;
    return (pems.length / (performance.now() - start)) * 1_000;
  }
}

/** The plainest table there is: nothing but what durability costs. */
function openPlain(file: string): StatementSync {
  const db = new DatabaseSync(file);
  db.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE Row (fingerprint BLOB PRIMARY KEY, bytes BLOB)',
  );
  return db.prepare('INSERT INTO Row VALUES (?, ?)');
}

function commitOneByOne(insert: StatementSync, pems: readonly string[]): number {
  const rows = pems
    .flatMap((pem) => readCertificateInput(pem, 0))
    .map((item) => (item as { row: CertificateData }).row);
  const values = rows.map((row) => [Buffer.from(row.fingerprint, 'hex'), encodeRow(row)] as const);
  const start = performance.now();
  for (const [fingerprint, bytes] of values) insert.run(fingerprint, bytes);
  return (values.length / (performance.now() - start)) * 1_000;
}

async function loopOf(child: ChildProcess): Promise<number> {
  child.send('loop');
  const [{ loopDelayMaxMs }] = (await once(child, 'message')) as [{ loopDelayMaxMs: number }];
  return loopDelayMaxMs;
}
