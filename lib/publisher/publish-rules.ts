/**
 * What a publisher sends: the options of EJBCA's Validation Authority Peer Publisher, and what is never published.
 *
 * @see EJBCA, Validation Authority Peer Publisher
 */
import type { CertificateData } from '../store/certificate-data.ts';
import { INDEX_TEST_FINGERPRINTS } from '../store/ejbca-select.ts';
import { isCaRow, isForRevokedOnly } from '../store/publisher-queue.ts';

/** Options of a publisher. */
export interface PublishRules {
  /** false = only what OCSP needs goes to the VA. Certificates of CAs go whole nevertheless. */
  readonly withCertificate: boolean;
  /** The VA holds only revoked certificates and answers good for what it does not know. */
  readonly onlyRevoked: boolean;
}

/** Why a row is not published; undefined = it is. */
export function skipReason(row: CertificateData, { onlyRevoked }: PublishRules): string | undefined {
  if (isIndexTest(row)) return 'A row with which EJBCA tests its database';
  return onlyRevoked && !isForRevokedOnly(row) ? NOT_REVOKED : undefined;
}

/** Why a row of an only-revoked publisher is passed over. */
export const NOT_REVOKED = 'Not revoked, and only revoked certificates are published';

/** Whether it is one of the rows that EJBCA made for a test of its own. */
export function isIndexTest({ fingerprint }: CertificateData): boolean {
  return INDEX_TEST_FINGERPRINTS.has(fingerprint);
}

/** The row as it goes to the VA. */
export function asPublished(row: CertificateData, { withCertificate }: PublishRules): CertificateData {
  return withCertificate || isCaRow(row) ? row : { ...row, certificate: null };
}
