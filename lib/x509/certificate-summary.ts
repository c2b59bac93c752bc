/**
 * What an overview shows of a certificate.
 */
import type { CertificateFacts } from './certificate.ts';

/** Plain data: goes to dashboards, the editor and messages. */
export interface CertificateSummary {
  readonly subjectDN: string;
  readonly issuerDN: string;
  /** Decimal. */
  readonly serialNumber: string;
  readonly fingerprint: string;
  /** ISO 8601; empty = unknown. */
  readonly notBefore: string;
  /** ISO 8601; empty = unknown. */
  readonly expires: string;
}

/** Picks what is shown. */
export function summarizeCertificate(facts: CertificateFacts): CertificateSummary {
  const { subjectDN, issuerDN, serialNumber, fingerprint } = facts;
  return {
    subjectDN,
    issuerDN,
    serialNumber,
    fingerprint,
    notBefore: iso(facts.notBefore),
    expires: iso(facts.expireDate),
  };
}

function iso(epochMs: number): string {
  return epochMs < 0 ? '' : new Date(epochMs).toISOString();
}
