/**
 * What runs behind a certificate store, in the store's own thread.
 */
import type { CaScope } from '../x509/ca-scope.ts';
import type { CertificateQuestion, StatusesOf } from './certificate-status.ts';
import type { PageRequest, RowPage, RowsOf, RowsOfRequest, StoreCounts, WriteResult } from './certificate-store.ts';
import type { CrlKeeper } from './crl-keeper.ts';
import type { EjbcaConfig } from './ejbca-connection.ts';
import type { SkippedRow } from './ejbca-row.ts';
import type { PostgresConfig } from './postgres-connection.ts';
import type { MarkOrder, QueueEngine } from './publisher-queue.ts';
import type { ComparableEngine } from './range-comparison.ts';

/** One call to write rows. */
export interface WriteCall {
  readonly rows: readonly Uint8Array[];
  readonly scope: CaScope;
  /** Marks to set with the rows that are not refused, unchanged ones too: the peer may lack them. */
  readonly marks?: MarkOrder;
}

/** What became of one call of a group: its result, or the error that is its alone. */
export type WriteOutcome = WriteResult | Error;

type MaybeLater<T> = T | Promise<T>;

/**
 * A store's engine. Methods may be synchronous: they have a thread to themselves.
 *
 * An engine opens what it works on at its first call and, when that fails, at the next one again.
 */
export interface StoreEngine extends ComparableEngine {
  /** Writes the calls that came together in one transaction and one sync. Throws when none of them was written. */
  writeGroup(calls: readonly WriteCall[]): MaybeLater<readonly WriteOutcome[]>;
  /** Encoded rows. */
  findByFingerprint(fingerprint: string): MaybeLater<Uint8Array>;
  /** Encoded rows, newest first. */
  findBySerialNumber(issuerDN: string, serialNumber: string): MaybeLater<Uint8Array>;
  /** Where it has a shorter way than `findBySerialNumber`. */
  statusesOf?(questions: readonly CertificateQuestion[]): MaybeLater<StatusesOf>;
  /** Whether others have written since the last time it was asked. Never throws. */
  hasChanged?(): boolean;
  /** Rows of a subset in fingerprint order. */
  page(request: PageRequest): MaybeLater<RowPage>;
  rowsOf(request: RowsOfRequest): MaybeLater<RowsOf>;
  count(): MaybeLater<StoreCounts>;
  /** Opens what is not open. */
  probe(): MaybeLater<void>;
  /** The publisher queue. @throws PeerError ERR_INVALID_CONFIG where there cannot be one */
  queue(): QueueEngine;
  /** Rows of a foreign database that could not be read as they are, since the last comparison began. */
  skippedRows?(): readonly SkippedRow[];
  /** The CRLs of the store; undefined where there is no place for them. */
  readonly crls?: CrlKeeper;
  close(): MaybeLater<void>;
}

/** Which engine, and what it works on. Plain data. */
export type StoreConfig = EjbcaConfig | PostgresConfig | SqliteConfig;

/** The embedded store. */
export interface SqliteConfig {
  readonly kind: 'sqlite';
  /** Absolute path. */
  readonly file: string;
}
