/**
 * Certificate data synchronization: compares, then pushes what the peer lacks or has in another state.
 *
 * The cost follows the difference: two sides that agree find out in one round trip. A peer that has nothing
 * is filled without asking for each row. Nothing is ever deleted at the peer. A run that was
 * broken off is not continued but begun again: what has arrived is found equal.
 */
import { PeerError } from '../errors.ts';
import type { PeerClient } from '../pool/peer-client.ts';
import type { CertificateStore } from '../store/certificate-store.ts';
import { type RowQuestion, readRangesAnswer, readRowsAnswer } from '../store/range-comparison.ts';
import { childrenOf, pick, RANGE_LEVELS } from '../store/range-sums.ts';
import type { RowFilter } from '../store/row-filter.ts';
import { RowPush } from './row-push.ts';
import { SyncMeter, type SyncProgress } from './sync-progress.ts';
import { SyncReport } from './sync-report.ts';

/** What to synchronise, and how. */
export interface SyncTask {
  readonly source: Pick<CertificateStore, 'askRanges' | 'askRows' | 'page' | 'rowsOf' | 'skippedRows'>;
  readonly client: PeerClient;
  readonly filter: RowFilter;
  /** Compare and count only. */
  readonly isDryRun: boolean;
  /** 0 = as fast as it goes. */
  readonly maxRowsPerSecond: number;
  /** Most rows in one request; 0 = as many as fit. */
  readonly batchRows: number;
}

/** How it went. */
export interface SyncResult {
  readonly progress: SyncProgress;
  readonly report: SyncReport;
}

/** Large, because a transaction touches nearly every page of the index over serial numbers, however few its rows. */
const BATCH_BYTES = 6 * 1024 * 1024;
const MAX_BATCH_ROWS = 40_000;
const FINGERPRINT_BYTES = 20;
/**
 * Runs a synchronisation to its end.
 *
 * @param signal cancels it, within the time of a request
 * @param onProgress at most four times a second, and once more at the end
 * @throws PeerError ERR_CANCELLED, what the peer says, what the stores say
 */
export async function synchronize(
  task: SyncTask,
  signal: AbortSignal,
  onProgress: (progress: SyncProgress) => void,
): Promise<SyncResult> {
  const meter = new SyncMeter(onProgress);
  const report = new SyncReport();
  const run = new Run(task, { meter, report }, signal);
  try {
    await run.run();
    return { progress: meter.end('finished'), report };
  } catch (error) {
    meter.end(signal.aborted ? 'cancelled' : 'failed');
    if (signal.aborted) throw new PeerError('ERR_CANCELLED', 'The synchronisation was cancelled', { cause: error });
    throw error;
  }
}

class Run {
  readonly #task: SyncTask;
  readonly #meter: SyncMeter;
  readonly #signal: AbortSignal;
  readonly #push: RowPush;

  constructor(
    task: SyncTask,
    account: { readonly meter: SyncMeter; readonly report: SyncReport },
    signal: AbortSignal,
  ) {
    this.#task = task;
    this.#meter = account.meter;
    this.#signal = signal;
    this.#push = new RowPush(task.client, account, signal, task.maxRowsPerSecond);
  }

  async run(): Promise<void> {
    const { counts } = this.#meter;
    const whole = await this.#compare(0, new Uint16Array(0));
    counts.total = whole.total;
    this.#meter.tell();
    if (whole.differing.length === 0) counts.compared = whole.total;
    else if (!this.#task.isDryRun && whole.atPeer === 0) await this.#fill();
    else await this.#repair();
    await this.#push.drain();
    this.#push.reportSkipped(await this.#task.source.skippedRows());
  }

  /** Which ranges of a level differ, of those below the given ones. */
  async #compare(level: number, parents: Uint16Array) {
    const { source, client, filter } = this.#task;
    const { body, total } = await source.askRanges({ filter, level, parents });
    const answer = await client.compareRanges(body, this.#signal);
    this.#noteRoundTrip(body, answer);
    const { bits, total: atPeer } = readRangesAnswer(answer);
    return { differing: pick(childrenOf(level, parents), bits), total, atPeer };
  }

  async #fill(): Promise<void> {
    const { source, filter, batchRows } = this.#task;
    const { counts } = this.#meter;
    this.#meter.phase = 'pushing';
    const limit = batchRows > 0 ? Math.min(batchRows, MAX_BATCH_ROWS) : MAX_BATCH_ROWS;
    const next = (after: Uint8Array) => source.page({ filter, after, limit, maxBytes: BATCH_BYTES });
    for (let coming = next(new Uint8Array(0)); ; ) {
      const { rows, count, last } = await coming;
      if (count === 0) return;
      // Read while the former are on their way.
      coming = next(last);
      coming.catch(() => undefined);
      this.#signal.throwIfAborted();
      counts.compared += count;
      counts.missing += count;
      await this.#push.send(rows, count);
      this.#meter.share = counts.compared / Math.max(1, counts.total);
      this.#meter.tell();
    }
  }

  async #repair(): Promise<void> {
    let ranges = Uint16Array.of(0);
    for (let level = 1; level < RANGE_LEVELS; level++) {
      this.#signal.throwIfAborted();
      ranges = (await this.#compare(level, ranges)).differing as typeof ranges;
      this.#meter.share = level / 100;
      this.#meter.tell();
    }
    if (!this.#task.isDryRun) this.#meter.phase = 'pushing';
    await this.#repairBuckets(ranges);
    this.#meter.counts.compared = this.#meter.counts.total;
  }

  /** The next question is made while the peer works on the one before. */
  async #repairBuckets(buckets: Uint16Array): Promise<void> {
    const { source, filter } = this.#task;
    const ask = (at: number): Promise<RowQuestion | undefined> =>
      at < buckets.length ? source.askRows(filter, buckets.subarray(at)) : Promise.resolve(undefined);
    let at = 0;
    for (let coming = ask(0); ; ) {
      const question = await coming;
      if (question === undefined) return;
      this.#signal.throwIfAborted();
      at += question.buckets;
      coming = ask(at);
      coming.catch(() => undefined);
      await this.#repairRows(question);
      this.#meter.share = Math.max(this.#meter.share, at / buckets.length);
      this.#meter.tell();
    }
  }

  /** Compares the rows a question is about and pushes those that differ. */
  async #repairRows({ body, fingerprints }: RowQuestion): Promise<void> {
    const { client } = this.#task;
    const { counts } = this.#meter;
    const answer = await client.compareRows(body, this.#signal);
    this.#noteRoundTrip(body, answer);
    const { bits, unasked } = readRowsAnswer(answer);
    const lacking = pickFingerprints(fingerprints, bits);
    const atPeer = new Set(hexes(unasked));
    const outdated = hexes(lacking).filter((fingerprint) => atPeer.has(fingerprint)).length;
    counts.outdated += outdated;
    counts.missing += lacking.length / FINGERPRINT_BYTES - outdated;
    counts.onlyAtPeer += atPeer.size - outdated;
    if (!this.#task.isDryRun) await this.#pushRows(lacking);
  }

  async #pushRows(fingerprints: Uint8Array): Promise<void> {
    const { source, filter, batchRows } = this.#task;
    const most = (batchRows > 0 ? Math.min(batchRows, MAX_BATCH_ROWS) : MAX_BATCH_ROWS) * FINGERPRINT_BYTES;
    for (let at = 0; at < fingerprints.length; ) {
      this.#signal.throwIfAborted();
      const wanted = fingerprints.slice(at, at + most);
      const { rows, count, taken } = await source.rowsOf({
        fingerprints: wanted,
        withCertificate: filter.withCertificate,
        maxBytes: BATCH_BYTES,
      });
      await this.#push.send(rows, count);
      at += taken * FINGERPRINT_BYTES;
    }
  }

  #noteRoundTrip(question: Uint8Array, answer: Uint8Array): void {
    this.#meter.counts.roundTrips += 1;
    this.#meter.counts.comparedBytes += question.length + answer.length;
  }
}

function pickFingerprints(fingerprints: Uint8Array, bits: Uint8Array): Uint8Array {
  const picked: Uint8Array[] = [];
  for (let row = 0; row * FINGERPRINT_BYTES < fingerprints.length; row++) {
    const isSet = ((bits[row >>> 3] ?? 0) & (0x80 >>> (row & 7))) !== 0;
    if (isSet) picked.push(fingerprints.subarray(row * FINGERPRINT_BYTES, (row + 1) * FINGERPRINT_BYTES));
  }
  return Buffer.concat(picked);
}

function hexes(fingerprints: Uint8Array): readonly string[] {
  const text = Buffer.from(fingerprints).toString('hex');
  return text.match(/.{40}/g) ?? [];
}
