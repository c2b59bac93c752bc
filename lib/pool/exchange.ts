/**
 * One request and its whole answer over a dispatcher, with a deadline.
 *
 * Works below undici's `request`, because a ping is measured in microseconds: no streams, no signal per call.
 */
import type { Dispatcher } from 'undici';
import type { PeerError } from '../errors.ts';

/** The answer, read to the end. */
export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Uint8Array;
}

/** When to give up, and with what. */
export interface Deadline {
  readonly timeoutMs: number;
  /** Made only when it is needed. */
  readonly onTimeout: () => PeerError;
  readonly signal: AbortSignal | undefined;
}

/** Sends and collects. Rejects with undici's errors, the deadline's error or the reason of the signal. */
export function exchange(
  dispatcher: Dispatcher,
  options: Dispatcher.DispatchOptions,
  deadline: Deadline,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const collector = new Collector(resolve, reject, deadline);
    if (deadline.signal?.aborted) return collector.giveUp(deadline.signal.reason);
    dispatcher.dispatch(options, collector);
  });
}

class Collector implements Dispatcher.DispatchHandler {
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (error: unknown) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #onAbort = (): void => this.giveUp(this.#signal?.reason);
  #controller: Dispatcher.DispatchController | undefined;
  #gaveUp: unknown;
  #isSettled = false;
  #status = 0;
  #contentType = '';
  #chunks: Uint8Array[] = [];

  constructor(resolve: (answer: Answer) => void, reject: (error: unknown) => void, deadline: Deadline) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#signal = deadline.signal;
    this.#timer = setTimeout(() => this.giveUp(deadline.onTimeout()), deadline.timeoutMs);
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Ends the call now; a request that still waits for a connection is dropped when its turn comes. */
  giveUp(reason: unknown): void {
    if (this.#isSettled) return;
    this.#settle();
    this.#gaveUp = reason;
    this.#reject(reason);
    this.#controller?.abort(reason as Error);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#gaveUp !== undefined) controller.abort(this.#gaveUp as Error);
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    this.#status = status;
    this.#contentType = String(headers['content-type'] ?? '');
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Uint8Array): void {
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    if (this.#isSettled) return;
    this.#settle();
    const [first] = this.#chunks;
    const body = first !== undefined && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks);
    this.#resolve({ status: this.#status, contentType: this.#contentType, body });
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (this.#isSettled) return;
    this.#settle();
    this.#reject(error);
  }

  #settle(): void {
    this.#isSettled = true;
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }
}
