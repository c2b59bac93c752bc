/**
 * The embedded certificate store: SQLite, to be run in a thread of its own.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { CaScope } from '../x509/ca-scope.ts';
import { integerFromDecimal } from '../x509/serial-number.ts';
import { CborWriter } from './cbor.ts';
import {
  type CertificateQuestion,
  type CertificateStatus,
  MAX_SAME_SERIAL,
  type StatusesOf,
} from './certificate-status.ts';
import type { PageRequest, RowPage, RowsOf, RowsOfRequest, StoreCounts } from './certificate-store.ts';
import { CrlKeeper } from './crl-keeper.ts';
import type { QueueEngine } from './publisher-queue.ts';
import type { BucketRow } from './range-comparison.ts';
import type { RangeSums } from './range-sums.ts';
import type { RowFilter } from './row-filter.ts';
import { SqliteCrls } from './sqlite-crls.ts';
import { conditionOf } from './sqlite-filter.ts';
import { SqliteQueue } from './sqlite-queue.ts';
import { selectRows, writeSqlRow } from './sqlite-row.ts';
import { openSqlite, toStoreError } from './sqlite-schema.ts';
import { SqliteSums } from './sqlite-sums.ts';
import { SqliteWriter } from './sqlite-writer.ts';
import type { StoreEngine, WriteCall, WriteOutcome } from './store-engine.ts';

const FINGERPRINT_BYTES = 20;
/** Finds by the index, which holds the end of serial numbers. */
const SERIAL_NUMBER = 'substr(serialNumber, -4) = substr(?1, -4) AND serialNumber = ?1 AND issuerId = ?2';

interface Open {
  readonly db: DatabaseSync;
  /** issuerId by subject DN. */
  readonly issuers: Map<string, number>;
  readonly writer: SqliteWriter;
  readonly sums: SqliteSums;
  readonly queue: SqliteQueue;
  readonly crls: SqliteCrls;
  readonly byFingerprint: StatementSync;
  readonly bySerialNumber: StatementSync;
  readonly statuses: StatementSync;
  readonly version: StatementSync;
  readonly state: StatementSync;
  readonly counts: StatementSync;
}

/** The engine over one file. */
export class SqliteStore implements StoreEngine {
  readonly #file: string;
  readonly #isReader: boolean;
  #opened: Open | undefined;
  #dataVersion: unknown;
  #watchedVersion: unknown;

  /** @param isReader for a thread that only reads; what it is asked then must not write */
  constructor(file: string, isReader = false) {
    this.#file = file;
    this.#isReader = isReader;
  }

  writeGroup(calls: readonly WriteCall[]): readonly WriteOutcome[] {
    return this.#guard(({ writer }) => writer.write(calls));
  }

  findByFingerprint(fingerprint: string): Uint8Array {
    return this.#guard(({ byFingerprint }) => encode(byFingerprint.iterate(Buffer.from(fingerprint, 'hex'))).rows);
  }

  findBySerialNumber(issuerDN: string, serialNumber: string): Uint8Array {
    return this.#guard(
      ({ bySerialNumber, issuers }) =>
        encode(bySerialNumber.iterate(integerFromDecimal(serialNumber), issuers.get(issuerDN) ?? -1)).rows,
    );
  }

  statusesOf(questions: readonly CertificateQuestion[]): StatusesOf {
    return this.#guard(({ statuses, issuers }) =>
      questions.map(({ issuerDN, serialNumber }) => {
        const rows = statuses.all(serialNumber, issuers.get(issuerDN) ?? -1);
        return rows.map((row) => statusOf(row as unknown as StatusRow));
      }),
    );
  }

  hasChanged(): boolean {
    try {
      return this.#guard(({ version }) => {
        const before = this.#watchedVersion;
        this.#watchedVersion = dataVersion(version);
        return before !== this.#watchedVersion;
      });
    } catch {
      return true;
    }
  }

  page({ filter, after, limit, maxBytes }: PageRequest): RowPage {
    return this.#guard(({ db, issuers }) => {
      const condition = conditionOf(filter, filter.cas, issuers);
      const where = condition === '' ? 'fingerprint > ?' : `fingerprint > ? AND ${condition}`;
      const sql = selectRows(where, 'fingerprint', filter.withCertificate);
      return encode(prepareRows(db, sql).iterate(after, limit), maxBytes);
    });
  }

  rowsOf({ fingerprints, withCertificate, maxBytes }: RowsOfRequest): RowsOf {
    return this.#guard(({ byFingerprint, state }) => {
      const statement = withCertificate ? byFingerprint : state;
      const writer = new CborWriter(64 * 1024);
      let count = 0;
      let at = 0;
      for (; at < fingerprints.length && writer.length < maxBytes; at += FINGERPRINT_BYTES) {
        const row = statement.get(fingerprints.subarray(at, at + FINGERPRINT_BYTES));
        if (row === undefined) continue;
        writeSqlRow(writer, row);
        count += 1;
      }
      return { rows: writer.take(), count, taken: at / FINGERPRINT_BYTES };
    });
  }

  readonly crls = new CrlKeeper({
    caCertificates: (query) => this.#guard(({ crls }) => crls.caCertificates(query)),
    crlsOf: (query) => this.#guard(({ crls }) => crls.crlsOf(query)),
    crlByFingerprint: (fingerprint) => this.#guard(({ crls }) => crls.crlByFingerprint(fingerprint)),
    list: (limit) => this.#guard(({ crls }) => crls.list(limit)),
    replace: (crl, replacement) => this.#guard(({ crls }) => crls.replace(crl, replacement)),
    mark: (fingerprint, peers) => this.#guard(({ crls }) => crls.mark(fingerprint, peers)),
    readChunk: (fingerprint, position) => this.#guard(({ crls }) => crls.readChunk(fingerprint, position)),
  });

  sums(filter: RowFilter, within: CaScope, isFresh: boolean): Promise<RangeSums> {
    return this.#guard(({ sums }) => sums.sums(filter, within, isFresh));
  }

  bucketRows(filter: RowFilter, within: CaScope, bucket: number): readonly BucketRow[] {
    return this.#guard(({ sums }) => sums.bucketRows(filter, within, bucket));
  }

  queue(): QueueEngine {
    return {
      dueMarks: (question) => this.#guard(({ queue }) => queue.dueMarks(question)),
      settleMarks: (call) => this.#guard(({ queue }) => queue.settleMarks(call)),
      queueSummaries: (now) => this.#guard(({ queue }) => queue.queueSummaries(now)),
      listMarks: (request) => this.#guard(({ queue }) => queue.listMarks(request)),
      retryMarks: (selection) => this.#guard(({ queue }) => queue.retryMarks(selection)),
      removeMarks: (selection) => this.#guard(({ queue }) => queue.removeMarks(selection)),
    };
  }

  count(): StoreCounts {
    return this.#guard(({ counts }) => ({ ...(counts.get() as unknown as StoreCounts) }));
  }

  probe(): void {
    this.#guard(() => undefined);
  }

  close(): void {
    this.#opened?.db.close();
    this.#opened = undefined;
    // Another connection counts anew.
    this.#dataVersion = undefined;
    this.#watchedVersion = undefined;
  }

  /** What is held in memory is read anew once another connection has written to the file. */
  #noticeOthers({ db, version, issuers, sums }: Open): void {
    const found = dataVersion(version);
    if (found === this.#dataVersion) return;
    this.#dataVersion = found;
    loadIssuers(db, issuers);
    sums.forget();
  }

  /** Opens the file when it is not open; a failed transaction is undone and what it left in memory forgotten. */
  #guard<T>(work: (open: Open) => T): T {
    this.#opened ??= open(this.#file, this.#isReader);
    const { db, issuers } = this.#opened;
    try {
      this.#noticeOthers(this.#opened);
      return work(this.#opened);
    } catch (error) {
      try {
        if (db.isTransaction) db.exec('ROLLBACK');
        loadIssuers(db, issuers);
      } catch {
        // The file itself is out of reach; the next call opens it anew.
        this.close();
      }
      throw toStoreError(error, this.#file);
    }
  }
}

function dataVersion(statement: StatementSync): unknown {
  return statement.get()?.['data_version'];
}

type StatusRow = Omit<CertificateStatus, 'caFingerprint'> & { readonly cAFingerprint: Uint8Array | null };

function statusOf({ cAFingerprint, ...row }: StatusRow): CertificateStatus {
  return { ...row, caFingerprint: cAFingerprint === null ? null : Buffer.from(cAFingerprint).toString('hex') };
}

function open(file: string, isReader: boolean): Open {
  const db = openSqlite(file);
  if (isReader) db.exec('PRAGMA query_only = ON');
  const issuers = new Map<string, number>();
  loadIssuers(db, issuers);
  const queue = new SqliteQueue(db);
  return {
    db,
    issuers,
    queue,
    writer: new SqliteWriter(db, issuers, queue),
    sums: new SqliteSums(db, issuers),
    crls: new SqliteCrls(db, queue),
    byFingerprint: prepareRows(db, selectRows('fingerprint = ?', 'fingerprint', true, '1')),
    state: prepareRows(db, selectRows('fingerprint = ?', 'fingerprint', false, '1')),
    bySerialNumber: prepareRows(
      db,
      selectRows(SERIAL_NUMBER, 'updateTime DESC, fingerprint', true, `${MAX_SAME_SERIAL}`),
    ),
    statuses: db.prepare(
      'SELECT status, revocationReason, revocationDate, updateTime, expireDate, cAFingerprint ' +
        `FROM CertificateData WHERE ${SERIAL_NUMBER} LIMIT ${MAX_SAME_SERIAL}`,
    ),
    version: db.prepare('PRAGMA data_version'),
    counts: db.prepare('SELECT total, revoked, withCertificate FROM Counts'),
  };
}

function loadIssuers(db: DatabaseSync, issuers: Map<string, number>): void {
  issuers.clear();
  for (const row of db.prepare('SELECT issuerId, issuerDN FROM Issuer').all()) {
    issuers.set(String(row['issuerDN']), Number(row['issuerId']));
  }
}

function prepareRows(db: DatabaseSync, sql: string): StatementSync {
  const statement = db.prepare(sql);
  statement.setReturnArrays(true);
  return statement;
}

function encode(rows: Iterable<unknown>, maxBytes = Number.MAX_SAFE_INTEGER): RowPage {
  const writer = new CborWriter(64 * 1024);
  let count = 0;
  let last = '';
  for (const row of rows) {
    last = writeSqlRow(writer, row);
    count += 1;
    if (writer.length >= maxBytes) break;
  }
  return { rows: writer.take(), count, last: Buffer.from(last, 'hex') };
}
