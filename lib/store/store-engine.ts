/**
 * What runs behind a certificate store, in the store's own thread.
 */
import type { CaScope } from '../x509/ca-scope.ts';
import type { StoreCounts, WriteResult } from './certificate-store.ts';

/** One call to write rows. */
export interface WriteCall {
  readonly rows: readonly Uint8Array[];
  readonly scope: CaScope;
}

/** What became of one call of a group: its result, or the error that is its alone. */
export type WriteOutcome = WriteResult | Error;

/**
 * A store's engine. Methods may be synchronous: they have a thread to themselves.
 *
 * An engine opens what it works on at its first call and, when that fails, at the next one again.
 */
export interface StoreEngine {
  /** Writes the calls that came together in one transaction and one sync. Throws when none of them was written. */
  writeGroup(calls: readonly WriteCall[]): readonly WriteOutcome[] | Promise<readonly WriteOutcome[]>;
  /** Encoded rows. */
  findByFingerprint(fingerprint: string): Uint8Array | Promise<Uint8Array>;
  /** Encoded rows, newest first. */
  findBySerialNumber(issuerDN: string, serialNumber: string): Uint8Array | Promise<Uint8Array>;
  /** Encoded rows in fingerprint order. */
  list(options: { readonly after?: string; readonly limit: number }): Uint8Array | Promise<Uint8Array>;
  count(): StoreCounts | Promise<StoreCounts>;
  close(): void | Promise<void>;
}

/** Which engine, and what it works on. Plain data. */
export type StoreConfig = {
  readonly kind: 'sqlite';
  /** Absolute path. */
  readonly file: string;
};
