/**
 * Calls to a PKCS#11 library, which lives in a thread of its own: what waits for a device must not hold up answers.
 */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { PeerError } from '../errors.ts';
import type { Pkcs11Answer, Pkcs11Methods } from './pkcs11-worker.ts';

/** Sources run as they are, the package runs compiled. */
const WORKER_URL = new URL(`./pkcs11-worker${extname(fileURLToPath(import.meta.url))}`, import.meta.url);

/** RSA keys of 4096 bits take some devices half a minute to make. */
const TIMEOUT_MS = { generate: 120_000, others: 15_000 };

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: PeerError) => void;
  readonly timer: NodeJS.Timeout;
}

const threads = new Map<string, Pkcs11Thread>();

/** Carries calls to the thread and answers back. */
export class Pkcs11Thread {
  readonly #path: string;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  private constructor(path: string) {
    this.#path = path;
    this.#worker = new Worker(WORKER_URL, { workerData: path });
    this.#worker.on('message', (answer: Pkcs11Answer) => this.#settle(answer));
    this.#worker.on('error', (error) => this.#ended(error.message));
    this.#worker.unref();
  }

  /** The thread of a library, one per process, which all its tokens share. */
  static of(path: string): Pkcs11Thread {
    const thread = threads.get(path) ?? new Pkcs11Thread(path);
    threads.set(path, thread);
    return thread;
  }

  /**
   * Calls one of the thread's methods.
   *
   * @throws PeerError what the method throws; ERR_CRYPTO_TOKEN_UNAVAILABLE when no answer came in time
   */
  call<M extends keyof Pkcs11Methods>(
    method: M,
    ...parameters: Parameters<Pkcs11Methods[M]>
  ): Promise<Awaited<ReturnType<Pkcs11Methods[M]>>> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const onTimeout = (): void => this.#settle({ id, ...unavailable(`${this.#path} does not answer`) });
      const timer = setTimeout(onTimeout, method === 'generate' ? TIMEOUT_MS.generate : TIMEOUT_MS.others);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#worker.postMessage({ id, method, parameters });
    });
  }

  #settle(answer: Pkcs11Answer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    clearTimeout(waiting?.timer);
    if ('code' in answer) waiting?.reject(new PeerError(answer.code, answer.message));
    else waiting?.resolve(answer.value as never);
  }

  /** What is opened next has a new thread. */
  #ended(why: string): void {
    threads.delete(this.#path);
    for (const id of [...this.#waiting.keys()]) this.#settle({ id, ...unavailable(`${this.#path} has ended: ${why}`) });
  }
}

function unavailable(what: string) {
  return { code: 'ERR_CRYPTO_TOKEN_UNAVAILABLE', message: `The PKCS#11 library ${what}` } as const;
}
