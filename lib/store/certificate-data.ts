/**
 * One row of certificate data, in EJBCA's names, spelling and units.
 *
 * Owns the shape and its constants. How rows travel is `certificate-row.ts`; which of two
 * rows of one certificate stands is `newest-wins.ts`.
 *
 * @see EJBCA, table CertificateData
 */

/** Status values of EJBCA's CertificateConstants. */
export const CERTIFICATE_STATUS = {
  unassigned: 0,
  inactive: 10,
  rolloverPending: 11,
  active: 20,
  /** Still active; the holder was told that it is about to expire. */
  notifiedAboutExpiration: 21,
  revoked: 40,
  /** Expired and kept. */
  archived: 60,
} as const;

/** Type values of EJBCA's CertificateConstants. */
export const CERTIFICATE_TYPE = { unknown: 0, endEntity: 1, subCA: 2, rootCA: 8 } as const;

/** What is known of one certificate. The fingerprint names the row. */
export interface CertificateData {
  /** SHA-1 of the DER, 40 lower-case hex digits. */
  readonly fingerprint: string;
  readonly issuerDN: string;
  readonly subjectDN: string;
  /** Decimal, possibly negative. */
  readonly serialNumber: string;
  /** One of CERTIFICATE_STATUS. */
  readonly status: number;
  /** RFC 5280 reason code; -1 = not revoked. */
  readonly revocationReason: number;
  /** Epoch milliseconds; -1 = not revoked. */
  readonly revocationDate: number;
  /** Epoch milliseconds of the last change of the row; decides between two states. */
  readonly updateTime: number;
  /** Epoch milliseconds; -1 = unknown. */
  readonly expireDate: number;
  /** Epoch milliseconds; -1 = unknown. */
  readonly notBefore: number;
  /** Fingerprint of the issuing CA certificate; null = unknown. */
  readonly caFingerprint: string | null;
  /** Base64 of the subject key identifier; null = none. */
  readonly subjectKeyId: string | null;
  /** One of CERTIFICATE_TYPE. */
  readonly type: number;
  /** `P` marks a Certificate Transparency pre-certificate; null = none. */
  readonly tag: string | null;
  /** 0 = the main CRL. */
  readonly crlPartitionIndex: number;
  /** 0 = none. */
  readonly certificateProfileId: number;
  readonly username: string | null;
  /** The DER bytes; null = not stored. */
  readonly certificate: Uint8Array | null;
}
