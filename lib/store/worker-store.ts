/**
 * The certificate store as the rest of the program holds it: an engine in a thread of its own.
 *
 * The event loop moves bytes; reading, comparing, writing and syncing happen over there.
 */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { PeerError, type PeerErrorCode } from '../errors.ts';
import type { CaScope } from '../x509/ca-scope.ts';
import type { CertificateData } from './certificate-data.ts';
import { fromColumns, readRows } from './certificate-row.ts';
import type { CertificateStore, StoreCounts, WriteResult } from './certificate-store.ts';
import type { StoreConfig, StoreEngine, WriteCall } from './store-engine.ts';

type Reads = 'findByFingerprint' | 'findBySerialNumber' | 'list' | 'count' | 'close';

/** A call on its way to the thread. */
export type StoreCall =
  | { readonly id: number; readonly method: 'writeRows'; readonly parameters: [WriteCall] }
  | {
      [M in Reads]: { readonly id: number; readonly method: M; readonly parameters: Parameters<StoreEngine[M]> };
    }[Reads];

/** The answer to it. */
export type StoreAnswer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly code: PeerErrorCode; readonly message: string };

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

  writeRows(rows: readonly Uint8Array[], scope: CaScope): Promise<WriteResult> {
    const owned = rows.map(owning);
    const transfer = owned.map((chunk) => chunk.buffer);
    return this.#call<WriteResult>('writeRows', [{ rows: owned, scope }], transfer);
  }

  async findByFingerprint(fingerprint: string): Promise<CertificateData | undefined> {
    const [row] = await this.#rows('findByFingerprint', [fingerprint]);
    return row;
  }

  findBySerialNumber(issuerDN: string, serialNumber: string): Promise<readonly CertificateData[]> {
    return this.#rows('findBySerialNumber', [issuerDN, serialNumber]);
  }

  list(options: { readonly after?: string; readonly limit: number }): Promise<readonly CertificateData[]> {
    return this.#rows('list', [options]);
  }

  count(): Promise<StoreCounts> {
    return this.#call<StoreCounts>('count', []);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    const worker = this.#worker;
    if (worker !== undefined) await this.#call('close', []).catch(() => undefined);
    this.#isClosed = true;
    await worker?.terminate();
  }

  async #rows(method: Reads, parameters: readonly unknown[]): Promise<readonly CertificateData[]> {
    return readRows(await this.#call<Uint8Array>(method, parameters)).map(fromColumns);
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
      worker.postMessage({ id, method, parameters }, transfer);
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

/** Memory that can be moved to another thread without taking anybody else's along. */
function owning(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const isWhole = chunk.byteOffset === 0 && chunk.byteLength === chunk.buffer.byteLength;
  return isWhole && chunk.buffer instanceof ArrayBuffer ? (chunk as Uint8Array<ArrayBuffer>) : new Uint8Array(chunk);
}
