/**
 * A store in a file of its own, and what tests of CRLs put into it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readCertificateInput } from '../../lib/publisher/certificate-input.ts';
import type { CertificateData } from '../../lib/store/certificate-data.ts';
import { encodeRow } from '../../lib/store/certificate-row.ts';
import type { CertificateStore } from '../../lib/store/certificate-store.ts';
import type { StoreConfig } from '../../lib/store/store-engine.ts';
import { WorkerStore } from '../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../lib/x509/ca-scope.ts';
import type { Credential } from './test-pki.ts';

/** Opens one; `close` removes it. @param other not a SQLite file */
export function openCrlStore(other?: StoreConfig) {
  const folder = mkdtempSync(join(tmpdir(), 'crl-store-'));
  const file = join(folder, 'store.sqlite');
  const config = other ?? { kind: 'sqlite', file };
  const store = new WorkerStore(config);
  return {
    folder,
    file,
    config,
    store,
    async close(): Promise<void> {
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Stores certificates, as a peer would have published them. */
export async function storeCertificates(store: CertificateStore, ...credentials: readonly Credential[]): Promise<void> {
  const rows = credentials
    .flatMap(({ certificate }) => readCertificateInput(certificate, 1))
    .map((item) => encodeRow((item as { readonly row: CertificateData }).row));
  await store.writeRows(rows, ALL_CAS);
}

/** Stores a CRL. */
export function writeCrl(store: CertificateStore, bytes: Uint8Array, crlPartitionIndex = 0) {
  return store.crls.write({ bytes }, { scope: ALL_CAS, crlPartitionIndex });
}

/** All bytes of a stored CRL. */
export async function readCrl(store: CertificateStore, fingerprint: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (let at = 0; ; ) {
    const chunk = await store.crls.read(fingerprint, at);
    if (chunk === undefined) return Buffer.concat(chunks);
    chunks.push(chunk);
    at += chunk.length;
  }
}
