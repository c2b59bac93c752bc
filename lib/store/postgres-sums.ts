/**
 * The sums of a PostgreSQL store: kept current for all rows, made by an ordered scan for a subset.
 *
 * A write marks the buckets it touched in its own transaction; the sums of marked buckets are made anew when somebody
 * asks, by one instance at a time, while nobody writes. Every sum that is made anew gets a higher version than all
 * before it, so that each instance reads what has changed since it last looked.
 */
import type { CaScope } from '../x509/ca-scope.ts';
import type { PostgresConnection } from './postgres-connection.ts';
import { conditionOf, type Issuers, readIssuers } from './postgres-filter.ts';
import { bytesOf } from './postgres-row.ts';
import { storeLock } from './postgres-schema.ts';
import type { PostgresSession } from './postgres-session.ts';
import type { BucketRow } from './range-comparison.ts';
import { BUCKETS, bucketOf, HASH_BYTES, RangeSums } from './range-sums.ts';
import type { RowFilter } from './row-filter.ts';

/** Buckets made anew in one transaction, during which nobody writes. */
const BUCKETS_PER_TURN = 512;
/** Buckets of one statement of a scan. */
const BUCKETS_PER_SCAN = 1_024;
/** Most buckets whose rows are read before they are asked for. */
const MAX_BUCKETS_AHEAD = 64;
/** Subsets whose sums are remembered between the steps of a comparison. */
const MAX_REMEMBERED = 4;
/** While others write there are always marked buckets; those of the beginning are done by then. */
const MAX_TURNS = Math.ceil(BUCKETS / BUCKETS_PER_TURN);

/** Four bytes as a number. */
const lane = (column: string, at: number): string =>
  `(get_byte(${column}, ${at})::BIGINT * 16777216 + get_byte(${column}, ${at + 1}) * 65536 + ` +
  `get_byte(${column}, ${at + 2}) * 256 + get_byte(${column}, ${at + 3}))`;
const sum = (column: string, at: number, condition = 'TRUE'): string =>
  `coalesce(mod(sum(${lane(column, at)}) FILTER (WHERE ${condition}), 4294967296), 0)::BIGINT`;

const HAS_BODY = 'bodyId IS NOT NULL';
/** count, high, low, bodyHigh, bodyLow */
const SUMS =
  `count(*), ${sum('digest', 0)}, ${sum('digest', 4)}, ` +
  `${sum('fingerprint', 0, HAS_BODY)}, ${sum('fingerprint', 4, HAS_BODY)}`;
const IN_RANGE = 'fingerprint >= $1 AND fingerprint < $2';

const UNMARK = `
  DELETE FROM DirtyBucket WHERE bucket IN (SELECT DISTINCT bucket FROM DirtyBucket ORDER BY bucket LIMIT ${BUCKETS_PER_TURN})
  RETURNING bucket
`;
const RECOMPUTE = `
  INSERT INTO BucketSum (bucket, version, count, high, low, bodyHigh, bodyLow)
  SELECT marked.bucket, nextval('BucketSumVersion'), made.*
  FROM unnest($1::INTEGER[], $2::BYTEA[], $3::BYTEA[]) AS marked (bucket, lower, upper) CROSS JOIN LATERAL (
    SELECT ${SUMS} FROM CertificateData WHERE fingerprint >= lower AND fingerprint < upper
  ) AS made
  ON CONFLICT (bucket) DO UPDATE SET version = excluded.version, count = excluded.count,
    high = excluded.high, low = excluded.low, bodyHigh = excluded.bodyHigh, bodyLow = excluded.bodyLow
`;

type SumRow = readonly [bucket: number, count: number, high: number, low: number, bodyHigh: number, bodyLow: number];

interface Kept {
  readonly session: PostgresSession;
  readonly states: RangeSums;
  readonly whole: RangeSums;
  version: number;
}

/** Rows of some buckets, for one call: its filter and scope are objects of its own. */
interface Ahead {
  readonly filter: RowFilter;
  readonly within: CaScope;
  /** Behind the last of the buckets. */
  readonly end: number;
  readonly rows: ReadonlyMap<number, readonly BucketRow[]>;
}

/** Sums over one database. */
export class PostgresSums {
  readonly #reading: PostgresConnection;
  readonly #writing: PostgresConnection;
  readonly #remembered = new Map<string, RangeSums>();
  #kept: Kept | undefined;
  #issuers: Issuers | undefined;
  #ahead: Ahead | undefined;

  constructor(reading: PostgresConnection, writing: PostgresConnection) {
    this.#reading = reading;
    this.#writing = writing;
  }

  /** Sums of a subset, see ComparableEngine. */
  async sums(filter: RowFilter, within: CaScope, isFresh: boolean): Promise<RangeSums> {
    if (isFresh || this.#issuers === undefined) this.#issuers = await this.#reading.use(readIssuers);
    const condition = conditionOf(filter, within, this.#issuers, true);
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
  async bucketRows(filter: RowFilter, within: CaScope, bucket: number): Promise<readonly BucketRow[]> {
    // Those of the beginning of the comparison: buckets are asked for by the thousand.
    this.#issuers ??= await this.#reading.use(readIssuers);
    const former = this.#ahead?.filter === filter && this.#ahead.within === within ? this.#ahead : undefined;
    const known = former?.rows.get(bucket);
    if (known !== undefined) return known;
    // Buckets that differ lie side by side when much does: who goes on where the last ones ended gets more at a time.
    const count = former?.end === bucket ? Math.min(former.rows.size * 2, MAX_BUCKETS_AHEAD) : 1;
    const end = Math.min(bucket + count, BUCKETS);
    const condition = conditionOf(filter, within, this.#issuers, false);
    const rows = await this.#readBuckets(condition, { first: bucket, end, withCertificate: filter.withCertificate });
    this.#ahead = { filter, within, end, rows };
    return rows.get(bucket) ?? [];
  }

  async #readBuckets(
    condition: string,
    {
      first,
      end,
      withCertificate,
    }: { readonly first: number; readonly end: number; readonly withCertificate: boolean },
  ): Promise<ReadonlyMap<number, readonly BucketRow[]>> {
    const sql =
      `SELECT fingerprint, digest, ${HAS_BODY} FROM CertificateData WHERE ${IN_RANGE} ` +
      `${condition && `AND ${condition}`} ORDER BY fingerprint`;
    const rows = await this.#reading.use((session) => session.query(sql, [startOf(first), startOf(end)]));
    const byBucket = new Map<number, BucketRow[]>();
    for (let bucket = first; bucket < end; bucket++) byBucket.set(bucket, []);
    for (const [name, digest, hasBody] of rows) {
      const fingerprint = bytesOf(name);
      const hash = bytesOf(digest);
      if (withCertificate && hasBody === true) hash[HASH_BYTES - 1] = (hash[HASH_BYTES - 1] ?? 0) ^ 1;
      byBucket.get(bucketOf(fingerprint))?.push({ fingerprint, hash });
    }
    return byBucket;
  }

  /** One pass in pieces, other reads in between. */
  async #scan(condition: string, withCertificate: boolean): Promise<RangeSums> {
    const sums = new RangeSums();
    const bucket = 'get_byte(fingerprint, 0) * 256 + get_byte(fingerprint, 1)';
    const sql = `SELECT ${bucket}, ${SUMS} FROM CertificateData WHERE ${IN_RANGE} AND ${condition} GROUP BY 1`;
    for (let first = 0; first < BUCKETS; first += BUCKETS_PER_SCAN) {
      const bounds = [startOf(first), startOf(first + BUCKETS_PER_SCAN)];
      const rows = await this.#reading.use((session) => session.query(sql, bounds));
      for (const [of, count, high, low, bodyHigh, bodyLow] of rows as unknown as readonly SumRow[]) {
        sums.add(of, count, high + (withCertificate ? bodyHigh : 0), low + (withCertificate ? bodyLow : 0));
      }
    }
    return sums;
  }

  /** Between the steps of one comparison nothing is made anew, so that the steps fit together. */
  async #keptSums(isFresh: boolean): Promise<Kept> {
    if (!isFresh && this.#kept !== undefined) return this.#kept;
    for (let turn = 0; turn < MAX_TURNS && (await this.#isAnyMarked()); turn++) await this.#recompute();
    return this.#reading.use((session) => this.#readKept(session));
  }

  async #isAnyMarked(): Promise<boolean> {
    const rows = await this.#reading.use((session) => session.query('SELECT FROM DirtyBucket LIMIT 1'));
    return rows.length > 0;
  }

  #recompute(): Promise<void> {
    return this.#writing.repeat((session) =>
      session.transact(async () => {
        const marked = new Set((await session.query(UNMARK)).map(([bucket]) => bucket as number));
        const buckets = [...marked].sort((a, b) => a - b);
        await session.query(RECOMPUTE, [buckets, buckets.map(startOf), buckets.map((bucket) => startOf(bucket + 1))]);
      }, storeLock('alone')),
    );
  }

  /** Versions are given and committed one after the other, so nothing below the highest one comes later. */
  async #readKept(session: PostgresSession): Promise<Kept> {
    // Behind a new session there may be a database that was restored.
    const isKept = this.#kept?.session === session;
    const kept = isKept && this.#kept ? this.#kept : newKept(session);
    const sql = 'SELECT bucket, count, high, low, bodyHigh, bodyLow, version FROM BucketSum WHERE version > $1';
    const rows = await session.query(sql, [kept.version]);
    for (const row of rows) {
      const [bucket, count, high, low, bodyHigh, bodyLow] = row as unknown as SumRow;
      kept.states.replace(bucket, count, high, low);
      kept.whole.replace(bucket, count, high + bodyHigh, low + bodyLow);
      kept.version = Math.max(kept.version, row[6] as number);
    }
    this.#kept = kept;
    return kept;
  }
}

function newKept(session: PostgresSession): Kept {
  return { session, states: new RangeSums(), whole: new RangeSums(), version: 0 };
}

/** The first fingerprint of a bucket; beyond the last bucket all bytes are 0xff and one more. */
function startOf(bucket: number): Uint8Array {
  return bucket < BUCKETS ? Uint8Array.of(bucket >>> 8, bucket & 0xff) : new Uint8Array(21).fill(0xff);
}
