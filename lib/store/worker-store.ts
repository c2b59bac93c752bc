/**
 * The certificate store as the rest of the program holds it: an engine in a thread of its own.
 *
 * The event loop moves bytes; reading, comparing, writing and syncing happen over there.
 */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { PeerError } from '../errors.ts';
import type { CaScope } from '../x509/ca-scope.ts';
import type { CertificateData } from './certificate-data.ts';
import { fromColumns, readRows } from './certificate-row.ts';
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
import type { StoreAnswer, StoreMethods } from './store-worker.ts';

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: PeerError) => void;
}

/** Sources run as they are, the package runs compiled. */
const WORKER_URL = new URL(`./store-worker${extname(fileURLToPath(import.meta.url))}`, import.meta.url);

/** Owns the thread of one store. A thread that dies is replaced at the next call. */
export class WorkerStore implements CertificateStore {
  readonly #config: StoreConfig;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #lastId = 0;
  #isClosed = false;

  constructor(config: StoreConfig) {
    this.#config = config;
  }

  writeRows(rows: readonly Uint8Array[], scope: CaScope, marks?: MarkOrder): Promise<WriteResult> {
    const owned = rows.map(owning);
    const transfer = [...new Set(owned.map((chunk) => chunk.buffer))];
    return this.#call<WriteResult>('writeRows', [{ rows: owned, scope, ...(marks && { marks }) }], transfer);
  }

  async findByFingerprint(fingerprint: string): Promise<CertificateData | undefined> {
    const [row] = readRows(await this.#ask('findByFingerprint', fingerprint));
    return row === undefined ? undefined : fromColumns(row);
  }

  async findBySerialNumber(issuerDN: string, serialNumber: string): Promise<readonly CertificateData[]> {
    return readRows(await this.#ask('findBySerialNumber', issuerDN, serialNumber)).map(fromColumns);
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
    if (this.#isClosed) return;
    const worker = this.#worker;
    if (worker !== undefined) await this.#ask('close').catch(() => undefined);
    this.#isClosed = true;
    await worker?.terminate();
  }

  #ask<M extends keyof StoreMethods>(method: M, ...parameters: Parameters<StoreMethods[M]>) {
    return this.#call<Awaited<ReturnType<StoreMethods[M]>>>(method, parameters);
  }

  #call<T>(method: string, parameters: readonly unknown[], transfer: readonly ArrayBuffer[] = []): Promise<T> {
    if (this.#isClosed)
      return Promise.reject(new PeerError('ERR_STORE_UNAVAILABLE', 'The certificate store is closed'));
    const worker = this.#start();
    const id = ++this.#lastId;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      // A store that nobody waits for does not keep the process alive.
      worker.ref();
      try {
        worker.postMessage({ id, method, parameters }, transfer);
      } catch (error) {
        // A buffer that was handed over before.
        this.#settle({ id, ...failed(error) });
      }
    });
  }

  #start(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(WORKER_URL, { workerData: this.#config });
    worker.on('message', (answer: StoreAnswer) => this.#settle(answer));
    worker.on('error', (error) => this.#ended(worker, error));
    worker.on('exit', () => this.#ended(worker, undefined));
    this.#worker = worker;
    return worker;
  }

  #settle(answer: StoreAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#worker?.unref();
    if ('code' in answer) waiting?.reject(new PeerError(answer.code, answer.message));
    else waiting?.resolve(answer.value as never);
  }

  #ended(worker: Worker, cause: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    const error = new PeerError('ERR_STORE_UNAVAILABLE', 'The thread of the certificate store has ended', { cause });
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}

function failed(error: unknown) {
  const { message } = error as Error;
  return { code: 'ERR_INVALID_INPUT', message: `The rows cannot be handed to the store: ${message}` } as const;
}

/** Memory that can be moved to another thread without taking anybody else's along. */
function owning(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const isWhole = chunk.byteOffset === 0 && chunk.byteLength === chunk.buffer.byteLength;
  return isWhole && chunk.buffer instanceof ArrayBuffer ? (chunk as Uint8Array<ArrayBuffer>) : new Uint8Array(chunk);
}
