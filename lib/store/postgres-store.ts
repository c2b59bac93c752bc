/**
 * PostgreSQL as an own certificate store.
 *
 * Two connections, so that reads do not wait behind writes: one writes, the other one reads.
 */
import { hash } from 'node:crypto';
import type { CaScope } from '../x509/ca-scope.ts';
import { integerFromDecimal } from '../x509/serial-number.ts';
import { CborWriter } from './cbor.ts';
import { type CertificateQuestion, MAX_SAME_SERIAL, type StatusesOf } from './certificate-status.ts';
import type { PageRequest, RowPage, RowsOf, RowsOfRequest, StoreCounts } from './certificate-store.ts';
import { CrlKeeper } from './crl-keeper.ts';
import { type PostgresConfig, PostgresConnection } from './postgres-connection.ts';
import { PostgresCrls } from './postgres-crls.ts';
import { conditionOf, readIssuers } from './postgres-filter.ts';
import { PostgresQueue } from './postgres-queue.ts';
import { digitsOf, selectRows, writeSqlRow } from './postgres-row.ts';
import { prepareDatabase } from './postgres-schema.ts';
import type { PostgresRow, PostgresSession } from './postgres-session.ts';
import { readStatuses } from './postgres-statuses.ts';
import { PostgresSums } from './postgres-sums.ts';
import { PostgresWriter } from './postgres-writer.ts';
import type { QueueEngine } from './publisher-queue.ts';
import type { BucketRow } from './range-comparison.ts';
import type { RangeSums } from './range-sums.ts';
import type { RowFilter } from './row-filter.ts';
import type { StoreEngine, WriteCall, WriteOutcome } from './store-engine.ts';

const FINGERPRINT_BYTES = 20;
/** Rows that are in memory at a time. */
const ROWS_PER_PIECE = 500;

const COUNT = 'SELECT sum(total)::BIGINT, sum(revoked)::BIGINT, sum(withCertificate)::BIGINT FROM Counts';
const BY_FINGERPRINT = selectRows('fingerprint = $1', 'fingerprint', true);
const BY_SERIAL_NUMBER =
  selectRows('serialNumber = $1 AND issuerHash = $2', 'updateTime DESC, fingerprint', true) +
  ` LIMIT ${MAX_SAME_SERIAL}`;

/** The engine over one database. */
export class PostgresStore implements StoreEngine {
  readonly #reading: PostgresConnection;
  readonly #writing: PostgresConnection;
  readonly #writer: PostgresWriter;
  readonly #sums: PostgresSums;
  readonly #queue: PostgresQueue;

  readonly crls: CrlKeeper;

  constructor(config: PostgresConfig) {
    const connect = (): PostgresConnection => {
      const connection: PostgresConnection = new PostgresConnection(config, (session) =>
        prepareDatabase(session, connection.name),
      );
      return connection;
    };
    this.#reading = connect();
    this.#writing = connect();
    this.#writer = new PostgresWriter(this.#writing);
    this.#sums = new PostgresSums(this.#reading, this.#writing);
    this.#queue = new PostgresQueue(this.#reading, this.#writing);
    this.crls = new CrlKeeper(new PostgresCrls(this.#reading, this.#writing));
  }

  writeGroup(calls: readonly WriteCall[]): Promise<readonly WriteOutcome[]> {
    return this.#writer.write(calls);
  }

  async findByFingerprint(fingerprint: string): Promise<Uint8Array> {
    return encode(await this.#read(BY_FINGERPRINT, [Buffer.from(fingerprint, 'hex')]));
  }

  async findBySerialNumber(issuerDN: string, serialNumber: string): Promise<Uint8Array> {
    const values = [integerFromDecimal(serialNumber), hash('sha256', issuerDN, 'buffer')];
    return encode(await this.#read(BY_SERIAL_NUMBER, values));
  }

  statusesOf(questions: readonly CertificateQuestion[]): Promise<StatusesOf> {
    return this.#reading.use((session) => readStatuses(session, questions));
  }

  async page({ filter, after, limit, maxBytes }: PageRequest): Promise<RowPage> {
    const issuers = await this.#reading.use(readIssuers);
    const condition = conditionOf(filter, filter.cas, issuers, false);
    const where = `fingerprint > $1 ${condition && `AND ${condition}`}`;
    const sql = `${selectRows(where, 'fingerprint', filter.withCertificate)} LIMIT $2`;
    const writer = new CborWriter(64 * 1024);
    let count = 0;
    let last = after;
    for (let isMore = true; isMore && count < limit && writer.length < maxBytes; ) {
      const wanted = Math.min(ROWS_PER_PIECE, limit - count);
      const rows = await this.#read(sql, [last, wanted]);
      for (const row of rows) {
        if (count > 0 && writer.length >= maxBytes) break;
        last = Buffer.from(writeSqlRow(writer, row), 'hex');
        count += 1;
      }
      isMore = rows.length === wanted;
    }
    return { rows: writer.take(), count, last: count === 0 ? new Uint8Array(0) : last };
  }

  async rowsOf({ fingerprints, withCertificate, maxBytes }: RowsOfRequest): Promise<RowsOf> {
    const sql = selectRows('fingerprint = ANY ($1)', 'fingerprint', withCertificate);
    const keys = keysOf(fingerprints);
    const writer = new CborWriter(64 * 1024);
    let count = 0;
    let taken = 0;
    while (taken < keys.length && writer.length < maxBytes) {
      const piece = keys.slice(taken, taken + ROWS_PER_PIECE);
      const rows = await this.#read(sql, [piece.map((key) => Buffer.from(key, 'hex'))]);
      const found = new Map(rows.map((row) => [digitsOf(row[0] as string), row]));
      for (const key of piece) {
        if (writer.length >= maxBytes) break;
        taken += 1;
        const row = found.get(key);
        if (row === undefined) continue;
        writeSqlRow(writer, row);
        count += 1;
      }
    }
    return { rows: writer.take(), count, taken };
  }

  sums(filter: RowFilter, within: CaScope, isFresh: boolean): Promise<RangeSums> {
    return this.#sums.sums(filter, within, isFresh);
  }

  bucketRows(filter: RowFilter, within: CaScope, bucket: number): Promise<readonly BucketRow[]> {
    return this.#sums.bucketRows(filter, within, bucket);
  }

  queue(): QueueEngine {
    return this.#queue;
  }

  async count(): Promise<StoreCounts> {
    const [total, revoked, withCertificate] = (await this.#read(COUNT, []))[0] as readonly number[];
    return { total: total ?? 0, revoked: revoked ?? 0, withCertificate: withCertificate ?? 0 };
  }

  async probe(): Promise<void> {
    await this.#read('SELECT 1', []);
  }

  async close(): Promise<void> {
    await Promise.all([this.#reading.close(), this.#writing.close()]);
  }

  #read(sql: string, values: Parameters<PostgresSession['query']>[1]): Promise<readonly PostgresRow[]> {
    return this.#reading.use((session) => session.query(sql, values));
  }
}

function keysOf(fingerprints: Uint8Array): readonly string[] {
  const count = Math.ceil(fingerprints.length / FINGERPRINT_BYTES);
  return Array.from({ length: count }, (_, index) =>
    Buffer.from(fingerprints.subarray(index * FINGERPRINT_BYTES, (index + 1) * FINGERPRINT_BYTES)).toString('hex'),
  );
}

function encode(rows: readonly PostgresRow[]): Uint8Array {
  const writer = new CborWriter(1024);
  for (const row of rows) writeSqlRow(writer, row);
  return writer.take();
}
