/**
 * An empty VA filled over mTLS, CA and VA in processes of their own, against the sqlite3 program's `.import` of the
 * same number of rows of the same sizes, in the same order, into the same schema.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RowColumns } from '../lib/store/certificate-row.ts';
import { EVERY_ROW } from '../lib/store/row-filter.ts';
import { openSqlite } from '../lib/store/sqlite-schema.ts';
import { WorkerStore } from '../lib/store/worker-store.ts';
import { synchronize } from '../lib/sync/synchronizer.ts';
import { median, printTable, watchLoop } from './statistics.ts';
import { benchRows, benchRowsWithBody, fillStore, startVa } from './sync-peers.ts';

const ROUNDS = 5;
const ROWS = 1_000_000;
const ROWS_WITH_BODY = 200_000;
const FEW_ROWS = 100_000;
const MANY_ROWS = 5_000_000;
const loop = watchLoop();
loop.pause();

interface Filled {
  readonly rate: number;
  readonly bytesPerRow: number;
  readonly vaMemoryMb: number;
  readonly caMemoryMb: number;
  readonly vaLoopMs: number;
}

export async function run(): Promise<Record<string, number>> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-sync-full-'));
  const bare = await compare(folder, 'bare', () => benchRows(ROWS), ROWS);
  const full = await compare(folder, 'full', () => benchRowsWithBody(ROWS_WITH_BODY), ROWS_WITH_BODY);
  const few = await memoryOf(folder, FEW_ROWS);
  const many = await memoryOf(folder, MANY_ROWS);
  rmSync(folder, { recursive: true });
  const growth = Math.max(many.vaMemoryMb - few.vaMemoryMb, many.caMemoryMb - few.caMemoryMb);
  console.log(`${ROUNDS} alternating rounds after a warm-up; synchronous FULL on both sides of the sync`);
  printTable(
    ['what', 'rows/s', '.import rows/s', 'ratio', 'bytes/row', 'rounds'],
    [
      ['1,000,000 rows without body', bare.rate, bare.importRate, bare.ratio, bare.bytesPerRow, bare.rounds],
      ['200,000 rows with 1.2 KB body', full.rate, full.importRate, full.ratio, full.bytesPerRow, full.rounds],
    ],
  );
  printTable(
    ['memory after', 'VA MB', 'CA MB'],
    [
      ['100,000 rows', few.vaMemoryMb, few.caMemoryMb],
      ['5,000,000 rows', many.vaMemoryMb, many.caMemoryMb],
    ],
  );
  const vaLoopMs = Math.max(bare.vaLoopMs, full.vaLoopMs, many.vaLoopMs);
  printTable(
    ['event loop', 'longest delay ms'],
    [
      ['CA side', loop.maxMs()],
      ['VA side', vaLoopMs],
    ],
  );
  return {
    rate: bare.rate,
    rateVsImport: bare.ratio,
    rateWithBody: full.rate,
    rateWithBodyVsImport: full.ratio,
    bytesPerRow: bare.bytesPerRow,
    memoryGrowthMb: growth,
    loopDelayMaxMs: vaLoopMs,
  };
}

async function compare(folder: string, name: string, makeRows: () => Iterable<RowColumns>, count: number) {
  const ca = new WorkerStore({ kind: 'sqlite', file: join(folder, `${name}-ca.sqlite`) });
  await fillStore(ca, makeRows());
  const csv = await writeCsv(folder, makeRows());
  const filled: Filled[] = [];
  const imported: number[] = [];
  for (let round = -1; round < ROUNDS; round++) {
    const one = await fill(folder, ca, count);
    const rate = importCsv(folder, csv, count);
    if (round < 0) continue;
    filled.push(one);
    imported.push(rate);
  }
  await ca.close();
  return {
    rate: median(filled.map((one) => one.rate)),
    importRate: median(imported),
    ratio: median(filled.map((one, round) => one.rate / (imported[round] ?? Number.NaN))),
    bytesPerRow: median(filled.map((one) => one.bytesPerRow)),
    vaLoopMs: Math.max(...filled.map((one) => one.vaLoopMs)),
    rounds: filled
      .map((one, round) => `${Math.round(one.rate / 1_000)}k/${Math.round((imported[round] ?? 0) / 1_000)}k`)
      .join(' '),
  };
}

async function fill(folder: string, source: WorkerStore, count: number): Promise<Filled> {
  const file = join(folder, 'va.sqlite');
  removeStore(file);
  const { client, stop } = await startVa(file);
  const task = { source, client, filter: EVERY_ROW, isDryRun: false, maxRowsPerSecond: 0, batchRows: 0 };
  loop.resume();
  const begun = performance.now();
  const { progress } = await synchronize(task, new AbortController().signal, () => undefined);
  const seconds = (performance.now() - begun) / 1_000;
  loop.pause();
  const { total, memoryGrowthMb, loopDelayMaxMs } = await stop();
  if (total !== count) throw new Error(`${total} rows arrived, not ${count}`);
  return {
    rate: count / seconds,
    bytesPerRow: progress.pushedBytes / count,
    vaMemoryMb: memoryGrowthMb,
    caMemoryMb: process.memoryUsage.rss() / 1e6,
    vaLoopMs: loopDelayMaxMs,
  };
}

async function memoryOf(folder: string, count: number): Promise<Filled> {
  const file = join(folder, `memory-${count}.sqlite`);
  const ca = new WorkerStore({ kind: 'sqlite', file });
  await fillStore(ca, benchRows(count));
  const filled = await fill(folder, ca, count);
  await ca.close();
  removeStore(file);
  return filled;
}

/** The rows as CSV files for the two tables. `.import` knows no bytes, so each byte string is a text of its length. */
async function writeCsv(folder: string, rows: Iterable<RowColumns>) {
  const [stateFile, bodyFile] = [join(folder, 'state.csv'), join(folder, 'body.csv')];
  const [states, bodies] = [createWriteStream(stateFile), createWriteStream(bodyFile)];
  const columns = tableColumns(folder);
  let bodyId = 0;
  for (const row of rows) {
    const values: Record<string, unknown> = {
      ...row,
      issuerId: 1,
      fingerprint: Buffer.from(row.fingerprint).toString('hex', 0, 10),
      serialNumber: asText(row.serialNumber),
      cAFingerprint: asText(row.caFingerprint),
      subjectKeyId: asText(row.subjectKeyId),
      digest: asText(row.fingerprint.subarray(0, 8)),
      bodyId: row.certificate === null ? '' : ++bodyId,
    };
    const line = columns.map((column) => `"${values[column] ?? ''}"`).join();
    if (!states.write(`${line}\n`)) await once(states, 'drain');
    if (row.certificate !== null && !bodies.write(`${bodyId},${asText(row.certificate)}\n`))
      await once(bodies, 'drain');
  }
  await Promise.all([once(states.end(), 'close'), once(bodies.end(), 'close')]);
  return { stateFile, bodyFile, hasBodies: bodyId > 0 };
}

function tableColumns(folder: string): string[] {
  const db = openSqlite(join(folder, 'columns.sqlite'));
  const columns = db.prepare("SELECT name FROM pragma_table_info('CertificateData') ORDER BY cid").all();
  db.close();
  return columns.map((column) => String(column['name']));
}

function asText(bytes: Uint8Array | null): string {
  return bytes === null ? '' : Buffer.from(bytes).toString('base64').slice(0, bytes.length);
}

function importCsv(
  folder: string,
  csv: { stateFile: string; bodyFile: string; hasBodies: boolean },
  count: number,
): number {
  const file = join(folder, 'import.sqlite');
  removeStore(file);
  openSqlite(file).close();
  const bodies = csv.hasBodies ? `.import ${csv.bodyFile} CertificateBody\n` : '';
  const input = `PRAGMA foreign_keys=OFF;\nPRAGMA cache_size=-65536;\n.mode csv\n.import ${csv.stateFile} CertificateData\n${bodies}`;
  const begun = performance.now();
  execFileSync('sqlite3', [file], { input, stdio: ['pipe', 'ignore', 'inherit'] });
  return count / ((performance.now() - begun) / 1_000);
}

function removeStore(file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${file}${suffix}`, { force: true });
}
