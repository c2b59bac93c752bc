import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { CertificateData } from '../../../lib/store/certificate-data.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { plannedRow } from './store-child.ts';

const CHILD = fileURLToPath(new URL('store-child.ts', import.meta.url));
const ROUNDS = 4;

describe('SQLite certificate store that is killed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'store-crash-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (let round = 1; round <= ROUNDS; round++) {
    it(`loses nothing it acknowledged and invents nothing, round ${round}`, async () => {
      const file = join(folder, `${round}.sqlite`);
      const child = spawn(process.execPath, [CHILD, file, `seed ${round}`, '8', '1000000']);
      const journal = collect(child);
      while (!journal().includes('stored')) await wait(10);
      await wait(40 * round);
      child.kill('SIGKILL');
      await once(child, 'close');
      const attempted = numbersOf(journal(), 'attempt');
      const acknowledged = numbersOf(journal(), 'stored');
      const final = await everyRow(file);
      const planned = new Map([...attempted].map((n) => [plannedRow(`seed ${round}`, n).fingerprint, n]));
      const kept = new Set(final.map((row) => planned.get(row.fingerprint)));
      assert.ok(acknowledged.size > 0);
      assert.deepEqual(
        [...acknowledged].filter((n) => !kept.has(n)),
        [],
        'lost',
      );
      assert.ok(!kept.has(undefined), 'phantom');
      for (const row of final) {
        assert.deepEqual(row, plannedRow(`seed ${round}`, planned.get(row.fingerprint) ?? -1), 'wrong');
      }
      assert.deepEqual(integrityOf(file), ['ok']);
    });
  }

  const hasStrace = isInstalled('strace');
  (hasStrace ? it : it.skip)(`syncs before it acknowledges${hasStrace ? '' : ' (skipped: no strace)'}`, () => {
    const trace = join(folder, 'trace.txt');
    const child = [CHILD, join(folder, 'traced.sqlite'), 'traced', '1', '25'];
    execFileSync('strace', ['-f', '-e', 'trace=fdatasync,fsync,write', '-o', trace, process.execPath, ...child], {
      stdio: 'ignore',
    });
    let isSynced = false;
    let acknowledged = 0;
    for (const line of readFileSync(trace, 'utf8').split('\n')) {
      if (line.includes('write(1, "attempt')) isSynced = false;
      else if (/f(data)?sync(\(| resumed).*= 0$/.test(line)) isSynced = true;
      else if (line.includes('write(1, "stored')) {
        assert.ok(isSynced, `acknowledgement ${acknowledged} came before its sync`);
        acknowledged += 1;
      }
    }
    assert.equal(acknowledged, 25);
  });
});

function collect({ stdout }: ChildProcess): () => string {
  let text = '';
  stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return () => text;
}

/** Of the lines that say this, the last one possibly cut by the kill. */
function numbersOf(journal: string, word: string): Set<number> {
  return new Set([...journal.matchAll(new RegExp(`^${word} (\\d+)\\n`, 'gm'))].map(([, n]) => Number(n)));
}

async function everyRow(file: string): Promise<readonly CertificateData[]> {
  const store = new WorkerStore({ kind: 'sqlite', file });
  try {
    return await store.list({ limit: 1_000_000 });
  } finally {
    await store.close();
  }
}

function integrityOf(file: string): readonly unknown[] {
  const db = new DatabaseSync(file, { readOnly: true });
  try {
    return db
      .prepare('PRAGMA integrity_check')
      .all()
      .map((row) => row['integrity_check']);
  } finally {
    db.close();
  }
}

function isInstalled(program: string): boolean {
  try {
    execFileSync(program, ['-V'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
