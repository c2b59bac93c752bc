/**
 * The embedded certificate store: SQLite, synchronous, to be run in a thread of its own.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { toPeerError } from '../errors.ts';
import { type CaScope, isCaInScope } from '../x509/ca-scope.ts';
import { integerFromDecimal } from '../x509/serial-number.ts';
import { CborWriter } from './cbor.ts';
import { CERTIFICATE_STATUS } from './certificate-data.ts';
import { faultOf, type RowColumns, type RowFault, readRows, writeRow } from './certificate-row.ts';
import type { Refusal, StoreCounts, WriteResult } from './certificate-store.ts';
import { replaces } from './newest-wins.ts';
import { isConstraintFailure, openSqlite, toStoreError } from './sqlite-schema.ts';
import type { StoreEngine, WriteCall, WriteOutcome } from './store-engine.ts';

const COLUMNS =
  'subjectDN, serialNumber, status, revocationReason, revocationDate, updateTime, expireDate, notBefore, ' +
  'cAFingerprint, subjectKeyId, type, tag, crlPartitionIndex, certificateProfileId, username';

const SQL = {
  issuers: 'SELECT issuerId, issuerDN FROM Issuer',
  addIssuer: 'INSERT INTO Issuer (issuerDN) VALUES (?)',
  insert:
    `INSERT INTO CertificateData (fingerprint, issuerId, bodyId, ${COLUMNS}) ` +
    'VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (fingerprint) DO NOTHING',
  update:
    `UPDATE CertificateData SET (issuerId, bodyId, ${COLUMNS}) = (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ` +
    'WHERE fingerprint = ?',
  addBody: 'INSERT INTO CertificateBody (bodyId, certificate) VALUES (?,?)',
  lastBody: 'SELECT ifnull(max(bodyId), 0) AS bodyId FROM CertificateBody',
  setBody: 'UPDATE CertificateData SET bodyId = ? WHERE fingerprint = ?',
  standing: `SELECT fingerprint, issuerId, bodyId, ${COLUMNS} FROM CertificateData WHERE fingerprint = ?`,
  counts: 'SELECT total, revoked, withCertificate FROM Counts',
  addCounts: 'UPDATE Counts SET total = total + ?, revoked = revoked + ?, withCertificate = withCertificate + ?',
  byFingerprint: rowsWhere('fingerprint = ?'),
  bySerialNumber: rowsWhere('serialNumber = ? AND issuerId = ?', 'updateTime DESC, fingerprint', 1000),
  list: rowsWhere('fingerprint > ?', 'fingerprint', '?'),
} as const;

function rowsWhere(condition: string, order = 'fingerprint', limit: number | string = 1): string {
  return (
    `SELECT d.fingerprint, issuerDN, ${COLUMNS}, certificate FROM CertificateData d ` +
    'JOIN Issuer USING (issuerId) LEFT JOIN CertificateBody USING (bodyId) ' +
    `WHERE ${condition} ORDER BY ${order} LIMIT ${limit}`
  );
}

type Statements = { readonly [K in keyof typeof SQL]: StatementSync };

/** A row as CertificateData holds it. */
type Standing = Omit<RowColumns, 'issuerDN' | 'certificate' | 'caFingerprint'> & {
  readonly cAFingerprint: Uint8Array | null;
  readonly issuerId: number;
  readonly bodyId: number | null;
};

interface Delta {
  total: number;
  revoked: number;
  withCertificate: number;
}

/** The engine over one file. */
export class SqliteStore implements StoreEngine {
  readonly #file: string;
  #db: DatabaseSync | undefined;
  #statements: Statements | undefined;
  readonly #issuers = new Map<string, number>();
  readonly #issuerNames = new Map<number, string>();
  #nextBody = 1;
  #delta: Delta = { total: 0, revoked: 0, withCertificate: 0 };

  constructor(file: string) {
    this.#file = file;
  }

  writeGroup(calls: readonly WriteCall[]): readonly WriteOutcome[] {
    const db = this.#open();
    try {
      db.exec('BEGIN IMMEDIATE');
      this.#nextBody = Number(this.#sql.lastBody.get()?.['bodyId']) + 1;
      this.#delta = { total: 0, revoked: 0, withCertificate: 0 };
      const outcomes = calls.map((call) => this.#writeCall(call));
      this.#sql.addCounts.run(this.#delta.total, this.#delta.revoked, this.#delta.withCertificate);
      // Returns after the write-ahead log was synced (synchronous = FULL).
      db.exec('COMMIT');
      return outcomes;
    } catch (error) {
      this.#rollBack();
      throw toStoreError(error, this.#file);
    }
  }

  findByFingerprint(fingerprint: string): Uint8Array {
    return this.#read('byFingerprint', Buffer.from(fingerprint, 'hex'));
  }

  findBySerialNumber(issuerDN: string, serialNumber: string): Uint8Array {
    this.#open();
    const issuerId = this.#issuers.get(issuerDN);
    if (issuerId === undefined) return new Uint8Array(0);
    return this.#read('bySerialNumber', integerFromDecimal(serialNumber), issuerId);
  }

  list({ after, limit }: { readonly after?: string; readonly limit: number }): Uint8Array {
    return this.#read('list', Buffer.from(after ?? '', 'hex'), limit);
  }

  count(): StoreCounts {
    this.#open();
    try {
      const { total, revoked, withCertificate } = this.#sql.counts.get() as unknown as StoreCounts;
      return { total, revoked, withCertificate };
    } catch (error) {
      throw toStoreError(error, this.#file);
    }
  }

  close(): void {
    this.#db?.close();
    this.#db = undefined;
    this.#statements = undefined;
  }

  get #sql(): Statements {
    if (this.#statements === undefined) throw new Error('The store is not open');
    return this.#statements;
  }

  #open(): DatabaseSync {
    if (this.#db !== undefined) return this.#db;
    const db = openSqlite(this.#file);
    this.#statements = Object.fromEntries(
      Object.entries(SQL).map(([name, sql]) => [name, db.prepare(sql)]),
    ) as unknown as Statements;
    this.#db = db;
    this.#loadIssuers();
    return db;
  }

  #loadIssuers(): void {
    this.#issuers.clear();
    this.#issuerNames.clear();
    for (const row of this.#sql.issuers.all()) this.#noteIssuer(String(row['issuerDN']), Number(row['issuerId']));
  }

  #noteIssuer(issuerDN: string, issuerId: number): void {
    this.#issuers.set(issuerDN, issuerId);
    this.#issuerNames.set(issuerId, issuerDN);
  }

  #rollBack(): void {
    try {
      this.#db?.exec('ROLLBACK');
      this.#loadIssuers();
    } catch {
      // SQLite has rolled back by itself, or the file is gone; the next call opens it anew.
      this.close();
    }
  }

  #writeCall({ rows, scope }: WriteCall): WriteOutcome {
    let incoming: readonly RowColumns[];
    try {
      incoming = readRows(joined(rows));
    } catch (error) {
      return toPeerError(error);
    }
    const order = inFingerprintOrder(incoming);
    const verdicts: string[] = new Array(incoming.length);
    const refusals: Refusal[] = [];
    for (const index of order) {
      const row = incoming[index] as RowColumns;
      const verdict = this.#tryRow(row, scope);
      if (typeof verdict === 'string') {
        verdicts[index] = verdict;
        continue;
      }
      verdicts[index] = 'r';
      refusals.push(refusalOf(row, index, verdict));
    }
    return { verdicts: verdicts.join(''), refusals: refusals.sort((a, b) => a.index - b.index) } satisfies WriteResult;
  }

  /** A row that the database itself refuses (a trigger, a constraint) harms no other. */
  #tryRow(row: RowColumns, scope: CaScope): 's' | 'u' | RowFault {
    try {
      return this.#writeRow(row, scope);
    } catch (error) {
      if (!isConstraintFailure(error)) throw error;
      return { code: 'ERR_STORE_UNAVAILABLE', detail: `The store refused the row: ${(error as Error).message}` };
    }
  }

  #writeRow(row: RowColumns, scope: CaScope): 's' | 'u' | RowFault {
    const fault = faultOf(row);
    if (fault !== undefined) return fault;
    if (!isCaInScope(row.issuerDN, scope)) return notAuthorized(row.issuerDN);
    const issuerId = this.#issuerId(row.issuerDN);
    const bodyId = row.certificate === null ? null : this.#nextBody;
    const { changes } = this.#sql.insert.run(row.fingerprint, issuerId, bodyId, ...valuesOf(row));
    if (changes === 0) return this.#mergeRow(row, issuerId, scope);
    this.#delta.total += 1;
    this.#delta.revoked += isRevoked(row);
    this.#addBody(row.certificate);
    return 's';
  }

  /** The fingerprint is there already: the newest state wins, and a missing certificate is added. */
  #mergeRow(row: RowColumns, issuerId: number, scope: CaScope): 's' | 'u' | RowFault {
    const standing = this.#sql.standing.get(row.fingerprint) as unknown as Standing;
    const issuerDN = this.#issuerNames.get(standing.issuerId) ?? '';
    if (!isCaInScope(issuerDN, scope)) return notAuthorized(issuerDN);
    const addsBody = standing.bodyId === null && row.certificate !== null;
    const bodyId = addsBody ? this.#nextBody : standing.bodyId;
    const wins = replaces(row, { ...standing, issuerDN, caFingerprint: standing.cAFingerprint, certificate: null });
    if (wins) this.#sql.update.run(issuerId, bodyId, ...valuesOf(row), row.fingerprint);
    else if (addsBody) this.#sql.setBody.run(bodyId, row.fingerprint);
    if (addsBody) this.#addBody(row.certificate);
    if (wins) this.#delta.revoked += isRevoked(row) - isRevoked(standing);
    return wins || addsBody ? 's' : 'u';
  }

  #addBody(certificate: Uint8Array | null): void {
    if (certificate === null) return;
    this.#sql.addBody.run(this.#nextBody, certificate);
    this.#nextBody += 1;
    this.#delta.withCertificate += 1;
  }

  #issuerId(issuerDN: string): number {
    const known = this.#issuers.get(issuerDN);
    if (known !== undefined) return known;
    const issuerId = Number(this.#sql.addIssuer.run(issuerDN).lastInsertRowid);
    this.#noteIssuer(issuerDN, issuerId);
    return issuerId;
  }

  #read(name: 'byFingerprint' | 'bySerialNumber' | 'list', ...parameters: (Uint8Array | number)[]): Uint8Array {
    this.#open();
    try {
      const writer = new CborWriter();
      for (const row of this.#sql[name].iterate(...parameters)) {
        const { cAFingerprint, ...columns } = row as unknown as RowColumns & { cAFingerprint: Uint8Array | null };
        writeRow(writer, { ...columns, caFingerprint: cAFingerprint });
      }
      return writer.take();
    } catch (error) {
      throw toStoreError(error, this.#file);
    }
  }
}

type Value = string | number | Uint8Array | null;

/** In the order of COLUMNS. */
function valuesOf(row: RowColumns): Value[] {
  return [
    row.subjectDN,
    row.serialNumber,
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
function inFingerprintOrder(rows: readonly RowColumns[]): readonly number[] {
  const order = rows.map((_, index) => index);
  const isSorted = order.every((index) => index === 0 || compareAt(rows, index - 1, index) <= 0);
  return isSorted ? order : order.sort((a, b) => compareAt(rows, a, b) || a - b);
}

function compareAt(rows: readonly RowColumns[], a: number, b: number): number {
  return Buffer.compare((rows[a] as RowColumns).fingerprint, (rows[b] as RowColumns).fingerprint);
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const [only] = chunks;
  return only !== undefined && chunks.length === 1 ? only : Buffer.concat(chunks);
}
