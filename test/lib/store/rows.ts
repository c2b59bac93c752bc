/**
 * Rows for store tests, and reproducible chance.
 */
import { hash } from 'node:crypto';
import type { CertificateData } from '../../../lib/store/certificate-data.ts';
import { encodeRow } from '../../../lib/store/certificate-row.ts';

/** A generator of whole numbers below a bound; the same seed gives the same numbers. */
export function chance(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** The fingerprint of certificate number `index`. */
export function fingerprint(index: number): string {
  return hash('sha1', `certificate ${index}`, 'hex');
}

/** A row without certificate, and what is to be different about it. */
export function row(index: number, change: Partial<CertificateData> = {}): CertificateData {
  return {
    fingerprint: fingerprint(index),
    issuerDN: 'CN=Issuing CA,O=Test,C=SE',
    subjectDN: `CN=host-${index}`,
    serialNumber: String(1_000 + index),
    status: 20,
    revocationReason: -1,
    revocationDate: -1,
    updateTime: 1_780_000_000_000,
    expireDate: 1_800_000_000_000,
    notBefore: 1_770_000_000_000,
    caFingerprint: null,
    subjectKeyId: null,
    type: 1,
    tag: null,
    crlPartitionIndex: 0,
    certificateProfileId: 1,
    username: null,
    certificate: null,
    ...change,
  };
}

/** A row with a certificate of these bytes. */
export function rowWithBody(body: Uint8Array, change: Partial<CertificateData> = {}): CertificateData {
  return row(0, { fingerprint: hash('sha1', body, 'hex'), certificate: new Uint8Array(body), ...change });
}

/** Revoked for good. */
export const REVOKED = { status: 40, revocationReason: 1, revocationDate: 1_780_000_000_500 } as const;
/** Revoked, but not for good. */
export const ON_HOLD = { status: 40, revocationReason: 6, revocationDate: 1_780_000_000_500 } as const;

/** Encoded rows. */
export function stream(...rows: readonly CertificateData[]): Uint8Array {
  return Buffer.concat(rows.map(encodeRow));
}
