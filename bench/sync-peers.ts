/**
 * Rows to synchronise, and the two sides that do it.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { hash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { RemoteAuthenticator } from '../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool } from '../lib/pool/connection-pool.ts';
import { PeerClient } from '../lib/pool/peer-client.ts';
import { BASE_PATH } from '../lib/protocol/operations.ts';
import { CborWriter } from '../lib/store/cbor.ts';
import { type RowColumns, writeRow } from '../lib/store/certificate-row.ts';
import type { WorkerStore } from '../lib/store/worker-store.ts';
import { ALL_CAS } from '../lib/x509/ca-scope.ts';
import { createTestPki, identitySource } from '../test/helpers/test-pki.ts';

const BODY_BYTES = 1_200;
/** Of a certificate, what does not compress: key, signature, serial. */
const RANDOM_BYTES = 536;

/**
 * A row like those of a CA that issues for hosts; with a body of 1.2 KB if asked.
 *
 * @param share its place among all fingerprints, 0 to 1; a row with a body has the one its body gives it
 */
export function benchRow(index: number, share: number, withBody = false): RowColumns {
  const certificate = withBody
    ? Buffer.concat([randomBytes(RANDOM_BYTES), Buffer.alloc(BODY_BYTES - RANDOM_BYTES, 7)])
    : null;
  return {
    fingerprint: certificate === null ? fingerprintAt(share) : Buffer.from(hash('sha1', certificate, 'hex'), 'hex'),
    issuerDN: `CN=Issuing CA ${index % 3},O=Example,C=SE`,
    subjectDN: `CN=host-${index}.example.org,O=Example,C=SE`,
    serialNumber: Buffer.concat([Buffer.of(0x40 | (index & 31)), randomBytes(15)]),
    status: 20,
    revocationReason: -1,
    revocationDate: -1,
    updateTime: 1_780_000_000_000 + index,
    expireDate: 1_790_000_000_000 + index,
    notBefore: 1_770_000_000_000 + index,
    caFingerprint: randomBytes(20),
    subjectKeyId: randomBytes(20),
    type: 1,
    tag: null,
    crlPartitionIndex: 0,
    certificateProfileId: 1,
    username: `host-${index}`,
    certificate,
  };
}

function fingerprintAt(share: number): Uint8Array {
  const fingerprint = randomBytes(20);
  fingerprint.writeUInt32BE(Math.floor(share * 0xffff_ffff));
  return fingerprint;
}

/** Rows without bodies in the order of their fingerprints, made one by one. */
export function* benchRows(count: number): Generator<RowColumns> {
  for (let index = 0; index < count; index++) yield benchRow(index, index / count);
}

/** Rows with bodies in the order of their fingerprints. */
export function benchRowsWithBody(count: number): RowColumns[] {
  const rows = Array.from({ length: count }, (_, index) => benchRow(index, 0, true));
  return rows.sort((a, b) => Buffer.compare(a.fingerprint, b.fingerprint));
}

/** Writes rows in calls of some megabytes. */
export async function fillStore(store: WorkerStore, rows: Iterable<RowColumns>): Promise<void> {
  const writer = new CborWriter(5_000_000);
  const underway: Promise<unknown>[] = [];
  for (const row of rows) {
    writeRow(writer, row);
    if (writer.length < 4_000_000) continue;
    underway.push(store.writeRows([writer.take()], ALL_CAS));
    if (underway.length > 2) await underway.shift();
  }
  if (writer.length > 0) underway.push(store.writeRows([writer.take()], ALL_CAS));
  await Promise.all(underway);
}

/** A VA process over a store file, and a client to it. */
export async function startVa(file: string) {
  const pki = createTestPki();
  const { certificatePem: certificate, keyPem: key } = pki.vaServer;
  const va = fork(new URL('./sync-server.ts', import.meta.url), {
    env: { ...process.env, BENCH_VA: JSON.stringify({ certificate, key, ca: pki.managementCa.certificatePem, file }) },
  });
  const [{ port }] = (await once(va, 'message')) as [{ port: number }];
  const trust = [{ caDer: pki.managementCa.certificate }];
  const authenticator = new RemoteAuthenticator(identitySource(pki.caClient), () => trust);
  const pool = new ConnectionPool(
    { url: new URL(`https://localhost:${port}${BASE_PATH}`), requestTimeoutMs: 600_000 },
    authenticator,
  );
  const client = new PeerClient(pool);
  await client.ping();
  return { va, client, stop: () => stop(va, pool) };
}

async function stop(
  va: ChildProcess,
  pool: ConnectionPool,
): Promise<{ loopDelayMaxMs: number; memoryGrowthMb: number; total: number }> {
  va.send('facts');
  const [facts] = await once(va, 'message');
  await pool.close();
  va.kill();
  await once(va, 'exit');
  return facts as { loopDelayMaxMs: number; memoryGrowthMb: number; total: number };
}
