/**
 * One input to several peers: what happened to each certificate at each of them.
 */
import { PeerError, type PeerErrorCode, toPeerError } from '../errors.ts';
import type { CertificateData } from '../store/certificate-data.ts';
import { type InputItem, readCertificateInput } from './certificate-input.ts';
import type { PeerPublisher } from './peer-publisher.ts';

/** A peer to publish to. */
export interface PublishTarget {
  readonly name: string;
  /** @throws PeerError while the connector is not usable */
  readonly publisher: () => PeerPublisher;
}

/** One certificate at one peer. Flat, for tables. */
export interface PublishRow {
  /** Name of the peer; empty when the certificate did not get that far. */
  readonly peer: string;
  readonly fingerprint: string;
  readonly subjectDN: string;
  readonly issuerDN: string;
  readonly serialNumber: string;
  /** `refused` by the peer or unreadable; `failed`: the peer did not say, so it may or may not have it. */
  readonly verdict: 'stored' | 'unchanged' | 'refused' | 'failed';
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
  readonly refused: number;
  readonly failed: number;
  readonly peers: readonly string[];
  /** Rows that are neither stored nor unchanged. */
  readonly failures: readonly PublishRow[];
}

/** Rows and sums; `failure` when not one certificate reached any peer. */
export interface PublishResult {
  readonly rows: readonly PublishRow[];
  readonly report: PublishReport;
  readonly failure: PeerError | undefined;
}

/**
 * Publishes an input to all targets at once and waits for all answers.
 *
 * @throws PeerError ERR_INVALID_INPUT when the input says nothing
 */
export async function publishToPeers(
  input: unknown,
  targets: readonly PublishTarget[],
  now: number = Date.now(),
): Promise<PublishResult> {
  const items = readCertificateInput(input, now);
  const perItem = await Promise.all(items.map((item) => publishItem(item, targets)));
  const rows = perItem.flat();
  const count = (verdict: PublishRow['verdict']): number => rows.filter((row) => row.verdict === verdict).length;
  const report: PublishReport = {
    certificates: items.length,
    stored: count('stored'),
    unchanged: count('unchanged'),
    refused: count('refused'),
    failed: count('failed'),
    peers: targets.map((target) => target.name),
    failures: rows.filter((row) => row.verdict === 'refused' || row.verdict === 'failed'),
  };
  return { rows, report, failure: failureOfAll(report) };
}

async function publishItem(item: InputItem, targets: readonly PublishTarget[]): Promise<readonly PublishRow[]> {
  if ('failure' in item) {
    const { code, message: detail } = item.failure;
    return [{ ...UNREADABLE, code, detail }];
  }
  return Promise.all(targets.map((target) => publishRow(item.row, target)));
}

async function publishRow(row: CertificateData, target: PublishTarget): Promise<PublishRow> {
  const { fingerprint, subjectDN, issuerDN, serialNumber } = row;
  const base = { peer: target.name, fingerprint, subjectDN, issuerDN, serialNumber };
  try {
    const { verdict, code = '', detail = '' } = await target.publisher().publish(row);
    return { ...base, verdict, code, detail };
  } catch (error) {
    const { code, message: detail } = toPeerError(error);
    return { ...base, verdict: 'failed', code, detail };
  }
}

const UNREADABLE = {
  peer: '',
  fingerprint: '',
  subjectDN: '',
  issuerDN: '',
  serialNumber: '',
  verdict: 'refused',
} as const;

function failureOfAll({ failures, stored, unchanged }: PublishReport): PeerError | undefined {
  const [first] = failures;
  if (first === undefined || stored + unchanged > 0) return undefined;
  const others = failures.length === 1 ? '' : ` (and ${failures.length - 1} more)`;
  return new PeerError(first.code === '' ? 'ERR_INTERNAL' : first.code, `${first.detail}${others}`);
}
