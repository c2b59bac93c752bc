/**
 * CRLs and CA certificates in PostgreSQL: finding them, and one CRL in the place of another.
 *
 * Who replaces a CRL holds the lock of its CA, so that two instances judge one after the other.
 */
import { hash } from 'node:crypto';
import { attributeValues } from '../x509/distinguished-name.ts';
import type { CaEntry } from './ca-certificate.ts';
import type { CaCertificate, CaQuery, CrlReplacement, CrlTables, StoredCrl } from './crl-data.ts';
import { isDelta } from './crl-rules.ts';
import type { PostgresConnection } from './postgres-connection.ts';
import { setMarks, takeSequences } from './postgres-queue.ts';
import { bytesOf, digitsOf } from './postgres-row.ts';
import { crlLock } from './postgres-schema.ts';
import type { PostgresRow, PostgresSession, SqlValue } from './postgres-session.ts';
import { MARK_KINDS } from './publisher-queue.ts';

const MAX_CA_CERTIFICATES = 100;
/** Partitions of one CA, full and delta. */
const MAX_CRLS_OF_CA = 10_000;

/** In the order of `fromRow`. */
const ROW =
  'fingerprint, issuerDN, crlPartitionIndex, cRLNumber, deltaCRLIndicator, thisUpdate, nextUpdate, cAFingerprint, ' +
  'size, entries, issuerHash, keyId, issuingDistributionPoint';
const ORDER = 'ORDER BY issuerDN, crlPartitionIndex, isDelta LIMIT';

const SQL = {
  addCaCertificates:
    'INSERT INTO CaCertificate (fingerprint, subjectDN, name, subjectHash, issuerHash, keyId, keyIdHash, isSelfIssued) ' +
    'SELECT * FROM unnest($1::BYTEA[], $2::TEXT[], $3::TEXT[], $4::BYTEA[], $5::BYTEA[], $6::BYTEA[], $7::BYTEA[], $8::BOOLEAN[]) ' +
    'ON CONFLICT (fingerprint) DO NOTHING',
  remove:
    'DELETE FROM CrlData WHERE issuerKey = $1 AND crlPartitionIndex = $2 AND isDelta = $3 RETURNING crlId, fingerprint',
  removeBody: 'DELETE FROM CrlBody WHERE crlId = ANY ($1)',
  add:
    'INSERT INTO CrlData (fingerprint, issuerDN, issuerKey, name, crlPartitionIndex, isDelta, cRLNumber, ' +
    'deltaCRLIndicator, thisUpdate, nextUpdate, cAFingerprint, size, entries, issuerHash, keyId, keyIdHash, ' +
    'issuingDistributionPoint) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17) RETURNING crlId',
  addBody: 'INSERT INTO CrlBody (crlId, position, crl) VALUES ($1,$2,$3)',
  list: `SELECT ${ROW} FROM CrlData ${ORDER} $1`,
  byFingerprint: `SELECT ${ROW} FROM CrlData WHERE fingerprint = $1`,
  chunk: 'SELECT crl FROM CrlBody JOIN CrlData USING (crlId) WHERE fingerprint = $1 AND position = $2',
  takeMarks:
    'DELETE FROM PublisherQueue WHERE kind = $1 AND fingerprint = ANY ($2) ' +
    'RETURNING peer, CASE WHEN parkedAt IS NULL THEN addedAt ELSE $3 END',
} as const;

/** Enters CA certificates, within the transaction of their rows. */
export async function addCaCertificates(session: PostgresSession, entries: readonly CaEntry[]): Promise<void> {
  if (entries.length === 0) return;
  await session.query(SQL.addCaCertificates, [
    entries.map(({ fingerprint }) => fingerprint),
    entries.map(({ subjectDN }) => subjectDN),
    entries.map(({ name }) => name),
    entries.map(({ subjectHash }) => subjectHash),
    entries.map(({ issuerHash }) => issuerHash),
    entries.map(({ keyId }) => keyId),
    entries.map(({ keyIdHash }) => keyIdHash),
    entries.map(({ isSelfIssued }) => isSelfIssued),
  ]);
}

/** Statements over one database. */
export class PostgresCrls implements CrlTables {
  readonly #reading: PostgresConnection;
  readonly #writing: PostgresConnection;

  constructor(reading: PostgresConnection, writing: PostgresConnection) {
    this.#reading = reading;
    this.#writing = writing;
  }

  async caCertificates(query: CaQuery): Promise<readonly CaCertificate[]> {
    const { where, value } = conditionOf(query, 'subjectDN');
    const rows = await this.#read(
      'SELECT fingerprint, certificate FROM ' +
        `(SELECT fingerprint FROM CaCertificate WHERE ${where}) AS found JOIN CertificateData USING (fingerprint) ` +
        `JOIN CertificateBody USING (bodyId) ORDER BY bodyId DESC LIMIT ${MAX_CA_CERTIFICATES}`,
      [value],
    );
    return rows.map(([fingerprint, certificate]) => ({
      fingerprint: digitsOf(fingerprint as string),
      certificate: bytesOf(certificate),
    }));
  }

  crlsOf(query: CaQuery): Promise<readonly StoredCrl[]> {
    return this.#reading.use((session) => crlsOf(session, query));
  }

  async list(limit: number): Promise<readonly StoredCrl[]> {
    return (await this.#read(SQL.list, [limit])).map(fromRow);
  }

  async crlByFingerprint(fingerprint: string): Promise<StoredCrl | undefined> {
    const [row] = await this.#read(SQL.byFingerprint, [Buffer.from(fingerprint, 'hex')]);
    return row && fromRow(row);
  }

  replace(crl: StoredCrl, replacement: CrlReplacement): Promise<number> {
    // Chunks can be read only once, so this is no work to be repeated.
    return this.#writing.use((session) =>
      session.transact(() => replace(session, crl, replacement), crlLock(crl.issuerDN)),
    );
  }

  mark(fingerprint: string, peers: readonly string[]): Promise<number | undefined> {
    const bytes = Buffer.from(fingerprint, 'hex');
    return this.#writing.repeat((session) =>
      session.transact(async () => {
        const [found] = await session.query(`${SQL.byFingerprint} FOR SHARE`, [bytes]);
        return found === undefined ? undefined : markCrl(session, bytes, peers);
      }),
    );
  }

  async readChunk(fingerprint: string, position: number): Promise<Uint8Array | undefined> {
    const [row] = await this.#read(SQL.chunk, [Buffer.from(fingerprint, 'hex'), position]);
    return row && bytesOf(row[0]);
  }

  #read(sql: string, values: readonly SqlValue[]): Promise<readonly PostgresRow[]> {
    return this.#reading.use((session) => session.query(sql, values));
  }
}

async function crlsOf(session: PostgresSession, query: CaQuery): Promise<readonly StoredCrl[]> {
  const { subjectHash, ...others } = query;
  // The subject of a CA is the issuer of its CRLs.
  const asked = subjectHash === undefined ? others : { issuerHash: subjectHash };
  const { where, value } = conditionOf(asked, 'issuerDN');
  const rows = await session.query(`SELECT ${ROW} FROM CrlData WHERE ${where} ${ORDER} ${MAX_CRLS_OF_CA}`, [value]);
  return rows.map(fromRow);
}

async function replace(
  session: PostgresSession,
  crl: StoredCrl,
  { chunks, judge, peers }: CrlReplacement,
): Promise<number> {
  judge(await crlsOf(session, { issuerDN: crl.issuerDN }));
  const former = await session.query(SQL.remove, [keyOf(crl.issuerDN), crl.crlPartitionIndex, isDelta(crl)]);
  await session.query(SQL.removeBody, [former.map(([crlId]) => crlId as number)]);
  const [added] = await session.query(SQL.add, valuesOf(crl));
  const crlId = added?.[0] as number;
  let position = 0;
  for (const chunk of chunks) {
    await session.query(SQL.addBody, [crlId, position, chunk]);
    position += chunk.length;
  }
  if (position !== crl.size) throw new Error(`${position} of ${crl.size} bytes of the CRL could be read`);
  const formerOnes = former.map(([, fingerprint]) => bytesOf(fingerprint));
  return markCrl(session, Buffer.from(crl.fingerprint, 'hex'), peers, formerOnes);
}

/** Marks of the former ones become marks of this one. */
async function markCrl(
  session: PostgresSession,
  fingerprint: Uint8Array,
  peers: readonly string[],
  former: readonly Uint8Array[] = [],
): Promise<number> {
  const now = Date.now();
  const [sequence = 0] = await takeSequences(session, 1);
  const taken = former.length === 0 ? [] : await session.query(SQL.takeMarks, [MARK_KINDS.crl, former, now]);
  const addedAt = new Map(peers.map((peer) => [peer, now]));
  for (const [peer, since] of taken) addedAt.set(String(peer), Math.min(Number(since), now));
  const names = [...addedAt.keys()].sort();
  const marks = names.map((peer) => ({ peer, addedAt: addedAt.get(peer) ?? now }));
  await setMarks(
    session,
    'crl',
    marks.map((mark) => ({ ...mark, fingerprint, sequence, withCertificate: false })),
  );
  return sequence;
}

/** @param dnColumn column that `issuerDN`, the name of the CA, stands in */
function conditionOf(query: CaQuery, dnColumn: 'issuerDN' | 'subjectDN'): { where: string; value: SqlValue } {
  const { issuerDN, issuerHash, subjectHash, keyId, name } = query;
  if (issuerDN !== undefined) return { where: `${dnColumn} = $1`, value: issuerDN };
  if (issuerHash !== undefined) {
    const onlyOthers = dnColumn === 'subjectDN' ? ' AND NOT isSelfIssued' : '';
    return { where: `issuerHash = $1${onlyOthers}`, value: issuerHash };
  }
  if (subjectHash !== undefined) return { where: 'subjectHash = $1', value: subjectHash };
  if (keyId !== undefined) return { where: '(keyId = $1 OR keyIdHash = $1)', value: keyId };
  return { where: 'name = $1', value: name ?? '' };
}

/** A long name does not fit into an index. */
function keyOf(issuerDN: string): Uint8Array {
  return hash('sha256', issuerDN, 'buffer');
}

function valuesOf(crl: StoredCrl): readonly SqlValue[] {
  const { authorityKeyId, issuingDistributionPoint, cAFingerprint } = crl;
  return [
    Buffer.from(crl.fingerprint, 'hex'),
    crl.issuerDN,
    keyOf(crl.issuerDN),
    attributeValues(crl.issuerDN, 'CN')[0] ?? null,
    crl.crlPartitionIndex,
    isDelta(crl),
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

function fromRow(row: PostgresRow): StoredCrl {
  const [fingerprint, issuerDN, crlPartitionIndex, cRLNumber, deltaCRLIndicator, thisUpdate, nextUpdate] = row;
  const [cAFingerprint, size, entries, issuerHash, keyId, point] = row.slice(7);
  return {
    fingerprint: digitsOf(fingerprint as string),
    issuerDN: String(issuerDN),
    crlPartitionIndex: crlPartitionIndex as number,
    cRLNumber: String(cRLNumber),
    deltaCRLIndicator: String(deltaCRLIndicator),
    thisUpdate: thisUpdate as number,
    nextUpdate: nextUpdate as number,
    cAFingerprint: digitsOf(cAFingerprint as string | null),
    size: size as number,
    entries: entries as number,
    issuerHash: bytesOf(issuerHash),
    authorityKeyId: keyId === null ? null : bytesOf(keyId),
    issuingDistributionPoint: point === null ? null : JSON.parse(String(point)),
  };
}
