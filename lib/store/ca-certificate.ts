/** What a CA certificate is looked for by: names, and SHA-1 of names and key identifiers (RFC 4387 2.2). */
import { hash } from 'node:crypto';
import { type CertificateFacts, readCertificate } from '../x509/certificate.ts';
import { attributeValues } from '../x509/distinguished-name.ts';
import type { RowColumns } from './certificate-row.ts';

/** One entry, as the stores keep it. */
export interface CaEntry {
  readonly fingerprint: Uint8Array;
  readonly subjectDN: string;
  /** Common name. */
  readonly name: string | null;
  readonly subjectHash: Uint8Array;
  readonly issuerHash: Uint8Array;
  readonly keyId: Uint8Array | null;
  readonly keyIdHash: Uint8Array | null;
  readonly isSelfIssued: boolean;
}

/** The entry of a certificate; undefined unless it is that of a CA and carries the names its row has. */
export function caEntryOf(
  row: Pick<RowColumns, 'fingerprint' | 'issuerDN' | 'subjectDN'>,
  certificate: Uint8Array,
): CaEntry | undefined {
  const facts = factsOf(certificate);
  // Rights were checked for the issuer that the row names, so the certificate must name the same.
  if (!facts?.isCa || facts.issuerDN !== row.issuerDN || facts.subjectDN !== row.subjectDN) return undefined;
  const keyId = facts.subjectKeyId === null ? null : Buffer.from(facts.subjectKeyId, 'base64');
  return {
    fingerprint: row.fingerprint,
    subjectDN: facts.subjectDN,
    name: attributeValues(facts.subjectDN, 'CN')[0] ?? null,
    subjectHash: hash('sha1', facts.subjectDer, 'buffer'),
    issuerHash: hash('sha1', facts.issuerDer, 'buffer'),
    keyId,
    keyIdHash: keyId && hash('sha1', keyId, 'buffer'),
    isSelfIssued: facts.selfIssued,
  };
}

/** A row may carry bytes that are no certificate; they are found by their fingerprint only. */
function factsOf(certificate: Uint8Array): CertificateFacts | undefined {
  try {
    return readCertificate(certificate);
  } catch {
    return undefined;
  }
}
