/**
 * Waiting for something to show up in what others collect.
 */

/** What is waited for. */
export interface Wish<T> {
  /** undefined = not yet. May throw to give up. */
  readonly look: () => T | undefined;
  /** For the error message. */
  readonly what: string;
  readonly timeoutMs: number;
  /** What was seen instead. */
  readonly context?: () => string;
}

const INTERVAL_MS = 10;

/** Looks again and again; fails with what was waited for and what was seen instead. */
export function waitFor<T>({ look, what, timeoutMs, context = () => '' }: Wish<T>): Promise<T> {
  // Made here, so that its stack names who waited.
  const failure = new Error();
  return new Promise<T>((resolve, reject) => {
    const end = performance.now() + timeoutMs;
    const fail = (reason: string): void => {
      failure.message = `${reason}\n${context()}`;
      reject(failure);
    };
    const check = (): void => {
      try {
        const found = look();
        if (found !== undefined) return resolve(found);
      } catch (error) {
        return fail((error as Error).message);
      }
      if (performance.now() >= end) return fail(`Waited ${timeoutMs} ms in vain for ${what}`);
      setTimeout(check, INTERVAL_MS);
    };
    check();
  });
}
