/**
 * Both ends of a comparison, as bytes: what the outgoing side asks and what the incoming side answers.
 *
 * Runs in the threads of the stores; the event loop only carries the bytes.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { PeerError } from '../errors.ts';
import type { CaScope } from '../x509/ca-scope.ts';
import { CborReader, CborWriter, expectItems } from './cbor.ts';
import { HASH_BYTES, type RangeSums } from './range-sums.ts';
import { type RowFilter, readFilter, writeFilter } from './row-filter.ts';

const FINGERPRINT_BYTES = 20;
/** Rows whose hashes travel in one request. */
const MAX_ROWS_PER_REQUEST = 32_768;
/** Buckets looked at before other calls of the thread get their turn. */
const BUCKETS_PER_TURN = 100;

/** What a comparison needs of a store's engine. */
export interface ComparableEngine {
  /**
   * Sums of a subset; kept ones, or made by an ordered scan.
   *
   * @param within further limits the CAs
   * @param isFresh false where sums of a moment ago will do
   */
  sums(filter: RowFilter, within: CaScope, isFresh: boolean): RangeSums | Promise<RangeSums>;
  /** Fingerprint and hash of each row of a bucket, in fingerprint order. */
  bucketRows(filter: RowFilter, within: CaScope, bucket: number): readonly BucketRow[] | Promise<readonly BucketRow[]>;
}

/** One row as the last step of a comparison sees it. */
export interface BucketRow {
  readonly fingerprint: Uint8Array;
  /** HASH_BYTES of its digest; with the last bit inverted where the certificate is there and matters. */
  readonly hash: Uint8Array;
}

/** Where a comparison starts: which ranges of a level are asked about. */
export interface RangeQuestion {
  readonly filter: RowFilter;
  readonly level: number;
  /** Ranges of the level above; empty on level 0. */
  readonly parents: Uint16Array;
}

/** A question, and how much there is on this side. */
export interface RangeAsked {
  /** [filter, level, parents, hashes] */
  readonly body: Uint8Array<ArrayBuffer>;
  /** Rows of the subset on this side. */
  readonly total: number;
}

/** Makes a question. */
export async function askRanges(engine: ComparableEngine, question: RangeQuestion): Promise<RangeAsked> {
  const { filter, level, parents } = question;
  const sums = await engine.sums(filter, filter.cas, level === 0);
  const writer = new CborWriter();
  writer.array(4);
  writeFilter(writer, filter);
  writer.integer(level);
  writer.bytes(bytesOf(parents));
  writer.bytes(sums.hashes(level, parents));
  return { body: writer.take(), total: sums.total };
}

/** The answer to it: [bits, rows in the subset]. @throws PeerError ERR_MALFORMED_MESSAGE */
export async function answerRanges(
  engine: ComparableEngine,
  body: Uint8Array,
  scope: CaScope,
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = new CborReader(body);
  expectItems(reader, 4);
  const filter = readFilter(reader);
  const level = reader.integer();
  const parents = rangesOf(reader.bytes());
  const hashes = reader.bytes();
  const sums = await engine.sums(filter, scope, level === 0);
  const writer = new CborWriter();
  writer.array(2);
  writer.bytes(sums.compare(level, parents, hashes));
  writer.integer(sums.total);
  return writer.take();
}

/** Reads it. @throws PeerError ERR_MALFORMED_MESSAGE */
export function readRangesAnswer(body: Uint8Array): { readonly bits: Uint8Array; readonly total: number } {
  const reader = new CborReader(body);
  expectItems(reader, 2);
  return { bits: reader.bytes(), total: reader.integer() };
}

/** A question about the rows of some buckets, and what must be kept to understand its answer. */
export interface RowQuestion {
  readonly body: Uint8Array<ArrayBuffer>;
  /** Fingerprints of the rows asked about, in order. */
  readonly fingerprints: Uint8Array<ArrayBuffer>;
  /** How many of the buckets the question is about; the others are for the next one. */
  readonly buckets: number;
}

/** The bytes of a question about rows: [filter, buckets, counts, hashes]. */
export async function askRows(engine: ComparableEngine, filter: RowFilter, buckets: Uint16Array): Promise<RowQuestion> {
  const counts: number[] = [];
  const rows: BucketRow[] = [];
  for (const bucket of buckets) {
    if (rows.length >= MAX_ROWS_PER_REQUEST) break;
    if (counts.length % BUCKETS_PER_TURN === BUCKETS_PER_TURN - 1) await nextTurn();
    const found = await engine.bucketRows(filter, filter.cas, bucket);
    counts.push(found.length);
    rows.push(...found);
  }
  const writer = new CborWriter(64 + rows.length * HASH_BYTES);
  writer.array(4);
  writeFilter(writer, filter);
  writer.bytes(bytesOf(buckets.subarray(0, counts.length)));
  writer.array(counts.length);
  for (const count of counts) writer.integer(count);
  writer.bytes(concat(rows, (row) => row.hash, HASH_BYTES));
  const fingerprints = concat(rows, (row) => row.fingerprint, FINGERPRINT_BYTES);
  return { body: writer.take(), fingerprints, buckets: counts.length };
}

/** The answer to it: [bits of rows that are not there like this, fingerprints of rows that were not asked about]. */
export async function answerRows(
  engine: ComparableEngine,
  body: Uint8Array,
  scope: CaScope,
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = new CborReader(body);
  expectItems(reader, 4);
  const filter = readFilter(reader);
  const buckets = rangesOf(reader.bytes());
  expectItems(reader, buckets.length);
  const counts = Array.from(buckets, () => reader.integer());
  const hashes = reader.bytes();
  const bits = new Uint8Array(Math.ceil(hashes.length / HASH_BYTES / 8));
  const unasked: BucketRow[] = [];
  let row = 0;
  for (const [index, bucket] of buckets.entries()) {
    if (index % BUCKETS_PER_TURN === BUCKETS_PER_TURN - 1) await nextTurn();
    const own = new Map((await engine.bucketRows(filter, scope, bucket)).map((each) => [keyOf(each.hash), each]));
    for (const end = row + (counts[index] ?? 0); row < end; row++) {
      const key = keyOf(hashes.subarray(row * HASH_BYTES, (row + 1) * HASH_BYTES));
      if (!own.delete(key)) bits[row >>> 3] = (bits[row >>> 3] ?? 0) | (0x80 >>> (row & 7));
    }
    unasked.push(...own.values());
  }
  const writer = new CborWriter(64 + bits.length + unasked.length * FINGERPRINT_BYTES);
  writer.array(2);
  writer.bytes(bits);
  writer.bytes(concat(unasked, (each) => each.fingerprint, FINGERPRINT_BYTES));
  return writer.take();
}

/** Reads it. @throws PeerError ERR_MALFORMED_MESSAGE */
export function readRowsAnswer(body: Uint8Array): { readonly bits: Uint8Array; readonly unasked: Uint8Array } {
  const reader = new CborReader(body);
  expectItems(reader, 2);
  return { bits: reader.bytes(), unasked: reader.bytes() };
}

/** 16-bit numbers, big-endian on the wire. */
function bytesOf(ranges: Uint16Array): Uint8Array {
  return Buffer.from(ranges.slice().buffer).swap16();
}

function rangesOf(bytes: Uint8Array): Uint16Array {
  if (bytes.length % 2 !== 0) throw new PeerError('ERR_MALFORMED_MESSAGE', 'The ranges are not 16-bit numbers');
  return new Uint16Array(new Uint8Array(Buffer.from(bytes).swap16()).buffer);
}

/** A hash as a key: two of them are equal when their bytes are. */
function keyOf(hash: Uint8Array): string {
  return Buffer.from(hash.buffer, hash.byteOffset, hash.byteLength).toString('latin1');
}

function concat(
  rows: readonly BucketRow[],
  part: (row: BucketRow) => Uint8Array,
  bytes: number,
): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(rows.length * bytes);
  rows.forEach((row, index) => {
    whole.set(part(row), index * bytes);
  });
  return whole;
}
