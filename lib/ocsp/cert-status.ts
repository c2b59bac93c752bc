/**
 * From rows of certificate data to what an OCSP answer says of a certificate (RFC 6960 2.2).
 */
import type { OcspProperties } from '../keybinding/ocsp-signer.ts';
import { CERTIFICATE_STATUS } from '../store/certificate-data.ts';
import type { CertificateStatus } from '../store/certificate-status.ts';
import { isPermanentlyRevoked } from '../store/newest-wins.ts';
import { REVOCATION_REASONS } from '../x509/revocation-reason.ts';

/** What is said of a certificate. */
export interface CertStatus {
  readonly kind: 'good' | 'revoked' | 'unknown';
  /** Epoch milliseconds; 0 unless revoked. */
  readonly revocationDate: number;
  /** RFC 5280 reason code; -1 unless revoked, or where none is known. */
  readonly reason: number;
  /** Epoch milliseconds; -1 = unknown. */
  readonly expireDate: number;
  /** Whether the certificate is in the store. */
  readonly isKnown: boolean;
}

/**
 * The row that counts among those of one issuer and serial number: a permanent revocation before what is none, then
 * the newest.
 *
 * @param strangers fingerprints of other CAs of the same name, whose certificates are not meant
 */
export function rowThatCounts(
  rows: readonly CertificateStatus[],
  strangers: ReadonlySet<string>,
): CertificateStatus | undefined {
  let found: CertificateStatus | undefined;
  for (const row of rows) {
    if (row.caFingerprint !== null && strangers.has(row.caFingerprint)) continue;
    if (found === undefined || countsBefore(row, found)) found = row;
  }
  return found;
}

function countsBefore(row: CertificateStatus, other: CertificateStatus): boolean {
  const isPermanent = isPermanentlyRevoked(row);
  if (isPermanent !== isPermanentlyRevoked(other)) return isPermanent;
  return row.updateTime > other.updateTime;
}

/** What is said of a certificate with this row. */
export function certStatusOf(row: CertificateStatus): CertStatus {
  const { status, revocationReason, revocationDate, updateTime, expireDate } = row;
  const isRevoked = status === CERTIFICATE_STATUS.revoked || isPermanentlyRevoked(row);
  if (!isRevoked) return { kind: 'good', revocationDate: 0, reason: -1, expireDate, isKnown: true };
  const since = revocationDate === -1 ? Math.max(updateTime, 0) : revocationDate;
  return { kind: 'revoked', revocationDate: since, reason: revocationReason, expireDate, isKnown: true };
}

const ABSENT = { revocationDate: 0, reason: -1, expireDate: -1, isKnown: false } as const;

/**
 * What is said of a certificate that is not in the store; undefined = nothing, the answer is `unauthorized`.
 *
 * Revoked means on hold since 1970 (RFC 6960 2.2).
 */
export function certStatusOfAbsent(nonExisting: OcspProperties['nonExisting']): CertStatus | undefined {
  if (nonExisting === 'unauthorized') return undefined;
  if (nonExisting === 'revoked') return { ...ABSENT, kind: 'revoked', reason: REVOCATION_REASONS.certificateHold };
  return { ...ABSENT, kind: nonExisting };
}

/** Of a certificate of a CA that is not answered for. */
export const UNKNOWN_CERTIFICATE: CertStatus = { ...ABSENT, kind: 'unknown' };

/** Whether both say the same. */
export function isSameCertStatus(a: CertStatus, b: CertStatus): boolean {
  return (
    a.kind === b.kind &&
    a.revocationDate === b.revocationDate &&
    a.reason === b.reason &&
    a.expireDate === b.expireDate &&
    a.isKnown === b.isKnown
  );
}
