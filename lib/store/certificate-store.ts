/**
 * What every certificate store gives. Own stores (SQLite, PostgreSQL) give all of it.
 *
 * Rows cross this interface encoded (see `certificate-row.ts`), because they come from the
 * wire and go to the wire: the event loop moves bytes, the store's own thread reads them.
 */
import type { CaScope } from '../x509/ca-scope.ts';
import type { CertificateData } from './certificate-data.ts';

/**
 * What became of one row:
 * `stored` new or newer than what stood; `unchanged` already there, or older than what stands;
 * `refused` not acceptable, with the cause in `WriteResult.refusals`.
 */
export type Verdict = 'stored' | 'unchanged' | 'refused';

/** Why one row was refused. */
export interface Refusal {
  /** Position of the row in the call, from 0. */
  readonly index: number;
  /** Fingerprint of the row; empty when not even that was readable. */
  readonly fingerprint: string;
  readonly subjectDN: string;
  readonly issuerDN: string;
  /** Stable code of `lib/errors.ts`. */
  readonly code: string;
  readonly detail: string;
}

/** The answer to a write, given after the commit has reached the disk. */
export interface WriteResult {
  /** One letter per row in the order of the call: `s` stored, `u` unchanged, `r` refused. */
  readonly verdicts: string;
  readonly refusals: readonly Refusal[];
}

/** Row counts by status. */
export interface StoreCounts {
  readonly total: number;
  readonly revoked: number;
  /** Rows whose certificate body is stored too. */
  readonly withCertificate: number;
}

/** A store of certificate data. Every call may fail with ERR_STORE_UNAVAILABLE, ERR_STORE_FULL. */
export interface CertificateStore {
  /**
   * Writes encoded rows. One bad row is refused and harms no other.
   *
   * @param rows one or more chunks that together hold whole rows; their buffers may be moved
   *   to another thread, so the caller must not use them afterwards
   * @param scope the CAs the writer may write for; a row of another CA, or one that would
   *   replace a row of another CA, is refused with ERR_NOT_AUTHORIZED
   * @throws PeerError ERR_MALFORMED_MESSAGE when the bytes are not rows; nothing is written then
   */
  writeRows(rows: readonly Uint8Array[], scope: CaScope): Promise<WriteResult>;

  /** The row of a certificate, or undefined. */
  findByFingerprint(fingerprint: string): Promise<CertificateData | undefined>;

  /** All rows with this issuer and serial number, newest first. The pair is not unique in real life. */
  findBySerialNumber(issuerDN: string, serialNumber: string): Promise<readonly CertificateData[]>;

  /** Rows in fingerprint order, after the given fingerprint (exclusive), at most `limit`. */
  list(options: { readonly after?: string; readonly limit: number }): Promise<readonly CertificateData[]>;

  count(): Promise<StoreCounts>;

  /** Ends pending work, closes files and threads. Later calls fail with ERR_STORE_UNAVAILABLE. */
  close(): Promise<void>;
}
