/**
 * Writes rows into an open SQLite store: many calls, one transaction, one sync.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { toPeerError } from '../errors.ts';
import { type CaScope, isCaInScope } from '../x509/ca-scope.ts';
import { CERTIFICATE_STATUS, CERTIFICATE_TYPE } from './certificate-data.ts';
import { faultOf, type RowColumns, type RowFault, readRows, rowDigest } from './certificate-row.ts';
import type { Refusal } from './certificate-store.ts';
import { replacesByTime } from './newest-wins.ts';
import { bucketOf, HASH_BYTES } from './range-sums.ts';
import { SqliteCaCertificates } from './sqlite-ca-certificates.ts';
import { isConstraintFailure } from './sqlite-schema.ts';
import type { WriteCall, WriteOutcome } from './store-engine.ts';

/** Columns that change, in the order of `stateOf`. */
const STATE =
  'subjectDN, status, revocationReason, revocationDate, updateTime, expireDate, notBefore, ' +
  'cAFingerprint, subjectKeyId, type, tag, crlPartitionIndex, certificateProfileId, username';

/** Columns of a row in CertificateData besides its fingerprint and issuer. */
export const COLUMNS = `serialNumber, ${STATE}`;

const SQL = {
  issuer: 'SELECT issuerId FROM Issuer WHERE issuerDN = ?',
  addIssuer: 'INSERT INTO Issuer (issuerDN) VALUES (?)',
  insert:
    `INSERT INTO CertificateData (fingerprint, issuerId, bodyId, digest, ${COLUMNS}) ` +
    'VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (fingerprint) DO NOTHING',
  /** Leaves alone what is indexed: to name a column is to write its index anew, even with the value that it has. */
  update:
    `UPDATE CertificateData SET (bodyId, digest, ${STATE}) = (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ` +
    'WHERE fingerprint = ? AND serialNumber = ? AND issuerId = ?',
  rename: 'UPDATE CertificateData SET serialNumber = ?, issuerId = ? WHERE fingerprint = ?',
  remove: 'DELETE FROM CertificateData WHERE fingerprint = ?',
  addBody: 'INSERT INTO CertificateBody (bodyId, certificate) VALUES (?,?)',
  lastBody: 'SELECT ifnull(max(bodyId), 0) AS bodyId FROM CertificateBody',
  setBody: 'UPDATE CertificateData SET bodyId = ? WHERE fingerprint = ?',
  /** What nearly always decides; columns cost more than finding the row does. */
  standing:
    'SELECT bodyId, issuerId, digest, status, revocationReason, revocationDate, updateTime FROM CertificateData ' +
    'WHERE fingerprint = ?',
  issuerDN: 'SELECT issuerDN FROM Issuer WHERE issuerId = ?',
  addCounts: 'UPDATE Counts SET total = total + ?, revoked = revoked + ?, withCertificate = withCertificate + ?',
  markBucket: 'INSERT OR IGNORE INTO DirtyBucket VALUES (?)',
} as const;

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
}

/** Statements and caches of one open database. */
export class SqliteWriter {
  readonly #db: DatabaseSync;
  readonly #issuers: Map<string, number>;
  readonly #sql: Statements;
  readonly #caCertificates: SqliteCaCertificates;
  #transaction: Transaction = newTransaction(1);
  /** Updates come in runs, and so do new rows: what the last row was decides which of the two is tried first. */
  #isUpdating = false;

  /** @param issuers issuerId by subject DN; grows with the issuers that are written */
  constructor(db: DatabaseSync, issuers: Map<string, number>) {
    this.#db = db;
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

  #writeCall({ rows, scope }: WriteCall): WriteOutcome {
    let incoming: readonly RowColumns[];
    try {
      incoming = readRows(joined(rows));
    } catch (error) {
      return toPeerError(error);
    }
    const verdicts: string[] = new Array(incoming.length);
    const refusals: Refusal[] = [];
    for (const [index, row] of inFingerprintOrder(incoming)) {
      const verdict = this.#tryRow(row, scope);
      verdicts[index] = typeof verdict === 'string' ? verdict : 'r';
      if (typeof verdict !== 'string') refusals.push(refusalOf(row, index, verdict));
    }
    return { verdicts: verdicts.join(''), refusals: refusals.sort((a, b) => a.index - b.index) };
  }

  /** A row that the database itself refuses (a trigger, a constraint) harms no other. */
  #tryRow(row: RowColumns, scope: CaScope): 's' | 'u' | RowFault {
    try {
      return this.#writeRow(row, scope);
    } catch (error) {
      // A trigger may also have undone the whole transaction (RAISE(ROLLBACK)); then nothing can go on.
      if (!isConstraintFailure(error) || !this.#db.isTransaction) throw error;
      return { code: 'ERR_STORE_UNAVAILABLE', detail: `The store refused the row: ${(error as Error).message}` };
    }
  }

  #writeRow(row: RowColumns, scope: CaScope): 's' | 'u' | RowFault {
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
    const { changes } = this.#sql.insert.run(
      fingerprint,
      issuerId,
      bodyId,
      digestOf(row),
      serialNumber,
      ...stateOf(row),
    );
    this.#isUpdating = changes === 0;
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
  ): 's' | 'u' | RowFault {
    const { fingerprint } = row;
    if (standing.issuerId !== issuerId) {
      const issuerDN = String(this.#sql.issuerDN.get(standing.issuerId)?.issuerDN);
      if (!isCaInScope(issuerDN, scope)) return notAuthorized(issuerDN);
    }
    const addsBody = standing.bodyId === null && row.certificate !== null;
    const bodyId = addsBody ? this.#transaction.nextBody : standing.bodyId;
    const wins = replacesByTime(row, standing) ?? Buffer.compare(digestOf(row), standing.digest) > 0;
    if (!wins && !addsBody) return 'u';
    if (addsBody) this.#addBody(row);
    if (wins) this.#update(row, issuerId, bodyId);
    else this.#sql.setBody.run(bodyId, fingerprint);
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
    const issuerId = Number(standing ?? this.#sql.addIssuer.run(issuerDN).lastInsertRowid);
    this.#issuers.set(issuerDN, issuerId);
    return issuerId;
  }
}

function newTransaction(nextBody: number): Transaction {
  return { nextBody, total: 0, revoked: 0, withCertificate: 0, buckets: new Set() };
}

/** The first bytes of the row's digest, as comparisons use them. */
function digestOf(row: RowColumns): Uint8Array {
  return Buffer.from(rowDigest(row).slice(0, HASH_BYTES * 2), 'hex');
}

type Value = string | number | Uint8Array | null;

/** In the order of STATE. */
function stateOf(row: RowColumns): Value[] {
  return [
    row.subjectDN,
    row.status,
    row.revocationReason,
    row.revocationDate,
    row.updateTime,
    row.expireDate,
    row.notBefore,
    row.caFingerprint,
    row.subjectKeyId,
    row.type,
    row.tag,
    row.crlPartitionIndex,
    row.certificateProfileId,
    row.username,
  ];
}

function isRevoked({ status }: Pick<RowColumns, 'status'>): 0 | 1 {
  return status === CERTIFICATE_STATUS.revoked ? 1 : 0;
}

function notAuthorized(issuerDN: string): RowFault {
  return { code: 'ERR_NOT_AUTHORIZED', detail: `Not authorized for the CA "${issuerDN}"` };
}

function refusalOf(row: RowColumns, index: number, { code, detail }: RowFault): Refusal {
  const { subjectDN, issuerDN } = row;
  return { index, fingerprint: Buffer.from(row.fingerprint).toString('hex'), subjectDN, issuerDN, code, detail };
}

/** Ordered inserts are several times faster; rows of one fingerprint keep their order. */
function inFingerprintOrder(rows: readonly RowColumns[]): readonly (readonly [number, RowColumns])[] {
  const entries = [...rows.entries()];
  const compare = (a: RowColumns, b: RowColumns): number => Buffer.compare(a.fingerprint, b.fingerprint);
  const isSorted = entries.every(([index, row]) => index === 0 || compare(rows[index - 1] as RowColumns, row) <= 0);
  return isSorted ? entries : entries.sort(([a, left], [b, right]) => compare(left, right) || a - b);
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const [only] = chunks;
  return only !== undefined && chunks.length === 1 ? only : Buffer.concat(chunks);
}
