/**
 * One CRL to several peers: what became of it at each of them.
 */
import { type PeerError, type PeerErrorCode, toPeerError } from '../errors.ts';
import type { PeerClient } from '../pool/peer-client.ts';
import type { PublishedCrl } from '../protocol/messages.ts';
import { type CrlInput, readCrlInput } from './crl-input.ts';

/** A peer to publish to. */
export interface CrlTarget {
  readonly name: string;
  /** @throws PeerError while the connector is not usable */
  readonly client: () => PeerClient;
}

/** The CRL at one peer. Flat, for tables. */
export interface PublishedCrlRow {
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
  /** `refused` by the peer; `failed`: the peer did not say, so it may or may not have it. */
  readonly verdict: 'stored' | 'unchanged' | 'refused' | 'failed';
  /** Why; empty when there is nothing to say. */
  readonly code: PeerErrorCode | '';
  readonly detail: string;
}

/** Rows and sums; `failure` when the CRL reached no peer. */
export interface CrlPublishResult {
  readonly rows: readonly PublishedCrlRow[];
  readonly report: Readonly<Record<PublishedCrlRow['verdict'], number>>;
  readonly failure: PeerError | undefined;
}

/** What a peer says of the CRL itself; sending it once more would change nothing. */
const REFUSALS: ReadonlySet<PeerErrorCode> = new Set<PeerErrorCode>([
  'ERR_INVALID_CRL',
  'ERR_CRL_TOO_OLD',
  'ERR_CRL_BASE_MISSING',
  'ERR_NOT_AUTHORIZED',
  'ERR_TOO_LARGE',
]);

/** Sends one CRL to one peer; answers after the peer has it on disk. */
export function sendCrl(client: PeerClient, { body, crlPartitionIndex }: CrlInput): Promise<PublishedCrl> {
  return client.publishCrl(body, crlPartitionIndex);
}

/**
 * Publishes an input to all targets at once and waits for all answers.
 *
 * @throws PeerError what reading the input throws
 */
export async function publishCrlToPeers(input: unknown, targets: readonly CrlTarget[]): Promise<CrlPublishResult> {
  const crl = await readCrlInput(input);
  const outcomes = await Promise.all(targets.map((target) => publishTo(target, crl)));
  const rows = outcomes.map(({ row }) => row);
  const count = (verdict: PublishedCrlRow['verdict']): number => rows.filter((row) => row.verdict === verdict).length;
  const report = {
    stored: count('stored'),
    unchanged: count('unchanged'),
    refused: count('refused'),
    failed: count('failed'),
  };
  const isAnywhere = report.stored + report.unchanged > 0;
  return { rows, report, failure: isAnywhere ? undefined : outcomes.find(({ error }) => error !== undefined)?.error };
}

async function publishTo(
  target: CrlTarget,
  crl: CrlInput,
): Promise<{ readonly row: PublishedCrlRow; readonly error?: PeerError }> {
  const peer = target.name;
  try {
    return { row: rowOf(peer, await sendCrl(target.client(), crl)) };
  } catch (cause) {
    const error = toPeerError(cause);
    const verdict = REFUSALS.has(error.code) ? 'refused' : 'failed';
    return { row: { ...ownView(crl), peer, verdict, code: error.code, detail: error.message }, error };
  }
}

function rowOf(peer: string, crl: PublishedCrl): PublishedCrlRow {
  const { issuerDN, crlPartitionIndex, cRLNumber, deltaCRLIndicator, thisUpdate, nextUpdate, verdict } = crl;
  return {
    peer,
    issuerDN,
    crlPartitionIndex,
    cRLNumber: cRLNumber === '-1' ? '' : cRLNumber,
    isDelta: deltaCRLIndicator !== '-1',
    thisUpdate,
    nextUpdate,
    verdict,
    code: '',
    detail: '',
  };
}

/** What this side knows of the CRL without the peer. */
function ownView({ facts, crlPartitionIndex }: CrlInput) {
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
