/**
 * One thread of a store: started at its first call, replaced after it died.
 */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { PeerError } from '../errors.ts';
import type { StoreConfig } from './store-engine.ts';
import type { StoreAnswer } from './store-worker.ts';

/** Sources run as they are, the package runs compiled. */
const WORKER_URL = new URL(`./store-worker${extname(fileURLToPath(import.meta.url))}`, import.meta.url);

/** A thread that dies again and again is not started anew before this, growing from first to last. */
const FIRST_PAUSE_MS = 100;
const LAST_PAUSE_MS = 5_000;

/** Rows live for moments; with more room the thread would let them pile up to twice the memory. */
const YOUNG_GENERATION_MB = 16;

/** What a thread works on. Plain data. */
export interface StoreThreadSetup {
  readonly config: StoreConfig;
  /** A thread that only reads writes nothing, not even sums. */
  readonly isReader: boolean;
}

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: PeerError) => void;
}

/** Carries calls to the thread and answers back. */
export class StoreThread {
  readonly #setup: StoreThreadSetup;
  readonly #onChange: () => void;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #lastId = 0;
  #isClosed = false;
  /** Times it died since it last answered. */
  #deaths = 0;
  #pausedUntil = 0;

  /** @param onChange called when what was read may have changed without a call of ours */
  constructor(setup: StoreThreadSetup, onChange: () => void) {
    this.#setup = setup;
    this.#onChange = onChange;
  }

  /**
   * Calls one of the thread's methods.
   *
   * @throws PeerError ERR_STORE_UNAVAILABLE when it is closed, has died, or pauses after it died
   */
  call<T>(method: string, parameters: readonly unknown[], transfer: readonly ArrayBuffer[] = []): Promise<T> {
    if (this.#isClosed) return Promise.reject(unavailable('The certificate store is closed'));
    if (this.#worker === undefined && performance.now() < this.#pausedUntil) {
      return Promise.reject(unavailable('The thread of the certificate store has ended and starts again in a moment'));
    }
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

  /** Ends pending work and the thread. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    const worker = this.#worker;
    if (worker !== undefined) await this.call('close', []).catch(() => undefined);
    this.#isClosed = true;
    await worker?.terminate();
  }

  #start(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB };
    const worker = new Worker(WORKER_URL, { workerData: this.#setup, resourceLimits });
    worker.on('message', (answer: StoreAnswer) => {
      if ('changed' in answer) return this.#onChange();
      this.#deaths = 0;
      this.#settle(answer);
    });
    worker.on('error', (error) => this.#ended(worker, error));
    worker.on('exit', () => this.#ended(worker, undefined));
    this.#worker = worker;
    return worker;
  }

  #settle(answer: Exclude<StoreAnswer, { readonly changed: true }>): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#worker?.unref();
    if ('code' in answer) waiting?.reject(new PeerError(answer.code, answer.message));
    else waiting?.resolve(answer.value as never);
  }

  #ended(worker: Worker, cause: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    const pause = this.#deaths === 0 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (this.#deaths - 1), LAST_PAUSE_MS);
    this.#deaths += 1;
    this.#pausedUntil = performance.now() + pause;
    this.#onChange();
    const error = unavailable('The thread of the certificate store has ended', cause);
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}

function unavailable(detail: string, cause?: unknown): PeerError {
  return new PeerError('ERR_STORE_UNAVAILABLE', detail, { cause });
}

function failed(error: unknown) {
  const { message } = error as Error;
  return { code: 'ERR_INVALID_INPUT', message: `The rows cannot be handed to the store: ${message}` } as const;
}
