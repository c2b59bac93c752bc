/**
 * Writes rows into an open SQLite store: many calls, one transaction, one sync.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { PeerError } from '../errors.ts';
import { type CaScope, isCaInScope } from '../x509/ca-scope.ts';
import { CERTIFICATE_TYPE } from './certificate-data.ts';
import { faultOf, type RowColumns, readBlocks } from './certificate-row.ts';
import type { Refusal } from './certificate-store.ts';
import { replacesByTime } from './newest-wins.ts';
import type { MarkOrder } from './publisher-queue.ts';
import { bucketOf } from './range-sums.ts';
import { SqliteCaCertificates } from './sqlite-ca-certificates.ts';
import type { SqliteQueue } from './sqlite-queue.ts';
import { isConstraintFailure } from './sqlite-schema.ts';
import { SQL, stateOf } from './sqlite-statements.ts';
import type { WriteCall, WriteOutcome } from './store-engine.ts';
import { digestOf, isRevoked, joined, notAuthorized, refusalOf, type Verdict } from './write-verdict.ts';

/** Decoded at a time: what lives shortly costs the garbage collection little. */
const ROWS_PER_BLOCK = 1_000;

type Statements = { readonly [K in keyof typeof SQL]: StatementSync };

/** What is read of a row that stands. */
interface Standing extends Pick<RowColumns, 'status' | 'revocationReason' | 'revocationDate' | 'updateTime'> {
  readonly issuerId: number;
  readonly digest: Uint8Array;
  readonly bodyId: number | null;
}

/** What a transaction has done so far. */
interface Transaction {
  nextBody: number;
  total: number;
  revoked: number;
  withCertificate: number;
  readonly buckets: Set<number>;
  /** Epoch milliseconds. */
  readonly startedAt: number;
}

/** Statements and caches of one open database. */
export class SqliteWriter {
  readonly #db: DatabaseSync;
  readonly #issuers: Map<string, number>;
  readonly #sql: Statements;
  readonly #queue: SqliteQueue;
  readonly #caCertificates: SqliteCaCertificates;
  #transaction: Transaction = newTransaction(1);
  /** Updates come in runs, and so do new rows: what the last row was decides which of the two is tried first. */
  #isUpdating = false;
  /** Whether what stood in place of the last row was revoked. */
  #wasRevoked = false;
  #addedIssuer: string | undefined;

  /** @param issuers issuerId by subject DN; grows with the issuers that are written */
  constructor(db: DatabaseSync, issuers: Map<string, number>, queue: SqliteQueue) {
    this.#db = db;
    this.#queue = queue;
    this.#issuers = issuers;
    this.#caCertificates = new SqliteCaCertificates(db);
    this.#sql = Object.fromEntries(
      Object.entries(SQL).map(([name, sql]) => [name, db.prepare(sql)]),
    ) as unknown as Statements;
  }

  /** Writes all calls or, when it throws, none of them. */
  write(calls: readonly WriteCall[]): readonly WriteOutcome[] {
    this.#db.exec('BEGIN IMMEDIATE');
    this.#transaction = newTransaction(Number(this.#sql.lastBody.get()?.['bodyId']) + 1);
    const outcomes = calls.map((call) => this.#writeCall(call));
    const { total, revoked, withCertificate, buckets } = this.#transaction;
    this.#sql.addCounts.run(total, revoked, withCertificate);
    for (const bucket of buckets) this.#sql.markBucket.run(bucket);
    // Returns after the write-ahead log was synced (synchronous = FULL).
    this.#db.exec('COMMIT');
    return outcomes;
  }

  /** Of a call whose bytes are not rows nothing stays. */
  #writeCall(call: WriteCall): WriteOutcome {
    const before = { ...this.#transaction, buckets: new Set(this.#transaction.buckets) };
    const issuers = this.#issuers.size;
    const verdicts: string[] = [];
    const refusals: Refusal[] = [];
    const sequences: number[] = [];
    this.#db.exec('SAVEPOINT OneCall');
    try {
      for (const block of readBlocks(joined(call.rows), ROWS_PER_BLOCK)) {
        const first = verdicts.length;
        for (const [index, row] of inFingerprintOrder(block)) {
          const { verdict, sequence } = this.#tryRow(row, call);
          sequences[first + index] = sequence;
          verdicts[first + index] = typeof verdict === 'string' ? verdict : 'r';
          if (typeof verdict !== 'string') refusals.push(refusalOf(row, first + index, verdict));
        }
      }
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      this.#db.exec('ROLLBACK TO OneCall; RELEASE OneCall');
      this.#transaction = before;
      for (const issuerDN of [...this.#issuers.keys()].slice(issuers)) this.#issuers.delete(issuerDN);
      return error;
    }
    this.#db.exec('RELEASE OneCall');
    refusals.sort((a, b) => a.index - b.index);
    return { verdicts: verdicts.join(''), refusals, ...(call.marks && { sequences }) };
  }

  /** A row that the database itself refuses (a trigger, a constraint) harms no other. */
  #tryRow(row: RowColumns, { scope, marks }: WriteCall): { readonly verdict: Verdict; readonly sequence: number } {
    this.#wasRevoked = false;
    this.#addedIssuer = undefined;
    // A row whose mark cannot be set must not stand either.
    const before = marks && { ...this.#transaction };
    if (before !== undefined) this.#sql.savepoint.run();
    try {
      const verdict = this.#writeRow(row, scope);
      const sequence = marks !== undefined && typeof verdict === 'string' ? this.#mark(row, marks) : 0;
      if (before !== undefined) this.#sql.release.run();
      return { verdict, sequence };
    } catch (error) {
      // A trigger may also have undone the whole transaction (RAISE(ROLLBACK)); then nothing can go on.
      if (!isConstraintFailure(error) || !this.#db.isTransaction) throw error;
      if (before !== undefined) this.#undoRow(before);
      const detail = `The store refused the row: ${(error as Error).message}`;
      return { verdict: { code: 'ERR_STORE_UNAVAILABLE', detail }, sequence: 0 };
    }
  }

  #mark(row: RowColumns, order: MarkOrder): number {
    const change = { wasRevoked: this.#wasRevoked, addedAt: this.#transaction.startedAt };
    return this.#queue.markRow(row, order, change);
  }

  #undoRow(before: Transaction): void {
    this.#sql.undo.run();
    this.#sql.release.run();
    Object.assign(this.#transaction, before);
    if (this.#addedIssuer !== undefined) this.#issuers.delete(this.#addedIssuer);
  }

  #writeRow(row: RowColumns, scope: CaScope): Verdict {
    const fault = faultOf(row);
    if (fault !== undefined) return fault;
    if (!isCaInScope(row.issuerDN, scope)) return notAuthorized(row.issuerDN);
    const issuerId = this.#issuerId(row.issuerDN);
    const bodyId = row.certificate === null ? null : this.#transaction.nextBody;
    const { fingerprint, serialNumber } = row;
    if (this.#isUpdating) {
      const standing = this.#sql.standing.get(fingerprint) as unknown as Standing | undefined;
      if (standing !== undefined) return this.#mergeRow(row, standing, { issuerId, scope });
    }
    const values = [fingerprint, issuerId, bodyId, digestOf(row), serialNumber, ...stateOf(row)];
    this.#isUpdating = this.#sql.insert.run(...values).changes === 0;
    if (this.#isUpdating) {
      return this.#mergeRow(row, this.#sql.standing.get(fingerprint) as unknown as Standing, { issuerId, scope });
    }
    try {
      this.#addBody(row);
    } catch (error) {
      // A row must not name a certificate that is not there.
      if (this.#db.isTransaction) this.#sql.remove.run(fingerprint);
      throw error;
    }
    this.#transaction.total += 1;
    this.#transaction.revoked += isRevoked(row);
    this.#transaction.buckets.add(bucketOf(row.fingerprint));
    return 's';
  }

  /** The fingerprint is there already: the newest state wins, and a missing certificate is added. */
  #mergeRow(
    row: RowColumns,
    standing: Standing,
    { issuerId, scope }: { readonly issuerId: number; readonly scope: CaScope },
  ): Verdict {
    const { fingerprint } = row;
    this.#wasRevoked = isRevoked(standing) === 1;
    if (standing.issuerId !== issuerId) {
      const issuerDN = String(this.#sql.issuerDN.get(standing.issuerId)?.issuerDN);
      if (!isCaInScope(issuerDN, scope)) return notAuthorized(issuerDN);
    }
    const addsBody = standing.bodyId === null && row.certificate !== null;
    const bodyId = addsBody ? this.#transaction.nextBody : standing.bodyId;
    const wins = replacesByTime(row, standing) ?? Buffer.compare(digestOf(row), standing.digest) > 0;
    if (!wins && !addsBody) return 'u';
    const write = (): void => {
      if (wins) this.#update(row, issuerId, bodyId);
      else this.#sql.setBody.run(bodyId, fingerprint);
      if (addsBody) this.#addBody(row);
    };
    if (addsBody) this.#wholly(write);
    else write();
    if (wins) this.#transaction.revoked += isRevoked(row) - isRevoked(standing);
    this.#transaction.buckets.add(bucketOf(fingerprint));
    return 's';
  }

  #update(row: RowColumns, issuerId: number, bodyId: number | null): void {
    const { fingerprint, serialNumber } = row;
    const values = [bodyId, digestOf(row), ...stateOf(row), fingerprint, serialNumber, issuerId];
    if (this.#sql.update.run(...values).changes === 1) return;
    this.#sql.rename.run(serialNumber, issuerId, fingerprint);
    this.#sql.update.run(...values);
  }

  /** Undoes all of what several statements did when one of them is refused: no row without its certificate. */
  #wholly(work: () => void): void {
    this.#db.exec('SAVEPOINT Wholly');
    try {
      work();
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK TO Wholly; RELEASE Wholly');
      throw error;
    }
    this.#db.exec('RELEASE Wholly');
  }

  #addBody(row: RowColumns): void {
    const { certificate } = row;
    if (certificate === null) return;
    this.#sql.addBody.run(this.#transaction.nextBody, certificate);
    if (row.type !== CERTIFICATE_TYPE.endEntity) this.#caCertificates.add(row, certificate);
    this.#transaction.nextBody += 1;
    this.#transaction.withCertificate += 1;
  }

  #issuerId(issuerDN: string): number {
    const known = this.#issuers.get(issuerDN);
    if (known !== undefined) return known;
    // Another process may have written it.
    const standing = this.#sql.issuer.get(issuerDN)?.['issuerId'];
    if (standing === undefined) this.#addedIssuer = issuerDN;
    const issuerId = Number(standing ?? this.#sql.addIssuer.run(issuerDN).lastInsertRowid);
    this.#issuers.set(issuerDN, issuerId);
    return issuerId;
  }
}

function newTransaction(nextBody: number): Transaction {
  return { nextBody, total: 0, revoked: 0, withCertificate: 0, buckets: new Set(), startedAt: Date.now() };
}

/** Ordered inserts are several times faster; rows of one fingerprint keep their order. */
function inFingerprintOrder(rows: readonly RowColumns[]): readonly (readonly [number, RowColumns])[] {
  const entries = [...rows.entries()];
  const compare = (a: RowColumns, b: RowColumns): number => Buffer.compare(a.fingerprint, b.fingerprint);
  const isSorted = entries.every(([index, row]) => index === 0 || compare(rows[index - 1] as RowColumns, row) <= 0);
  return isSorted ? entries : entries.sort(([a, left], [b, right]) => compare(left, right) || a - b);
}
