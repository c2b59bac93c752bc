/**
 * A CRL of a million entries: read, verified, stored durably and made answerable, against `openssl crl -noout`, which
 * only parses the same file.
 */
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decimalFromInteger } from '../lib/x509/serial-number.ts';
import { makeCrl, manyEntries, serialOf } from '../test/helpers/crl-maker.ts';
import { issueRootCa } from '../test/helpers/test-pki.ts';
import { median, printTable } from './statistics.ts';

const ENTRIES = 1_000_000;
const ROUNDS = 5;

interface Taken {
  readonly ms: number;
  readonly entries: number;
  readonly rssMb: number;
  readonly loopDelayMaxMs: number;
}

export async function run(): Promise<Record<string, number>> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-crl-'));
  const file = join(folder, 'bench.crl');
  const issuerDN = 'CN=Bench CA,O=Example,C=SE';
  const issuer = issueRootCa(issuerDN);
  const entries = manyEntries(ENTRIES);
  const settings = { store: join(folder, 'va.sqlite'), caCertificate: issuer.certificatePem };
  const va = fork(new URL('./crl-server.ts', import.meta.url), {
    env: { ...process.env, BENCH_CRL: JSON.stringify(settings) },
  });
  await once(va, 'message');
  const [revoked, good] = [ENTRIES - 1, ENTRIES].map((n) => decimalFromInteger(serialOf(n)));
  const ours: Taken[] = [];
  const theirs: number[] = [];
  let bytes = 0;
  for (let round = -1; round < ROUNDS; round++) {
    // Every round the next CRL of the CA; the same one would be known already.
    const crl = makeCrl({ issuer, number: String(round + 2), entries });
    bytes = crl.length;
    writeFileSync(file, crl);
    va.send({ file, issuerDN, revoked, good });
    const [taken] = (await once(va, 'message')) as [Taken];
    const openssl = parseWithOpenssl(file);
    if (round < 0) continue;
    ours.push(taken);
    theirs.push(openssl);
  }
  va.kill();
  rmSync(folder, { recursive: true });
  const last = ours.at(-1);
  const version = execFileSync('openssl', ['version'], { encoding: 'utf8' }).trim();
  console.log(
    `${last?.entries.toLocaleString('en-US')} entries, ${(bytes / 1e6).toFixed(1)} MB, P-256; ` +
      `${ROUNDS} alternating rounds after a warm-up; ${version}`,
  );
  printTable(
    ['way', 'ms', 'rounds'],
    [
      [
        'read, verified, stored (synchronous FULL), answerable',
        median(ours.map(({ ms }) => ms)),
        ours.map(({ ms }) => ms.toFixed(0)).join(' '),
      ],
      ['openssl crl -noout', median(theirs), theirs.map((ms) => ms.toFixed(0)).join(' ')],
    ],
  );
  printTable(
    ['process of the store', ''],
    [
      ['largest memory MB', last?.rssMb ?? Number.NaN],
      ['longest delay of the event loop ms', last?.loopDelayMaxMs ?? Number.NaN],
    ],
  );
  return {
    timeVsOpenssl: median(ours.map(({ ms }, round) => ms / (theirs[round] ?? Number.NaN))),
    rssMb: last?.rssMb ?? Number.NaN,
    loopDelayMaxMs: last?.loopDelayMaxMs ?? Number.NaN,
  };
}

function parseWithOpenssl(file: string): number {
  const begun = performance.now();
  execFileSync('openssl', ['crl', '-inform', 'DER', '-noout', '-in', file]);
  return performance.now() - begun;
}
