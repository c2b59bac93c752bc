/**
 * Sends rows to a peer, several requests at a time and not faster than allowed, and keeps account of the answers.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { PeerClient } from '../pool/peer-client.ts';
import type { WriteResult } from '../store/certificate-store.ts';
import type { SkippedRow } from '../store/ejbca-row.ts';
import type { SyncMeter } from './sync-progress.ts';
import type { SyncFailure, SyncReport } from './sync-report.ts';

/** Rows on their way. */
export class RowPush {
  readonly #client: PeerClient;
  readonly #meter: SyncMeter;
  readonly #report: SyncReport;
  readonly #signal: AbortSignal;
  readonly #maxRowsPerSecond: number;
  readonly #start = performance.now();
  readonly #underway = new Set<Promise<void>>();
  #sent = 0;
  #failure: unknown;

  /** @param maxRowsPerSecond 0 = as fast as it goes */
  constructor(
    client: PeerClient,
    account: { readonly meter: SyncMeter; readonly report: SyncReport },
    signal: AbortSignal,
    maxRowsPerSecond: number,
  ) {
    this.#client = client;
    this.#meter = account.meter;
    this.#report = account.report;
    this.#signal = signal;
    this.#maxRowsPerSecond = maxRowsPerSecond;
  }

  /** Sends rows; returns once there is room for the next. @throws what an earlier request threw */
  async send(rows: Uint8Array, count: number): Promise<void> {
    if (count === 0) return;
    while (this.#underway.size >= MAX_REQUESTS) await Promise.race(this.#underway);
    this.#throwFailure();
    await this.#holdBack();
    this.#sent += count;
    this.#meter.counts.pushedBytes += rows.length;
    const request = this.#client.publishCertificates(rows, count, this.#signal).then(
      (result) => this.#account(result),
      (error: unknown) => {
        this.#failure ??= error;
      },
    );
    const tracked = request.finally(() => this.#underway.delete(tracked));
    this.#underway.add(tracked);
  }

  /** Waits for all answers. @throws what a request threw */
  async drain(): Promise<void> {
    await Promise.all(this.#underway);
    this.#throwFailure();
  }

  /** Rows that the source could not give; they count as failed. */
  reportSkipped(rows: readonly SkippedRow[]): void {
    for (const row of rows) this.#report.add(failureOf(row));
    this.#meter.counts.failed += rows.length;
  }

  #account({ verdicts, refusals }: WriteResult): void {
    const { counts } = this.#meter;
    for (const refusal of refusals) this.#report.add(failureOf(refusal));
    const stored = verdicts.split('s').length - 1;
    counts.pushed += stored;
    counts.failed += refusals.length;
    counts.newerAtPeer += verdicts.length - stored - refusals.length;
    this.#meter.tell();
  }

  async #holdBack(): Promise<void> {
    if (this.#maxRowsPerSecond <= 0) return;
    const due = (this.#sent / this.#maxRowsPerSecond) * 1_000;
    const early = due - (performance.now() - this.#start);
    if (early > 0) await delay(early, undefined, { signal: this.#signal });
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

function failureOf({ fingerprint, subjectDN, issuerDN, code, detail }: SkippedRow): SyncFailure {
  return { fingerprint, subjectDn: subjectDN, issuerDn: issuerDN, errorType: code, errorMessage: detail };
}

const MAX_REQUESTS = 3;
