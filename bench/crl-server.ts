/**
 * The other process of the CRL benchmark: a store that takes CRLs from files, as an endpoint hands them to it.
 */
import { readCertificateInput } from '../lib/publisher/certificate-input.ts';
import type { CertificateData } from '../lib/store/certificate-data.ts';
import { encodeRow } from '../lib/store/certificate-row.ts';
import { WorkerStore } from '../lib/store/worker-store.ts';
import { ALL_CAS } from '../lib/x509/ca-scope.ts';
import { watchLoop } from './statistics.ts';

interface Settings {
  readonly store: string;
  /** PEM. */
  readonly caCertificate: string;
}

/** One CRL to take, with a certificate that is on it and one that is not. */
interface Round {
  readonly file: string;
  readonly issuerDN: string;
  readonly revoked: string;
  readonly good: string;
}

const settings: Settings = JSON.parse(process.env['BENCH_CRL'] ?? '{}');
const store = new WorkerStore({ kind: 'sqlite', file: settings.store });
const [ca] = readCertificateInput(settings.caCertificate, 0);
await store.writeRows([encodeRow((ca as { readonly row: CertificateData }).row)], ALL_CAS);

const loop = watchLoop();
process.on('message', async ({ file, issuerDN, revoked, good }: Round) => {
  const begun = performance.now();
  const { verdict, crl } = await store.crls.write({ file }, { scope: ALL_CAS, crlPartitionIndex: 0 });
  const yes = await store.crls.findRevoked(issuerDN, revoked);
  const no = await store.crls.findRevoked(issuerDN, good);
  const ms = performance.now() - begun;
  const isRight =
    verdict === 'stored' && crl.cAFingerprint !== null && yes?.entry?.revocationReason === 1 && no?.entry === null;
  if (!isRight) throw new Error(`The CRL was not taken as it should be: ${JSON.stringify({ verdict, crl, yes, no })}`);
  const rssMb = process.resourceUsage().maxRSS / 1_024;
  process.send?.({ ms, entries: crl.entries, rssMb, loopDelayMaxMs: loop.maxMs() });
});
process.send?.('ready');
