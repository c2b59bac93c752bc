/**
 * The sums of a SQLite store: kept current for all rows, made by an ordered scan for a subset.
 *
 * A write marks the buckets it touched in its own transaction; the sums of marked buckets are made anew when
 * somebody asks. So a crash leaves marks, never a wrong sum.
 */

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CaScope } from '../x509/ca-scope.ts';
import type { BucketRow } from './range-comparison.ts';
import { BUCKETS, bucketOf, HASH_BYTES, RangeSums } from './range-sums.ts';
import type { RowFilter } from './row-filter.ts';
import { conditionOf } from './sqlite-filter.ts';

/** Rows and buckets read before other calls get their turn. */
const ROWS_PER_TURN = 20_000;
const BUCKETS_PER_TURN = 1_000;
/** Subsets whose sums are remembered between the steps of a comparison. */
const MAX_REMEMBERED = 4;

const UPPER = 0x1_0000_0000;

interface SumRow {
  readonly fingerprint: Uint8Array;
  readonly digest: Uint8Array;
  readonly hasBody: boolean;
}

/** Text crosses from SQLite more than twice as fast as bytes do. */
const SELECT_SUMMANDS = 'SELECT hex(fingerprint), hex(digest), bodyId IS NOT NULL FROM CertificateData';

function readSummands(statement: StatementSync, ...parameters: readonly Uint8Array[]): readonly SumRow[] {
  const rows = statement.all(...parameters) as unknown as readonly (readonly [string, string, number])[];
  return rows.map(([fingerprint, digest, hasBody]) => ({
    fingerprint: Buffer.from(fingerprint, 'hex'),
    digest: Buffer.from(digest, 'hex'),
    hasBody: hasBody === 1,
  }));
}

/** Sums over one open database. */
export class SqliteSums {
  readonly #db: DatabaseSync;
  readonly #issuers: ReadonlyMap<string, number>;
  readonly #rowsOfBucket: StatementSync;
  readonly #marked: StatementSync;
  readonly #unmark: StatementSync;
  readonly #save: StatementSync;
  #kept: { readonly states: RangeSums; readonly whole: RangeSums } | undefined;
  readonly #remembered = new Map<string, RangeSums>();
  readonly #statements = new Map<string, StatementSync>();
  #lastCondition: { filter: RowFilter; within: CaScope; issuers: number; sql: string } | undefined;

  /** @param issuers issuerId by subject DN, kept current by the store */
  constructor(db: DatabaseSync, issuers: ReadonlyMap<string, number>) {
    this.#db = db;
    this.#issuers = issuers;
    this.#rowsOfBucket = this.#prepared(
      `${SELECT_SUMMANDS} WHERE fingerprint >= ? AND fingerprint < ? ORDER BY fingerprint`,
    );
    this.#marked = db.prepare('SELECT bucket FROM DirtyBucket LIMIT ?');
    this.#unmark = db.prepare('DELETE FROM DirtyBucket WHERE bucket = ?');
    this.#save = db.prepare('INSERT OR REPLACE INTO BucketSum VALUES (?,?,?,?,?,?)');
  }

  /** Sums of a subset, see ComparableEngine. */
  async sums(filter: RowFilter, within: CaScope, isFresh: boolean): Promise<RangeSums> {
    const condition = this.#condition(filter, within);
    if (condition === '') {
      const { states, whole } = await this.#keptSums(isFresh);
      return filter.withCertificate ? whole : states;
    }
    const key = `${filter.withCertificate} ${condition}`;
    const known = this.#remembered.get(key);
    if (known !== undefined && !isFresh) return known;
    const sums = await this.#scan(condition, filter.withCertificate);
    this.#remembered.delete(key);
    this.#remembered.set(key, sums);
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size > MAX_REMEMBERED && oldest !== undefined) this.#remembered.delete(oldest);
    return sums;
  }

  /** Rows of a bucket, see ComparableEngine. */
  bucketRows(filter: RowFilter, within: CaScope, bucket: number): readonly BucketRow[] {
    const condition = this.#condition(filter, within);
    const statement =
      condition === ''
        ? this.#rowsOfBucket
        : this.#prepared(
            `${SELECT_SUMMANDS} WHERE fingerprint >= ? AND fingerprint < ? AND ${condition} ORDER BY fingerprint`,
          );
    const rows = readSummands(statement, ...boundsOf(bucket));
    return rows.map(({ fingerprint, digest, hasBody }) => {
      if (filter.withCertificate && hasBody) digest[HASH_BYTES - 1] = (digest[HASH_BYTES - 1] ?? 0) ^ 1;
      return { fingerprint, hash: digest };
    });
  }

  /** Buckets are asked for by the thousand with the same filter. */
  #condition(filter: RowFilter, within: CaScope): string {
    const last = this.#lastCondition;
    if (last?.filter === filter && last.within === within && last.issuers === this.#issuers.size) return last.sql;
    const sql = conditionOf(filter, within, this.#issuers);
    this.#lastCondition = { filter, within, issuers: this.#issuers.size, sql };
    return sql;
  }

  #prepared(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    if (this.#statements.size > 16) this.#statements.clear();
    const statement = this.#db.prepare(sql);
    statement.setReturnArrays(true);
    this.#statements.set(sql, statement);
    return statement;
  }

  async #scan(condition: string, withCertificate: boolean): Promise<RangeSums> {
    const sums = new RangeSums();
    const statement = this.#prepared(
      `${SELECT_SUMMANDS} WHERE fingerprint > ? AND ${condition} ORDER BY fingerprint LIMIT ${ROWS_PER_TURN}`,
    );
    for (let after: Uint8Array = new Uint8Array(0); ; ) {
      const rows = readSummands(statement, after);
      for (const row of rows) addRow(sums, row, withCertificate);
      const last = rows.at(-1);
      if (last === undefined || rows.length < ROWS_PER_TURN) return sums;
      after = last.fingerprint;
      await nextTurn();
    }
  }

  async #keptSums(isFresh: boolean) {
    // Between the steps of one comparison nothing is made anew, so that the steps fit together.
    while (isFresh && this.#recompute(this.#current())) await nextTurn();
    return this.#current();
  }

  #current() {
    this.#kept ??= this.#load();
    return this.#kept;
  }

  /** Reads the kept sums anew when they are next asked for: another process has written. */
  forget(): void {
    this.#kept = undefined;
  }

  #load() {
    const states = new RangeSums();
    const whole = new RangeSums();
    for (const row of this.#db.prepare('SELECT * FROM BucketSum').iterate()) {
      const [bucket, count, high, low, bodyHigh, bodyLow] = Object.values(row).map(Number) as [
        number,
        number,
        number,
        number,
        number,
        number,
      ];
      states.add(bucket, count, high, low);
      whole.add(bucket, count, high + bodyHigh, low + bodyLow);
    }
    return { states, whole };
  }

  /** Works on some marked buckets; gives whether there may be more. */
  #recompute({ states, whole }: { readonly states: RangeSums; readonly whole: RangeSums }): boolean {
    const marked = this.#marked.all(BUCKETS_PER_TURN).map((row) => Number(row['bucket']));
    if (marked.length === 0) return false;
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      for (const bucket of marked) {
        const sum = sumOf(readSummands(this.#rowsOfBucket, ...boundsOf(bucket)));
        this.#save.run(bucket, sum.count, sum.high, sum.low, sum.bodyHigh, sum.bodyLow);
        this.#unmark.run(bucket);
        states.replace(bucket, sum.count, sum.high, sum.low);
        whole.replace(bucket, sum.count, sum.high + sum.bodyHigh, sum.low + sum.bodyLow);
      }
      this.#db.exec('COMMIT');
    } catch (error) {
      // What was put into memory is not on disk; it is read anew.
      this.#kept = undefined;
      this.#db.exec('ROLLBACK');
      throw error;
    }
    return marked.length === BUCKETS_PER_TURN;
  }
}

function addRow(sums: RangeSums, { fingerprint, digest, hasBody }: SumRow, withCertificate: boolean): void {
  const isBodyCounted = withCertificate && hasBody;
  const high = lane(digest, 0) + (isBodyCounted ? lane(fingerprint, 0) : 0);
  const low = lane(digest, 4) + (isBodyCounted ? lane(fingerprint, 4) : 0);
  sums.add(bucketOf(fingerprint), 1, high, low);
}

function sumOf(rows: readonly SumRow[]) {
  const sum = { count: rows.length, high: 0, low: 0, bodyHigh: 0, bodyLow: 0 };
  for (const { fingerprint, digest, hasBody } of rows) {
    sum.high = (sum.high + lane(digest, 0)) % UPPER;
    sum.low = (sum.low + lane(digest, 4)) % UPPER;
    if (!hasBody) continue;
    sum.bodyHigh = (sum.bodyHigh + lane(fingerprint, 0)) % UPPER;
    sum.bodyLow = (sum.bodyLow + lane(fingerprint, 4)) % UPPER;
  }
  return sum;
}

/** Four bytes as a number. */
function lane(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0
  );
}

/** From the first fingerprint of a bucket to the first of the next; beyond the last one all bytes are 0xff and one more. */
function boundsOf(bucket: number): [Uint8Array, Uint8Array] {
  const next = bucket + 1;
  const upper = next < BUCKETS ? Uint8Array.of(next >>> 8, next & 0xff) : new Uint8Array(21).fill(0xff);
  return [Uint8Array.of(bucket >>> 8, bucket & 0xff), upper];
}
