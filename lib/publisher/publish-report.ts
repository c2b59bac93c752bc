/**
 * What is to be published where, and how it is told: a row per certificate and peer, and the sums.
 */
import type { PeerError, PeerErrorCode } from '../errors.ts';
import type { CertificateData } from '../store/certificate-data.ts';
import type { PeerGroup } from './peer-group.ts';
import type { PublishRules } from './publish-rules.ts';
import type { PublisherQueue } from './publisher-queue.ts';

/** How to publish: past the queue, through it at once, or by it later. */
export const PUBLISH_MODES = ['direct', 'safe', 'queue'] as const;

/** One of PUBLISH_MODES. */
export type PublishMode = (typeof PUBLISH_MODES)[number];

/** Where to, and how. */
export interface PublishTask {
  /** Each of them gets everything. */
  readonly groups: readonly PeerGroup[];
  readonly rules: PublishRules;
  readonly mode: PublishMode;
  /** Needed unless the mode is direct. */
  readonly queue: PublisherQueue | undefined;
}

/** One certificate at one peer. Flat, for tables. */
export interface PublishRow {
  /** Name of the peer; empty when the certificate did not get that far. */
  readonly peer: string;
  readonly fingerprint: string;
  readonly subjectDN: string;
  readonly issuerDN: string;
  readonly serialNumber: string;
  /**
   * `queued`: durably on the queue, the peer has yet to get it; `skipped`: not for this peer; `refused` by the peer, by
   * this side's store, or unreadable; `failed`: the peer did not say, so it may or may not have it.
   */
  readonly verdict: 'stored' | 'unchanged' | 'queued' | 'skipped' | 'refused' | 'failed';
  /** Why; empty when there is nothing to say. */
  readonly code: PeerErrorCode | '';
  readonly detail: string;
}

/** The sums. */
export interface PublishReport {
  /** Certificates in the input. */
  readonly certificates: number;
  readonly stored: number;
  readonly unchanged: number;
  readonly queued: number;
  readonly skipped: number;
  readonly refused: number;
  readonly failed: number;
  readonly peers: readonly string[];
  /** Rows that are refused or failed. */
  readonly failures: readonly PublishRow[];
}

/** The row of a table for one certificate. */
export function publishRowOf(
  { fingerprint, subjectDN, issuerDN, serialNumber }: CertificateData,
  outcome: Pick<PublishRow, 'peer' | 'verdict'> & { readonly code?: PeerErrorCode; readonly detail?: string },
): PublishRow {
  const { peer, verdict, code = '', detail = '' } = outcome;
  return { peer, fingerprint, subjectDN, issuerDN, serialNumber, verdict, code, detail };
}

/** The row of an item that could not be read. */
export function unreadable({ code, message: detail }: PeerError): PublishRow {
  const nothing = { peer: '', fingerprint: '', subjectDN: '', issuerDN: '', serialNumber: '' };
  return { ...nothing, verdict: 'refused', code, detail };
}

/** @param certificates how many the input held */
export function reportOf(rows: readonly PublishRow[], certificates: number, { groups }: PublishTask): PublishReport {
  const count = (verdict: PublishRow['verdict']): number => rows.filter((row) => row.verdict === verdict).length;
  return {
    certificates: certificates,
    stored: count('stored'),
    unchanged: count('unchanged'),
    queued: count('queued'),
    skipped: count('skipped'),
    refused: count('refused'),
    failed: count('failed'),
    peers: groups.map((group) => group.name),
    failures: rows.filter((row) => row.verdict === 'refused' || row.verdict === 'failed'),
  };
}
