/**
 * How long to wait before the next try: longer with each failure, and by chance, so that many do not come at once.
 */

/** Bounds of a back-off. */
export interface BackOffLimits {
  /** Milliseconds of the longest first wait. */
  readonly firstMs: number;
  /** Milliseconds that no wait exceeds. */
  readonly maxMs: number;
}

const MIN_WAIT_MS = 20;

/**
 * Milliseconds to wait after so many failures in a row: anything from nearly nothing to a bound that doubles each time.
 *
 * @param failures 1 = the first
 * @param random gives 0 to 1
 */
export function backOff(failures: number, { firstMs, maxMs }: BackOffLimits, random = Math.random): number {
  const bound = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return Math.max(MIN_WAIT_MS, Math.round(random() * bound));
}
