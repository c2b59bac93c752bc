/**
 * The PostgreSQL form of certificate data: its tables.
 *
 * As in SQLite status lives in one narrow table, certificates, which are long and never change, in another one, and
 * issuers are written once. Columns have EJBCA's names; `digest` is the first eight bytes of the row's digest.
 *
 * Locks, in this order within a transaction: the shared lock of the store; rows of CertificateData in the order of
 * fingerprints; rows of PublisherQueue in the order of peers and fingerprints; one row of Counts. Who makes sums anew
 * holds the lock of the store alone, so that a mark it takes away cannot be missed by a writer.
 */
import { hash } from 'node:crypto';
import { PeerError } from '../errors.ts';
import type { PostgresRow, PostgresSession } from './postgres-session.ts';

const APPLICATION = 'node-red-ejbca-peers';
const SCHEMA_VERSION = 1;
/** `PEER` in ASCII, in the upper half of the numbers of our locks. */
const LOCK_CLASS = 0x50454552n << 32n;
/** Writers of different connections count in different rows, so that they do not wait for each other. */
const COUNT_SLOTS = 16;
/** Numbers of certificates that a writer takes at a time. */
export const BODIES_PER_BLOCK = 1_000;

const TABLES = `
  CREATE TABLE Issuer (
    issuerId INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issuerDN TEXT NOT NULL,
    -- SHA-256; a long name does not fit into an index.
    issuerHash BYTEA NOT NULL UNIQUE
  );
  CREATE TABLE CertificateData (
    fingerprint BYTEA PRIMARY KEY,
    issuerId INTEGER NOT NULL,
    subjectDN TEXT NOT NULL,
    serialNumber BYTEA NOT NULL,
    status INTEGER NOT NULL,
    revocationReason INTEGER NOT NULL,
    revocationDate BIGINT NOT NULL,
    updateTime BIGINT NOT NULL,
    expireDate BIGINT NOT NULL,
    notBefore BIGINT NOT NULL,
    cAFingerprint BYTEA,
    subjectKeyId BYTEA,
    type INTEGER NOT NULL,
    tag TEXT,
    crlPartitionIndex INTEGER NOT NULL,
    certificateProfileId INTEGER NOT NULL,
    username TEXT,
    digest BYTEA NOT NULL,
    bodyId BIGINT
  ) WITH (fillfactor = 90);
  CREATE INDEX CertificateData_serialNumber ON CertificateData (serialNumber, issuerId);
  CREATE TABLE CertificateBody (bodyId BIGINT PRIMARY KEY, certificate BYTEA NOT NULL);
  CREATE SEQUENCE CertificateBodyBlock;
  CREATE TABLE Counts (
    slot INTEGER PRIMARY KEY, total BIGINT NOT NULL, revoked BIGINT NOT NULL, withCertificate BIGINT NOT NULL
  ) WITH (fillfactor = 10);
  INSERT INTO Counts SELECT slot, 0, 0, 0 FROM generate_series(0, ${COUNT_SLOTS - 1}) AS slot;
  CREATE TABLE BucketSum (
    bucket INTEGER PRIMARY KEY, version BIGINT NOT NULL, count BIGINT NOT NULL,
    high BIGINT NOT NULL, low BIGINT NOT NULL, bodyHigh BIGINT NOT NULL, bodyLow BIGINT NOT NULL
  );
  CREATE SEQUENCE BucketSumVersion;
  -- Not unique: two writers that mark the same bucket do not wait for each other.
  CREATE TABLE DirtyBucket (bucket INTEGER NOT NULL);
  CREATE INDEX DirtyBucket_bucket ON DirtyBucket (bucket);
  CREATE TABLE PublisherQueue (
    peer TEXT COLLATE "C" NOT NULL,
    kind INTEGER NOT NULL,
    fingerprint BYTEA NOT NULL,
    sequence BIGINT NOT NULL,
    withCertificate BOOLEAN NOT NULL,
    addedAt BIGINT NOT NULL,
    dueAt BIGINT NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    lastAttemptAt BIGINT NOT NULL DEFAULT -1,
    lastCode TEXT NOT NULL DEFAULT '',
    lastDetail TEXT NOT NULL DEFAULT '',
    parkedAt BIGINT,
    PRIMARY KEY (peer, kind, fingerprint)
  );
  CREATE INDEX PublisherQueue_due ON PublisherQueue (peer, kind, dueAt, addedAt, sequence) WHERE parkedAt IS NULL;
  CREATE SEQUENCE PublisherSequence;
  CREATE TABLE CaCertificate (
    fingerprint BYTEA PRIMARY KEY,
    subjectDN TEXT NOT NULL,
    name TEXT,
    subjectHash BYTEA NOT NULL,
    issuerHash BYTEA NOT NULL,
    keyId BYTEA,
    keyIdHash BYTEA,
    isSelfIssued BOOLEAN NOT NULL
  );
  CREATE INDEX CaCertificate_subjectDN ON CaCertificate USING hash (subjectDN);
  CREATE INDEX CaCertificate_name ON CaCertificate USING hash (name);
  CREATE INDEX CaCertificate_subjectHash ON CaCertificate (subjectHash);
  CREATE INDEX CaCertificate_issuerHash ON CaCertificate (issuerHash);
  CREATE INDEX CaCertificate_keyId ON CaCertificate USING hash (keyId);
  CREATE INDEX CaCertificate_keyIdHash ON CaCertificate (keyIdHash);
  CREATE TABLE CrlData (
    crlId BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint BYTEA NOT NULL UNIQUE,
    issuerDN TEXT NOT NULL,
    issuerKey BYTEA NOT NULL,
    name TEXT,
    crlPartitionIndex INTEGER NOT NULL,
    isDelta BOOLEAN NOT NULL,
    cRLNumber TEXT NOT NULL,
    deltaCRLIndicator TEXT NOT NULL,
    thisUpdate BIGINT NOT NULL,
    nextUpdate BIGINT NOT NULL,
    cAFingerprint BYTEA,
    size BIGINT NOT NULL,
    entries INTEGER NOT NULL,
    issuerHash BYTEA NOT NULL,
    keyId BYTEA,
    keyIdHash BYTEA,
    issuingDistributionPoint TEXT,
    UNIQUE (issuerKey, crlPartitionIndex, isDelta)
  );
  CREATE TABLE CrlBody (
    crlId BIGINT NOT NULL, position BIGINT NOT NULL, crl BYTEA NOT NULL, PRIMARY KEY (crlId, position)
  );
  CREATE TABLE PeerStore (application TEXT NOT NULL, version INTEGER NOT NULL);
  INSERT INTO PeerStore VALUES ('${APPLICATION}', ${SCHEMA_VERSION});
`;

/** Adds to the counts of this connection, and marks buckets, within a transaction. */
export const FINISH = `
  WITH counted AS (
    UPDATE Counts SET total = total + $1, revoked = revoked + $2, withCertificate = withCertificate + $3
    WHERE slot = pg_backend_pid() % ${COUNT_SLOTS}
  )
  INSERT INTO DirtyBucket SELECT bucket FROM unnest($4::INTEGER[]) AS bucket
  WHERE NOT EXISTS (SELECT FROM DirtyBucket AS known WHERE known.bucket = bucket.bucket)
`;

/**
 * Looks at the tables and makes them when there are none.
 *
 * @param name of the database, for messages
 * @throws PeerError ERR_STORE_NOT_A_DATABASE when they are not ours, ERR_INVALID_CONFIG, what the driver throws
 */
export async function prepareDatabase(session: PostgresSession, name: string): Promise<void> {
  if (await isReady(session, name)) return;
  // One instance makes them; the others wait and find them.
  const lock = `SELECT pg_advisory_xact_lock(${LOCK_CLASS})`;
  await session.transact(async () => {
    if (!(await isReady(session, name))) await session.query(TABLES);
  }, lock);
}

async function isReady(session: PostgresSession, name: string): Promise<boolean> {
  const [found] = await session.query(
    "SELECT to_regclass('peerstore') IS NOT NULL, current_setting('server_encoding'), " +
      '(SELECT min(tablename) FROM pg_catalog.pg_tables WHERE schemaname = current_schema())',
  );
  const [isOurs, encoding, other] = found ?? [];
  if (encoding !== 'UTF8')
    throw new PeerError('ERR_INVALID_CONFIG', `The ${name} has the encoding ${encoding}; it must have UTF8`);
  if (isOurs === true) return checkVersion(await session.query('SELECT application, version FROM PeerStore'), name);
  if (typeof other === 'string')
    throw new PeerError('ERR_STORE_NOT_A_DATABASE', `The ${name} holds tables of another program, such as ${other}`);
  return false;
}

function checkVersion(rows: readonly PostgresRow[], name: string): true {
  const [application, version] = rows[0] ?? [];
  if (rows.length !== 1 || application !== APPLICATION)
    throw new PeerError('ERR_STORE_NOT_A_DATABASE', `The ${name} holds tables of another program`);
  if (version !== SCHEMA_VERSION)
    throw new PeerError(
      'ERR_STORE_NOT_A_DATABASE',
      `The ${name} has store version ${version}, this program knows ${SCHEMA_VERSION}`,
    );
  return true;
}

/** The statement that locks the store until the transaction ends; for several at once, or for one alone. */
export function storeLock(mode: 'shared' | 'alone'): string {
  const take = mode === 'shared' ? 'pg_advisory_xact_lock_shared' : 'pg_advisory_xact_lock';
  return `SELECT ${take}(${LOCK_CLASS} + 'CertificateData'::regclass::oid::bigint)`;
}

/** Held alone by who puts a CRL of a CA in the place of another. */
export function crlLock(issuerDN: string): string {
  const number = hash('sha256', issuerDN, 'buffer').readInt32BE();
  return `SELECT pg_advisory_xact_lock('CrlData'::regclass::oid::integer, ${number})`;
}
