/**
 * One request at the RA from when it is asked until its outcome is kept.
 */
import { createHash } from 'node:crypto';
import { PeerError } from '../errors.ts';
import { parseRequestDetails } from '../protocol/ra-details.ts';
import type { RaAnswer, RaOutcome, RaRequest } from '../protocol/ra-messages.ts';

/** A request as somebody at the RA asks it. */
export interface RaQuestion extends Omit<RaRequest, 'id' | 'ticket' | 'remainingMs'> {
  /** The same id again joins the first, or is given its outcome; undefined = a new one. */
  readonly id?: string;
  /** Milliseconds until an answer or an error is wanted. */
  readonly deadlineMs: number;
  /** 0 to 9; 9 goes first. Default 5. */
  readonly priority?: number;
  /** May be given to another CA when the first is gone, although it may have been carried out. Default false. */
  readonly isRepeatable?: boolean;
}

/** The same for the same question: type, who asks, and content. */
export function digestOf({ type, administrator, http, content }: Omit<RaQuestion, 'deadlineMs'>): string {
  const hash = createHash('sha256').update(JSON.stringify([type, content.kind, administrator, http]));
  return hash.update('\0').update(content.body).digest('base64');
}

/** What the CA would not read is told to who asks. @throws PeerError ERR_INVALID_INPUT */
export function checkDetails({ administrator, http }: Pick<RaQuestion, 'administrator' | 'http'>): void {
  if (administrator === undefined && http === undefined) return;
  try {
    parseRequestDetails(JSON.stringify({ administrator, http }));
  } catch (cause) {
    const detail = `The administrator or the HTTP request cannot be sent: ${(cause as Error).message}`;
    throw new PeerError('ERR_INVALID_INPUT', detail, { cause });
  }
}

/** Somebody who waits for the outcome. */
interface Asker {
  readonly resolve: (answer: RaAnswer) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: NodeJS.Timeout;
}

/** A request that has no outcome yet. */
export class RaEntry {
  readonly id: string;
  readonly question: RaQuestion;
  readonly digest: string;
  readonly ticket: string;
  /** Order of arrival. */
  readonly number: number;
  readonly askedAt: number;
  /** Epoch milliseconds; the latest of all who ask. */
  deadlineAt = 0;
  /** Instances it was handed to; empty = it waits, and nobody has begun it. */
  readonly handedTo = new Set<string>();
  readonly #askers = new Set<Asker>();

  constructor(id: string, question: RaQuestion, arrival: Pick<RaEntry, 'number' | 'askedAt' | 'ticket'>) {
    this.id = id;
    this.question = question;
    this.digest = digestOf(question);
    this.ticket = arrival.ticket;
    this.number = arrival.number;
    this.askedAt = arrival.askedAt;
  }

  get priority(): number {
    return this.question.priority ?? 5;
  }

  get isAwaited(): boolean {
    return this.#askers.size > 0;
  }

  /**
   * Waits for the outcome.
   *
   * @param deadline what ends the wait, and with which error
   */
  wait(deadline: { readonly ms: number; readonly onPassed: () => PeerError }, signal?: AbortSignal): Promise<RaAnswer> {
    return new Promise((resolve, reject) => {
      const leave = (error: unknown): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#askers.delete(asker);
        reject(error);
      };
      const onAbort = (): void => leave(signal?.reason);
      const timer = setTimeout(() => {
        this.#askers.delete(asker);
        leave(deadline.onPassed());
      }, deadline.ms);
      const asker: Asker = {
        resolve: (answer) => {
          signal?.removeEventListener('abort', onAbort);
          resolve(answer);
        },
        reject: leave,
        timer,
      };
      this.#askers.add(asker);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Tells all who wait. */
  settle(outcome: RaOutcome): void {
    for (const asker of [...this.#askers]) {
      clearTimeout(asker.timer);
      this.#askers.delete(asker);
      if ('answer' in outcome) asker.resolve(outcome.answer);
      else asker.reject(new PeerError(outcome.failure.code, outcome.failure.detail));
    }
  }
}
