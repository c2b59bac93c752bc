/**
 * What own stores have in common when they judge the rows of a write.
 */
import { CERTIFICATE_STATUS } from './certificate-data.ts';
import { type RowColumns, type RowFault, rowDigest } from './certificate-row.ts';
import type { Refusal } from './certificate-store.ts';
import { HASH_BYTES } from './range-sums.ts';

/** What becomes of a row, as in `WriteResult.verdicts`, or why it is refused. */
export type Verdict = 's' | 'u' | RowFault;

/** The first bytes of the row's digest, as comparisons use them. */
export function digestOf(row: RowColumns): Uint8Array {
  return Buffer.from(rowDigest(row).slice(0, HASH_BYTES * 2), 'hex');
}

/** 1 = it is, so that it can be counted. */
export function isRevoked({ status }: Pick<RowColumns, 'status'>): 0 | 1 {
  return status === CERTIFICATE_STATUS.revoked ? 1 : 0;
}

/** The fault of a row that the writer may not write. */
export function notAuthorized(issuerDN: string): RowFault {
  return { code: 'ERR_NOT_AUTHORIZED', detail: `Not authorized for the CA "${issuerDN}"` };
}

/** What the writer is told of it. */
export function refusalOf(row: RowColumns, index: number, { code, detail }: RowFault): Refusal {
  const { subjectDN, issuerDN } = row;
  return { index, fingerprint: Buffer.from(row.fingerprint).toString('hex'), subjectDN, issuerDN, code, detail };
}

/** The chunks of a call as one. */
export function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const [only] = chunks;
  return only !== undefined && chunks.length === 1 ? only : Buffer.concat(chunks);
}
