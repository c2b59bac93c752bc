/**
 * How the publishing of a CRL is told: a row per peer, and the sums.
 */
import { PeerError, type PeerErrorCode } from '../errors.ts';
import type { CrlInput } from './crl-input.ts';
import type { PublishTask } from './publish-report.ts';

/** Where to, and how. */
export type CrlPublishTask = Pick<PublishTask, 'groups' | 'mode' | 'queue'>;

/** The CRL at one peer. Flat, for tables. */
export interface PublishedCrlRow {
  /** Name of the peer; empty when the CRL did not get that far. */
  readonly peer: string;
  /** Empty when neither this side nor the peer could tell. */
  readonly issuerDN: string;
  readonly crlPartitionIndex: number;
  /** Decimal; empty = none, or not known. */
  readonly cRLNumber: string;
  readonly isDelta: boolean;
  /** ISO 8601; empty = not known. */
  readonly thisUpdate: string;
  /** ISO 8601; empty = not known. */
  readonly nextUpdate: string;
  /**
   * `queued`: durably on the queue, the peer has yet to get it or a newer one; `refused` by the peer, or by this side's
   * store; `failed`: the peer did not say, so it may or may not have it.
   */
  readonly verdict: 'stored' | 'unchanged' | 'queued' | 'refused' | 'failed';
  /** Why; empty when there is nothing to say. */
  readonly code: PeerErrorCode | '';
  readonly detail: string;
}

/** Rows and sums; `failure` when the CRL reached neither a peer nor the queue. */
export interface CrlPublishResult {
  readonly rows: readonly PublishedCrlRow[];
  readonly report: Readonly<Record<PublishedCrlRow['verdict'], number>>;
  readonly failure: PeerError | undefined;
}

/** Sums up the rows of one CRL. */
export function crlResultOf(rows: readonly PublishedCrlRow[]): CrlPublishResult {
  const count = (verdict: PublishedCrlRow['verdict']): number => rows.filter((row) => row.verdict === verdict).length;
  const report = {
    stored: count('stored'),
    unchanged: count('unchanged'),
    queued: count('queued'),
    refused: count('refused'),
    failed: count('failed'),
  };
  const isAnywhere = report.stored + report.unchanged + report.queued > 0;
  const [first] = rows;
  if (isAnywhere || first === undefined) return { rows, report, failure: undefined };
  return { rows, report, failure: new PeerError(first.code === '' ? 'ERR_INTERNAL' : first.code, first.detail) };
}

/** What this side knows of a CRL without the peer. */
export function ownView({ facts, crlPartitionIndex }: CrlInput) {
  return {
    issuerDN: facts?.issuerDN ?? '',
    crlPartitionIndex,
    cRLNumber: facts?.crlNumber ?? '',
    isDelta: typeof facts?.deltaCrlIndicator === 'string',
    thisUpdate: isoOf(facts?.thisUpdate),
    nextUpdate: isoOf(facts?.nextUpdate),
  };
}

function isoOf(epochMs = -1): string {
  return epochMs < 0 ? '' : new Date(epochMs).toISOString();
}
