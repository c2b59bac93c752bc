/**
 * The certificate store as the rest of the program holds it: its engine in threads of their own.
 *
 * The event loop moves bytes; reading, comparing, writing and syncing happen over there. A SQLite store has two
 * threads: one writes and keeps the sums, the other only reads, so that reads do not wait behind writes.
 */
import type { CaScope } from '../x509/ca-scope.ts';
import type { CertificateData } from './certificate-data.ts';
import { fromColumns, readRows } from './certificate-row.ts';
import type { CertificateQuestion, StatusesOf } from './certificate-status.ts';
import type {
  CertificateStore,
  PageRequest,
  RowPage,
  RowsOf,
  RowsOfRequest,
  StoreCounts,
  WriteResult,
} from './certificate-store.ts';
import type { CrlStore } from './crl-data.ts';
import type { SkippedRow } from './ejbca-row.ts';
import type {
  DueMarks,
  DueQuestion,
  MarkList,
  MarkListRequest,
  MarkOrder,
  MarkSelection,
  QueueSummary,
  SettleCall,
} from './publisher-queue.ts';
import type { RangeAsked, RangeQuestion, RowQuestion } from './range-comparison.ts';
import { EVERY_ROW, type RowFilter } from './row-filter.ts';
import type { StoreConfig } from './store-engine.ts';
import { StoreThread } from './store-thread.ts';
import type { StoreMethods } from './store-worker.ts';

/** What the thread that reads is asked; the sums of ranges belong to the one that keeps them. */
const READS: ReadonlySet<keyof StoreMethods> = new Set([
  'findByFingerprint',
  'findBySerialNumber',
  'statusesOf',
  'page',
  'rowsOf',
  'askRows',
  'answerRows',
  'count',
  'findCrl',
  'listCrls',
  'readCrl',
  'findCaCertificates',
]);

/** Owns the threads of one store. One that dies is replaced at the next call. */
export class WorkerStore implements CertificateStore {
  readonly #tellsChanges: boolean;
  readonly #writer: StoreThread;
  /** The writer itself where the engine has connections of its own. */
  readonly #reader: StoreThread;
  #changes = 0;

  constructor(config: StoreConfig) {
    const onChange = (): void => {
      this.#changes += 1;
    };
    this.#tellsChanges = config.kind === 'sqlite';
    this.#writer = new StoreThread({ config, isReader: false }, onChange);
    this.#reader = config.kind === 'sqlite' ? new StoreThread({ config, isReader: true }, onChange) : this.#writer;
  }

  get changes(): number | undefined {
    return this.#tellsChanges ? this.#changes : undefined;
  }

  async writeRows(rows: readonly Uint8Array[], scope: CaScope, marks?: MarkOrder): Promise<WriteResult> {
    const owned = rows.map(owning);
    const transfer = [...new Set(owned.map((chunk) => chunk.buffer))];
    const call = { rows: owned, scope, ...(marks && { marks }) };
    try {
      return await this.#writer.call<WriteResult>('writeRows', [call], transfer);
    } finally {
      // Before anybody hears of it. A failed call may have been written nevertheless.
      this.#changes += 1;
    }
  }

  async findByFingerprint(fingerprint: string): Promise<CertificateData | undefined> {
    const [row] = readRows(await this.#ask('findByFingerprint', fingerprint));
    return row === undefined ? undefined : fromColumns(row);
  }

  async findBySerialNumber(issuerDN: string, serialNumber: string): Promise<readonly CertificateData[]> {
    return readRows(await this.#ask('findBySerialNumber', issuerDN, serialNumber)).map(fromColumns);
  }

  statusesOf(questions: readonly CertificateQuestion[]): Promise<StatusesOf> {
    return this.#ask('statusesOf', questions);
  }

  async list({
    after = '',
    limit,
  }: {
    readonly after?: string;
    readonly limit: number;
  }): Promise<readonly CertificateData[]> {
    const { rows } = await this.page({
      filter: EVERY_ROW,
      after: Buffer.from(after, 'hex'),
      limit,
      maxBytes: Number.MAX_SAFE_INTEGER,
    });
    return readRows(rows).map(fromColumns);
  }

  page(request: PageRequest): Promise<RowPage> {
    return this.#ask('page', request);
  }

  rowsOf(request: RowsOfRequest): Promise<RowsOf> {
    return this.#ask('rowsOf', request);
  }

  askRanges(question: RangeQuestion): Promise<RangeAsked> {
    return this.#ask('askRanges', question);
  }

  askRows(filter: RowFilter, buckets: Uint16Array): Promise<RowQuestion> {
    return this.#ask('askRows', filter, buckets);
  }

  answerRanges(body: Uint8Array, scope: CaScope): Promise<Uint8Array> {
    return this.#ask('answerRanges', body, scope);
  }

  answerRows(body: Uint8Array, scope: CaScope): Promise<Uint8Array> {
    return this.#ask('answerRows', body, scope);
  }

  dueMarks(question: DueQuestion): Promise<DueMarks> {
    return this.#ask('dueMarks', question);
  }

  settleMarks(call: SettleCall): Promise<void> {
    return this.#ask('settleMarks', call);
  }

  queueSummaries(now: number): Promise<readonly QueueSummary[]> {
    return this.#ask('queueSummaries', now);
  }

  listMarks(request: MarkListRequest): Promise<MarkList> {
    return this.#ask('listMarks', request);
  }

  retryMarks(selection: MarkSelection): Promise<number> {
    return this.#ask('retryMarks', selection);
  }

  removeMarks(selection: MarkSelection): Promise<number> {
    return this.#ask('removeMarks', selection);
  }

  count(): Promise<StoreCounts> {
    return this.#ask('count');
  }

  probe(): Promise<void> {
    return this.#ask('probe');
  }

  skippedRows(): Promise<readonly SkippedRow[]> {
    return this.#ask('skippedRows');
  }

  readonly crls: CrlStore = {
    write: (input, options) => this.#ask('writeCrl', input, options),
    find: (query) => this.#ask('findCrl', query),
    findByFingerprint: (fingerprint) => this.#ask('findCrlByFingerprint', fingerprint),
    list: () => this.#ask('listCrls'),
    read: (fingerprint, position) => this.#ask('readCrl', fingerprint, position),
    findRevoked: (...question) => this.#ask('findRevoked', ...question),
    findCaCertificates: (query) => this.#ask('findCaCertificates', query),
  };

  async close(): Promise<void> {
    await Promise.all([this.#reader.close(), this.#writer.close()]);
  }

  #ask<M extends keyof StoreMethods>(method: M, ...parameters: Parameters<StoreMethods[M]>) {
    const thread = READS.has(method) ? this.#reader : this.#writer;
    return thread.call<Awaited<ReturnType<StoreMethods[M]>>>(method, parameters);
  }
}

/** Memory that can be moved to another thread without taking anybody else's along. */
function owning(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const isWhole = chunk.byteOffset === 0 && chunk.byteLength === chunk.buffer.byteLength;
  return isWhole && chunk.buffer instanceof ArrayBuffer ? (chunk as Uint8Array<ArrayBuffer>) : new Uint8Array(chunk);
}
