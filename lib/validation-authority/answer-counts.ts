/** Counts the answers to the public. */
import { CRL_PATH } from './store-faces.ts';

/** Flat, for dashboards. All since the server began. */
export interface AnswerNumbers {
  readonly answers: number;
  /** Status 200. */
  readonly found: number;
  /** Of these, the CRLs. */
  readonly crls: number;
  /** 304: the client has it already. */
  readonly notModified: number;
  /** 404. */
  readonly notFound: number;
  /** Other 4xx: a question that makes no sense. */
  readonly refused: number;
  /** 5xx: something is wrong on this side. */
  readonly failed: number;
}

/** Adds up and knows whether there is news. */
export class AnswerCounts {
  readonly #numbers = { answers: 0, found: 0, crls: 0, notModified: 0, notFound: 0, refused: 0, failed: 0 };
  #told = 0;

  /**
   * Counts an answer.
   *
   * @param path of the face that answered; empty = none did
   * @param status HTTP
   */
  add(path: string, status: number): void {
    const kind = kindOf(status);
    this.#numbers.answers += 1;
    this.#numbers[kind] += 1;
    if (kind === 'found' && path === CRL_PATH) this.#numbers.crls += 1;
  }

  numbers(): AnswerNumbers {
    return { ...this.#numbers };
  }

  /** Whether there were answers since `take`. */
  hasNews(): boolean {
    return this.#numbers.answers !== this.#told;
  }

  /** The numbers, which are no news any more. */
  take(): AnswerNumbers {
    this.#told = this.#numbers.answers;
    return this.numbers();
  }
}

function kindOf(status: number): Exclude<keyof AnswerNumbers, 'answers' | 'crls'> {
  if (status === 304) return 'notModified';
  if (status === 404) return 'notFound';
  if (status >= 500) return 'failed';
  return status >= 400 ? 'refused' : 'found';
}
