/** Counts the answers to the public. */

/** Flat, for dashboards. All since the server began. */
export interface AnswerNumbers {
  readonly answers: number;
  /** Status 200. */
  readonly found: number;
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
  readonly #numbers = { answers: 0, found: 0, notModified: 0, notFound: 0, refused: 0, failed: 0 };
  #told = 0;

  /** @param status HTTP status of an answer */
  add(status: number): void {
    this.#numbers.answers += 1;
    this.#numbers[kindOf(status)] += 1;
  }

  /** Whether there were answers since `take`. */
  hasNews(): boolean {
    return this.#numbers.answers !== this.#told;
  }

  take(): AnswerNumbers {
    this.#told = this.#numbers.answers;
    return this.numbers();
  }

  /** The same, and they stay news. */
  numbers(): AnswerNumbers {
    return { ...this.#numbers };
  }
}

function kindOf(status: number): Exclude<keyof AnswerNumbers, 'answers'> {
  if (status === 304) return 'notModified';
  if (status === 404) return 'notFound';
  if (status >= 500) return 'failed';
  return status >= 400 ? 'refused' : 'found';
}
