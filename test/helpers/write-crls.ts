/**
 * A process that writes the CRLs its parent hands it, with a mark each, and tells what was stored, until it is killed.
 */
import { WorkerStore } from '../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../lib/x509/ca-scope.ts';

const [file = '', ...crls] = process.argv.slice(2);
const store = new WorkerStore({ kind: 'sqlite', file });

process.send?.({ ready: true });
for (const crl of crls) {
  const { crl: stored } = await store.crls.write(
    { file: crl },
    { scope: ALL_CAS, crlPartitionIndex: 0, marks: ['va'] },
  );
  await new Promise<void>((resolve) => process.send?.({ stored: stored.cRLNumber }, () => resolve()));
}
