/**
 * Executes RA requests, each at most once: an id that comes again is given the outcome of the first time.
 */
import { PeerError, type PeerErrorCode, toPeerError } from '../errors.ts';
import {
  RA_CONTENT_BYTES,
  type RaAnswer,
  type RaFailure,
  type RaOutcome,
  type RaRequest,
} from '../protocol/ra-messages.ts';
import { type KeepOptions, KeptOutcomes } from './kept-outcomes.ts';
import { digestOf } from './ra-entry.ts';
import type { RaRights } from './ra-rights.ts';
import { WorkerStatistics } from './worker-statistics.ts';

/** A request that is allowed, with what its handler may know. */
export interface RaTask {
  readonly request: RaRequest;
  readonly rights: RaRights;
  /** Epoch milliseconds on the clock of this side; an answer after it is too late. */
  readonly deadlineAt: number;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** Works on a request. What it throws is told to who asked, by its code. */
export type RaHandler = (task: RaTask) => Promise<RaAnswer>;

/** What an execution needs. */
export interface RaExecutionOptions extends KeepOptions {
  /** @throws PeerError when the request is not allowed */
  readonly rightsOf: (request: RaRequest) => RaRights;
  readonly handle: RaHandler;
  /** Largest content of an answer. Default 1 MB. */
  readonly maxContentBytes?: number;
}

/** Time that the answer has for its way, milliseconds; no more than a tenth of what remains. */
const MARGIN_MS = 250;
/** Longest time for one request. */
const MAX_DEADLINE_MS = 3_600_000;

/** Everything that one RA has this CA execute. */
export class RaExecution {
  readonly statistics = new WorkerStatistics();
  readonly #options: RaExecutionOptions;
  readonly #outcomes: KeptOutcomes;
  readonly #running = new Map<string, { readonly digest: string; readonly outcome: Promise<RaOutcome> }>();
  readonly #stopping = new AbortController();

  constructor(options: RaExecutionOptions) {
    this.#options = options;
    this.#outcomes = new KeptOutcomes(options);
  }

  /** Requests that are being worked on. */
  get running(): number {
    return this.#running.size;
  }

  /** The outcome of a request, now or from before; never fails. */
  execute(request: RaRequest): Promise<RaOutcome> {
    const digest = digestOf(request);
    const before = this.#running.get(request.id) ?? this.#outcomes.get(request.id);
    if (before !== undefined) return this.#again(request, digest, before);
    const outcome = this.#first(request).then((settled) => {
      this.#running.delete(request.id);
      this.#outcomes.put(request.id, digest, settled);
      return settled;
    });
    this.#running.set(request.id, { digest, outcome });
    return outcome;
  }

  /** Ends all that runs, by name. */
  stop(): void {
    this.#stopping.abort(new PeerError('ERR_RA_CA_LOST', 'The CA was stopped while it worked on the request'));
  }

  async #again(
    { id }: RaRequest,
    digest: string,
    before: { readonly digest: string; readonly outcome: RaOutcome | Promise<RaOutcome> },
  ): Promise<RaOutcome> {
    if (before.digest !== digest) {
      return failed('ERR_INVALID_INPUT', `Another request was executed under the id "${id}" before`);
    }
    this.statistics.count('repeated');
    return before.outcome;
  }

  async #first(request: RaRequest): Promise<RaOutcome> {
    try {
      const rights = this.#options.rightsOf(request);
      const answer = await this.#handle(request, rights);
      const bytes = answer.content.body.length;
      const most = this.#options.maxContentBytes ?? RA_CONTENT_BYTES;
      if (bytes > most) throw new PeerError('ERR_TOO_LARGE', `The answer has ${bytes} bytes, more than ${most}`);
      this.statistics.count('answered');
      return { answer };
    } catch (error) {
      const { code, message } = toPeerError(error);
      this.statistics.count(code === 'ERR_NOT_AUTHORIZED' || code === 'ERR_NOT_AUTHENTICATED' ? 'refused' : 'failed');
      return failed(code, message);
    }
  }

  /** The handler, until its deadline or the end of this side. */
  #handle(request: RaRequest, rights: RaRights): Promise<RaAnswer> {
    return new Promise((resolve, reject) => {
      const stopping = this.#stopping.signal;
      const remainingMs = Math.min(request.remainingMs, MAX_DEADLINE_MS);
      if (stopping.aborted) return reject(stopping.reason);
      if (remainingMs === 0) return reject(noAnswer(0));
      const timeMs = remainingMs - Math.min(MARGIN_MS, remainingMs / 10);
      const ending = new AbortController();
      const settle = (finish: () => void): void => {
        clearTimeout(timer);
        stopping.removeEventListener('abort', onStop);
        finish();
      };
      const giveUp = (error: unknown): void =>
        settle(() => {
          reject(error);
          ending.abort(error);
        });
      const onStop = (): void => giveUp(stopping.reason);
      const timer = setTimeout(() => giveUp(noAnswer(timeMs)), timeMs);
      stopping.addEventListener('abort', onStop, { once: true });
      const task = { request, rights, deadlineAt: Date.now() + timeMs, signal: ending.signal };
      this.#options.handle(task).then(
        (answer) => settle(() => resolve(answer)),
        (error) => settle(() => reject(error)),
      );
    });
  }
}

function noAnswer(timeMs: number): PeerError {
  return new PeerError('ERR_RA_NO_ANSWER', `The flow of the CA gave no answer within ${Math.round(timeMs)} ms`);
}

function failed(code: PeerErrorCode, detail: string): { readonly failure: RaFailure } {
  return { failure: { code, detail } };
}
