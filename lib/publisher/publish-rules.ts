/**
 * What a publisher sends: the options of EJBCA's Validation Authority Peer Publisher, and what is never published.
 *
 * @see EJBCA, Validation Authority Peer Publisher
 */
import type { CertificateData } from '../store/certificate-data.ts';
import { isCaRow, isForRevokedOnly } from '../store/publisher-queue.ts';

/** Options of a publisher. */
export interface PublishRules {
  /** false = only what OCSP needs goes to the VA. Certificates of CAs go whole nevertheless. */
  readonly withCertificate: boolean;
  /** The VA holds only revoked certificates and answers good for what it does not know. */
  readonly onlyRevoked: boolean;
}

/** Rows by which EJBCA finds out at its start whether its index over serial numbers is unique. */
const INDEX_TEST_ROWS: ReadonlySet<string> = new Set([
  'caba75f68c833c3c2d33f3f5052b7d5a76e80383',
  '05a219d835622653192c30eeeee8f01f918b30fb',
]);

/** Why a row is not published; undefined = it is. */
export function skipReason(row: CertificateData, { onlyRevoked }: PublishRules): string | undefined {
  if (isIndexTest(row)) return 'A row with which EJBCA tests its database';
  return onlyRevoked && !isForRevokedOnly(row) ? NOT_REVOKED : undefined;
}

/** Why a row of an only-revoked publisher is passed over. */
export const NOT_REVOKED = 'Not revoked, and only revoked certificates are published';

/** Whether it is one of the rows that EJBCA made for a test of its own. */
export function isIndexTest({ fingerprint }: CertificateData): boolean {
  return INDEX_TEST_ROWS.has(fingerprint);
}

/** The row as it goes to the VA. */
export function asPublished(row: CertificateData, { withCertificate }: PublishRules): CertificateData {
  return withCertificate || isCaRow(row) ? row : { ...row, certificate: null };
}
