/**
 * What a comparison costs when nothing, 100 or 10,000 rows differ, at 10^4, 10^5 and 10^6 rows on both sides,
 * against sending all (fingerprint, state) pairs.
 */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EVERY_ROW } from '../lib/store/row-filter.ts';
import { WorkerStore } from '../lib/store/worker-store.ts';
import type { SyncProgress } from '../lib/sync/sync-progress.ts';
import { synchronize } from '../lib/sync/synchronizer.ts';
import { median, printTable, watchLoop } from './statistics.ts';
import { benchRow, benchRows, fillStore, startVa } from './sync-peers.ts';

const SIZES = [10_000, 100_000, 1_000_000];
const DIFFERENCES = [0, 100, 10_000];
const ROUNDS = 5;
/** 20 bytes of fingerprint and 8 of state. */
const PAIR_BYTES = 28;
const loop = watchLoop();
loop.pause();

interface Measured {
  readonly rows: number;
  readonly differing: number;
  readonly bytes: number;
  readonly roundTrips: number;
  readonly ms: number;
}

export async function run(): Promise<Record<string, number>> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-sync-diff-'));
  const measured: Measured[] = [];
  for (const rows of SIZES)
    for (const differing of DIFFERENCES) if (differing < rows) measured.push(await measure(folder, rows, differing));
  rmSync(folder, { recursive: true });
  console.log(
    `medians of ${ROUNDS} rounds after a warm-up; bytes of bodies both ways; a dry run, so that nothing changes`,
  );
  printTable(
    ['rows', 'differing', 'bytes', 'of all pairs', 'round trips', 'ms'],
    measured.map(({ rows, differing, bytes, roundTrips, ms }) => [
      rows,
      differing,
      bytes,
      `${((bytes / (rows * PAIR_BYTES)) * 100).toFixed(3)} %`,
      roundTrips,
      ms,
    ]),
  );
  const at = (rows: number, differing: number): Measured =>
    measured.find((each) => each.rows === rows && each.differing === differing) as Measured;
  const million = 1_000_000;
  return {
    equalBytes: at(million, 0).bytes,
    equalRoundTrips: at(million, 0).roundTrips,
    equalMs: at(million, 0).ms,
    d100Bytes: at(million, 100).bytes,
    d100Ms: at(million, 100).ms,
    d10000Ms: at(million, 10_000).ms,
    d10000BytesVsAllPairs: at(million, 10_000).bytes / (million * PAIR_BYTES),
    growthBytes100: at(million, 100).bytes / at(10_000, 100).bytes,
    growthMs100: at(million, 100).ms / at(10_000, 100).ms,
    growthMsEqual: at(million, 0).ms / at(10_000, 0).ms,
    loopDelayMaxMs: loop.maxMs(),
  };
}

async function measure(folder: string, rows: number, differing: number): Promise<Measured> {
  const [caFile, vaFile] = [
    join(folder, `ca-${rows}-${differing}.sqlite`),
    join(folder, `va-${rows}-${differing}.sqlite`),
  ];
  const ca = new WorkerStore({ kind: 'sqlite', file: caFile });
  const all = [...benchRows(rows)];
  await fillStore(ca, all);
  // Everything into the main file, so that a copy of it is a copy of the store.
  await ca.close();
  copyFileSync(caFile, vaFile);
  const again = new WorkerStore({ kind: 'sqlite', file: caFile });
  // Four of five differences are newer states, the others rows that the VA does not have.
  const step = Math.floor(rows / Math.max(1, differing));
  const changes = Array.from({ length: differing }, (_, index) => {
    const row = all[index * step] as ReturnType<typeof benchRow>;
    return index % 5 === 4
      ? benchRow(rows + index, Math.random())
      : { ...row, status: 40, revocationReason: 1, revocationDate: row.updateTime, updateTime: row.updateTime + 1 };
  });
  await fillStore(again, changes);
  const { client, stop } = await startVa(vaFile);
  loop.resume();
  const task = { source: again, client, filter: EVERY_ROW, isDryRun: true, maxRowsPerSecond: 0, batchRows: 0 };
  const progresses: SyncProgress[] = [];
  const times: number[] = [];
  for (let round = -2; round < ROUNDS; round++) {
    const begun = performance.now();
    const { progress } = await synchronize(task, new AbortController().signal, () => undefined);
    if (progress.missing + progress.outdated !== differing)
      throw new Error(`${progress.missing + progress.outdated} differences found, not ${differing}`);
    if (round < 0) continue;
    times.push(performance.now() - begun);
    progresses.push(progress);
  }
  loop.pause();
  await stop();
  await again.close();
  const [progress] = progresses;
  return {
    rows,
    differing,
    bytes: progress?.comparedBytes ?? 0,
    roundTrips: progress?.roundTrips ?? 0,
    ms: median(times),
  };
}
