/** CRLs and CA certificates in an open SQLite store: finding them, and one CRL in the place of another. */
import { hash } from 'node:crypto';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { attributeValues } from '../x509/distinguished-name.ts';
import type { CaCertificate, CaQuery, CrlReplacement, CrlTables, StoredCrl } from './crl-data.ts';
import { isDelta } from './crl-rules.ts';
import type { SqliteQueue } from './sqlite-queue.ts';
import { CACHE_SIZE } from './sqlite-schema.ts';

const MAX_CA_CERTIFICATES = 100;
/** Partitions of one CA, full and delta. */
const MAX_CRLS_OF_CA = 10_000;

/** Kilobytes, negative as SQLite has it. */
const SMALL_CACHE = -4_096;

const ROW =
  'fingerprint, issuerDN, crlPartitionIndex, cRLNumber, deltaCRLIndicator, thisUpdate, nextUpdate, cAFingerprint, ' +
  'size, entries, issuerHash, keyId AS authorityKeyId, issuingDistributionPoint';
const ORDER = 'ORDER BY issuerDN, crlPartitionIndex, isDelta LIMIT ?';

const SQL = {
  remove:
    'DELETE FROM CrlData WHERE issuerDN = ? AND crlPartitionIndex = ? AND isDelta = ? RETURNING crlId, fingerprint',
  removeBody: 'DELETE FROM CrlBody WHERE crlId = ?',
  add:
    'INSERT INTO CrlData (fingerprint, issuerDN, name, crlPartitionIndex, isDelta, cRLNumber, deltaCRLIndicator, ' +
    'thisUpdate, nextUpdate, cAFingerprint, size, entries, issuerHash, keyId, keyIdHash, issuingDistributionPoint) ' +
    'VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)',
  addBody: 'INSERT INTO CrlBody (crlId, position, crl) VALUES (?,?,?)',
  list: `SELECT ${ROW} FROM CrlData ${ORDER}`,
  byFingerprint: `SELECT ${ROW} FROM CrlData WHERE fingerprint = ?`,
  chunk: 'SELECT crl FROM CrlBody JOIN CrlData USING (crlId) WHERE fingerprint = ? AND position = ?',
} as const;

type Statements = { readonly [K in keyof typeof SQL]: StatementSync };

/** Statements of one open database. */
export class SqliteCrls implements CrlTables {
  readonly #db: DatabaseSync;
  readonly #queue: SqliteQueue;
  readonly #sql: Statements;

  /** @param queue gets the marks of CRLs */
  constructor(db: DatabaseSync, queue: SqliteQueue) {
    this.#db = db;
    this.#queue = queue;
    this.#sql = Object.fromEntries(
      Object.entries(SQL).map(([name, sql]) => [name, db.prepare(sql)]),
    ) as unknown as Statements;
  }

  caCertificates(query: CaQuery): readonly CaCertificate[] {
    const { where, values } = conditionOf(query, 'subjectDN');
    const rows = this.#db
      .prepare(
        'SELECT hex(fingerprint) AS fingerprint, certificate FROM ' +
          `(SELECT fingerprint FROM CaCertificate WHERE ${where}) JOIN CertificateData USING (fingerprint) ` +
          `JOIN CertificateBody USING (bodyId) ORDER BY bodyId DESC LIMIT ${MAX_CA_CERTIFICATES}`,
      )
      .all(...values);
    return rows.map((row) => ({
      fingerprint: String(row['fingerprint']).toLowerCase(),
      certificate: row['certificate'] as Uint8Array,
    }));
  }

  crlsOf(query: CaQuery): readonly StoredCrl[] {
    const { subjectHash, ...others } = query;
    // The subject of a CA is the issuer of its CRLs.
    const asked = subjectHash === undefined ? others : { issuerHash: subjectHash };
    const { where, values } = conditionOf(asked, 'issuerDN');
    return this.#db
      .prepare(`SELECT ${ROW} FROM CrlData WHERE ${where} ${ORDER}`)
      .all(...values, MAX_CRLS_OF_CA)
      .map(fromRow);
  }

  list(limit: number): readonly StoredCrl[] {
    return this.#sql.list.all(limit).map(fromRow);
  }

  crlByFingerprint(fingerprint: string): StoredCrl | undefined {
    const row = this.#sql.byFingerprint.get(Buffer.from(fingerprint, 'hex'));
    return row && fromRow(row);
  }

  replace(crl: StoredCrl, replacement: CrlReplacement): number {
    // What is written here is not read again soon: it need not stay in the cache.
    this.#db.exec(`PRAGMA cache_size = ${SMALL_CACHE}`);
    try {
      return this.#replace(crl, replacement);
    } finally {
      this.#db.exec(`PRAGMA cache_size = ${CACHE_SIZE}`);
    }
  }

  #replace(crl: StoredCrl, { chunks, judge, peers }: CrlReplacement): number {
    this.#db.exec('BEGIN IMMEDIATE');
    judge(this.crlsOf({ issuerDN: crl.issuerDN }));
    const former = this.#sql.remove.all(crl.issuerDN, crl.crlPartitionIndex, Number(isDelta(crl)));
    for (const { crlId } of former) this.#sql.removeBody.run(Number(crlId));
    const { lastInsertRowid: crlId } = this.#sql.add.run(...valuesOf(crl));
    let position = 0;
    for (const chunk of chunks) {
      this.#sql.addBody.run(crlId, position, chunk);
      position += chunk.length;
    }
    if (position !== crl.size) throw new Error(`${position} of ${crl.size} bytes of the CRL could be read`);
    const fingerprint = Buffer.from(crl.fingerprint, 'hex');
    const formerOnes = former.map((row) => row['fingerprint'] as Uint8Array);
    const sequence = this.#queue.markCrl(peers, { fingerprint, former: formerOnes }, Date.now());
    // Returns after the write-ahead log was synced (synchronous = FULL).
    this.#db.exec('COMMIT');
    return sequence;
  }

  mark(fingerprint: string, peers: readonly string[]): number | undefined {
    this.#db.exec('BEGIN IMMEDIATE');
    const isThere = this.crlByFingerprint(fingerprint) !== undefined;
    const marked = { fingerprint: Buffer.from(fingerprint, 'hex'), former: [] };
    const sequence = isThere ? this.#queue.markCrl(peers, marked, Date.now()) : undefined;
    this.#db.exec('COMMIT');
    return sequence;
  }

  readChunk(fingerprint: string, position: number): Uint8Array | undefined {
    return this.#sql.chunk.get(Buffer.from(fingerprint, 'hex'), position)?.['crl'] as Uint8Array | undefined;
  }
}

/** @param dnColumn column that `issuerDN`, the name of the CA, stands in */
function conditionOf(query: CaQuery, dnColumn: 'issuerDN' | 'subjectDN') {
  const { issuerDN, issuerHash, subjectHash, keyId, name } = query;
  if (issuerDN !== undefined) return { where: `${dnColumn} = ?`, values: [issuerDN] };
  if (issuerHash !== undefined) {
    const onlyOthers = dnColumn === 'subjectDN' ? ' AND isSelfIssued = 0' : '';
    return { where: `issuerHash = ?${onlyOthers}`, values: [issuerHash] };
  }
  if (subjectHash !== undefined) return { where: 'subjectHash = ?', values: [subjectHash] };
  if (keyId !== undefined) return { where: '(keyId = ? OR keyIdHash = ?)', values: [keyId, keyId] };
  return { where: 'name = ?', values: [name ?? ''] };
}

function valuesOf(crl: StoredCrl) {
  const { authorityKeyId, issuingDistributionPoint, cAFingerprint } = crl;
  return [
    Buffer.from(crl.fingerprint, 'hex'),
    crl.issuerDN,
    attributeValues(crl.issuerDN, 'CN')[0] ?? null,
    crl.crlPartitionIndex,
    Number(isDelta(crl)),
    crl.cRLNumber,
    crl.deltaCRLIndicator,
    crl.thisUpdate,
    crl.nextUpdate,
    cAFingerprint === null ? null : Buffer.from(cAFingerprint, 'hex'),
    crl.size,
    crl.entries,
    crl.issuerHash,
    authorityKeyId,
    authorityKeyId && hash('sha1', authorityKeyId, 'buffer'),
    issuingDistributionPoint && JSON.stringify(issuingDistributionPoint),
  ];
}

function fromRow(row: Record<string, unknown>): StoredCrl {
  const { fingerprint, cAFingerprint, issuingDistributionPoint } = row;
  return {
    ...(row as unknown as StoredCrl),
    fingerprint: Buffer.from(fingerprint as Uint8Array).toString('hex'),
    cAFingerprint: cAFingerprint === null ? null : Buffer.from(cAFingerprint as Uint8Array).toString('hex'),
    issuingDistributionPoint: issuingDistributionPoint === null ? null : JSON.parse(String(issuingDistributionPoint)),
  };
}
