/**
 * A process that writes until it is killed and says on its standard output what it attempts and what was
 * acknowledged. The rows follow from the seed, so the parent can tell what each must look like.
 */
import { createHash } from 'node:crypto';
import { CERTIFICATE_STATUS, type CertificateData } from '../../../lib/store/certificate-data.ts';
import { encodeRow } from '../../../lib/store/certificate-row.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { NOW, rowOf } from './sample-rows.ts';

/** The n-th row of a seed; every third one has a certificate. */
export function plannedRow(seed: string, n: number): CertificateData {
  const certificate = new Uint8Array(createHash('sha512').update(`${seed} ${n}`).digest());
  const fingerprint = createHash('sha1').update(certificate).digest('hex');
  const isRevoked = n % 5 === 0;
  return rowOf({
    fingerprint,
    serialNumber: String(n),
    certificate: n % 3 === 0 ? certificate : null,
    updateTime: NOW + n,
    ...(isRevoked && { status: CERTIFICATE_STATUS.revoked, revocationReason: 4, revocationDate: NOW + n }),
  });
}

const [file, seed, lanes, limit] = process.argv.slice(2);
if (file !== undefined && seed !== undefined) await writeAll(file, seed, Number(lanes), Number(limit));

async function writeAll(storeFile: string, rowSeed: string, parallel: number, rows: number): Promise<void> {
  const store = new WorkerStore({ kind: 'sqlite', file: storeFile });
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < rows) {
      const n = next++;
      // A pipe is written synchronously: what was said before the kill arrives.
      process.stdout.write(`attempt ${n}\n`);
      const { verdicts } = await store.writeRows([encodeRow(plannedRow(rowSeed, n))], ALL_CAS);
      process.stdout.write(`${verdicts === 's' ? 'stored' : 'other'} ${n}\n`);
    }
  };
  await Promise.all(Array.from({ length: parallel }, lane));
  await store.close();
}
