/**
 * Medians, tables and the delay of the event loop.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Prints rows under their headings, columns aligned. */
export function printTable(headings: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const text = [headings, ...rows].map((row) => row.map((cell) => (typeof cell === 'number' ? format(cell) : cell)));
  const widths = headings.map((_, column) => Math.max(...text.map((row) => row[column]?.length ?? 0)));
  for (const row of text) console.log(row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
}

function format(value: number): string {
  return value >= 1_000 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(4)));
}

/** Watches how long the event loop is held; milliseconds above the sampling interval. */
export function watchLoop() {
  const resolution = 5;
  let histogram = monitorEventLoopDelay({ resolution });
  let maxNs = 0;
  histogram.enable();
  return {
    maxMs: (): number => Math.max(0, Math.max(maxNs, histogram.max) / 1e6 - resolution),
    /** Looks away, while the benchmark itself prepares something. */
    pause: (): void => {
      maxNs = Math.max(maxNs, histogram.max);
      histogram.disable();
    },
    resume: (): void => {
      // The same one would take the pause for a delay.
      histogram = monitorEventLoopDelay({ resolution });
      histogram.enable();
    },
  };
}
