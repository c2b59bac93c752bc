/**
 * What every certificate store gives. Own stores (SQLite, PostgreSQL) give all of it.
 *
 * Rows cross this interface encoded (see `certificate-row.ts`), because they come from the
 * wire and go to the wire: the event loop moves bytes, the store's own thread reads them.
 */
import type { CaScope } from '../x509/ca-scope.ts';
import type { CertificateData } from './certificate-data.ts';
import type { CertificateQuestion, StatusesOf } from './certificate-status.ts';
import type { CrlStore } from './crl-data.ts';
import type { SkippedRow } from './ejbca-row.ts';
import type { MarkOrder, PublisherQueueStore } from './publisher-queue.ts';
import type { RangeAsked, RangeQuestion, RowQuestion } from './range-comparison.ts';
import type { RowFilter } from './row-filter.ts';

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
  /**
   * One letter per row in the order of the call: `s` stored, it is new or newer than what stood; `u` unchanged, it was
   * there already or is older than what stands; `r` refused, see `refusals`.
   */
  readonly verdicts: string;
  readonly refusals: readonly Refusal[];
  /** When marks were ordered: for each row the sequence of its marks, 0 = it got none. */
  readonly sequences?: readonly number[];
}

/** Row counts by status. */
export interface StoreCounts {
  readonly total: number;
  readonly revoked: number;
  /** Rows whose certificate body is stored too. */
  readonly withCertificate: number;
}

/** Which rows come next. */
export interface PageRequest {
  readonly filter: RowFilter;
  /** Fingerprint after which to go on; empty = from the first. */
  readonly after: Uint8Array;
  /** Most rows. */
  readonly limit: number;
  /** Bytes after which no further row is added; a page has at least one row if there is any. */
  readonly maxBytes: number;
}

/** Some rows of a subset, in fingerprint order. */
export interface RowPage {
  /** Encoded. */
  readonly rows: Uint8Array;
  readonly count: number;
  /** Fingerprint of the last of them; empty when there is none. */
  readonly last: Uint8Array;
}

/** Which rows, by fingerprint. */
export interface RowsOfRequest {
  /** 20 bytes each. */
  readonly fingerprints: Uint8Array;
  readonly withCertificate: boolean;
  /** Bytes after which no further row is added. */
  readonly maxBytes: number;
}

/** Rows by their fingerprints. */
export interface RowsOf {
  /** Encoded. */
  readonly rows: Uint8Array;
  readonly count: number;
  /** How many of the fingerprints were looked at; the others are for the next call. */
  readonly taken: number;
}

/** A store of certificate data. Every call may fail with ERR_STORE_UNAVAILABLE, ERR_STORE_FULL. */
export interface CertificateStore extends PublisherQueueStore {
  /**
   * Writes encoded rows. One bad row is refused and harms no other.
   *
   * @param rows one or more chunks that together hold whole rows; their buffers may be moved
   *   to another thread, so the caller must not use them afterwards
   * @param scope the CAs the writer may write for; a row of another CA, or one that would
   *   replace a row of another CA, is refused with ERR_NOT_AUTHORIZED
   * @param marks what to put on the publisher queue in the same transaction
   * @throws PeerError ERR_MALFORMED_MESSAGE when the bytes are not rows; nothing is written then
   */
  writeRows(rows: readonly Uint8Array[], scope: CaScope, marks?: MarkOrder): Promise<WriteResult>;

  /** The row of a certificate, or undefined. */
  findByFingerprint(fingerprint: string): Promise<CertificateData | undefined>;

  /** All rows with this issuer and serial number, newest first. The pair is not unique in real life. */
  findBySerialNumber(issuerDN: string, serialNumber: string): Promise<readonly CertificateData[]>;

  /** How the certificates asked about stand: what an OCSP answer needs. At most 1,000 rows of each. */
  statusesOf(questions: readonly CertificateQuestion[]): Promise<StatusesOf>;

  /**
   * A number that is another one after each write: before the writer hears of it, or, where another process wrote,
   * about 50 ms later. Undefined where the store cannot tell, so that one has to ask each time. Known once something
   * was asked.
   *
   * PostgreSQL cannot tell: of what another instance wrote, a NOTIFY arrives some time after that instance has
   * acknowledged it, and nobody would know while a connection is silently lost. `statusesOf` is cheap there instead.
   */
  readonly changes: number | undefined;

  /** All rows in fingerprint order, after the given fingerprint, at most `limit`. */
  list(options: { readonly after?: string; readonly limit: number }): Promise<readonly CertificateData[]>;

  /** The next rows of a subset, in fingerprint order. */
  page(request: PageRequest): Promise<RowPage>;

  /** Rows of these fingerprints, 20 bytes each, until `maxBytes`; those that are not there are left out. */
  rowsOf(request: RowsOfRequest): Promise<RowsOf>;

  /** The question, and the answer to one, of a comparison by ranges (see `range-comparison.ts`). */
  askRanges(question: RangeQuestion): Promise<RangeAsked>;
  askRows(filter: RowFilter, buckets: Uint16Array): Promise<RowQuestion>;
  answerRanges(body: Uint8Array, scope: CaScope): Promise<Uint8Array>;
  answerRows(body: Uint8Array, scope: CaScope): Promise<Uint8Array>;

  count(): Promise<StoreCounts>;

  /** Opens the store if it is not open; quick, however much there is. */
  probe(): Promise<void>;

  /** Rows of a foreign database that could not be read as they are, since the last comparison began. */
  skippedRows(): Promise<readonly SkippedRow[]>;

  /** The CRLs beside the certificate data. A store that is only read has none: each call fails with ERR_INVALID_CONFIG. */
  readonly crls: CrlStore;

  /** Ends pending work, closes files and threads. Later calls fail with ERR_STORE_UNAVAILABLE. */
  close(): Promise<void>;
}
