/**
 * A process that writes rows one after the other and prints each acknowledgement, to be traced.
 */
import { writeSync } from 'node:fs';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { row, stream } from './rows.ts';

const store = new WorkerStore({ kind: 'sqlite', file: process.argv[2] ?? '' });
await store.count();
for (let index = 0; index < 20; index++) {
  await store.writeRows([stream(row(index))], ALL_CAS);
  writeSync(1, `acknowledged ${index}\n`);
}
await store.close();
