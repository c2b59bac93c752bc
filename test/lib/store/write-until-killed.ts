/**
 * A process that writes rows and tells its parent what it attempts and what was acknowledged, until it is killed.
 */
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { fingerprint, row, stream } from './rows.ts';

const store = new WorkerStore({ kind: 'sqlite', file: process.argv[2] ?? '' });

async function writeFrom(start: number): Promise<void> {
  for (let index = start; ; index += 4) {
    // Told before it is done, so that the journal knows of every attempt.
    await new Promise<void>((resolve) => process.send?.({ attempted: fingerprint(index) }, () => resolve()));
    await store.writeRows([stream(row(index))], ALL_CAS);
    process.send?.({ acknowledged: fingerprint(index) });
  }
}

await Promise.all([0, 1, 2, 3].map(writeFrom));
