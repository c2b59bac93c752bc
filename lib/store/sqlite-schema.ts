/**
 * The SQLite form of certificate data: opening a file, and its tables.
 *
 * Status lives in one narrow table, certificates, which are long, in another one, both in the order of arrival,
 * so that what arrives in any order dirties only pages of the two small indexes; issuers are written once. The end
 * of a serial number finds a row as well as all of it, and makes half the index. Columns have EJBCA's names;
 * `digest` is the first eight bytes of the row's digest, and the sums of digests are kept for comparisons.
 */
import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { PeerError } from '../errors.ts';
import { CRL_TABLES } from './sqlite-crl-schema.ts';
import { QUEUE_TABLES } from './sqlite-queue.ts';

/** `PEER` in ASCII; tells our files from those of other programs. */
const APPLICATION_ID = 0x50454552;
const SCHEMA_VERSION = 2;

/** Kilobytes of pages in memory, negative as SQLite has it. */
export const CACHE_SIZE = -65_536;

const BUSY_TIMEOUT_MS = 5_000;

const TABLES = `
  CREATE TABLE Issuer (issuerId INTEGER PRIMARY KEY, issuerDN TEXT NOT NULL UNIQUE);
  CREATE TABLE CertificateData (
    fingerprint BLOB NOT NULL UNIQUE,
    issuerId INTEGER NOT NULL,
    subjectDN TEXT NOT NULL,
    serialNumber BLOB NOT NULL,
    status INTEGER NOT NULL,
    revocationReason INTEGER NOT NULL,
    revocationDate INTEGER NOT NULL,
    updateTime INTEGER NOT NULL,
    expireDate INTEGER NOT NULL,
    notBefore INTEGER NOT NULL,
    cAFingerprint BLOB,
    subjectKeyId BLOB,
    type INTEGER NOT NULL,
    tag TEXT,
    crlPartitionIndex INTEGER NOT NULL,
    certificateProfileId INTEGER NOT NULL,
    username TEXT,
    digest BLOB NOT NULL,
    bodyId INTEGER
  );
  CREATE INDEX CertificateData_serialNumber ON CertificateData (substr(serialNumber, -4));
  CREATE TABLE CertificateBody (bodyId INTEGER PRIMARY KEY, certificate BLOB NOT NULL);
  CREATE TABLE Counts (total INTEGER NOT NULL, revoked INTEGER NOT NULL, withCertificate INTEGER NOT NULL);
  INSERT INTO Counts VALUES (0, 0, 0);
  CREATE TABLE BucketSum (
    bucket INTEGER PRIMARY KEY, count INTEGER NOT NULL,
    high INTEGER NOT NULL, low INTEGER NOT NULL, bodyHigh INTEGER NOT NULL, bodyLow INTEGER NOT NULL
  );
  CREATE TABLE DirtyBucket (bucket INTEGER PRIMARY KEY);
`;

/**
 * Opens a store file, making it when it is not there.
 *
 * @throws PeerError ERR_STORE_NOT_A_DATABASE, ERR_STORE_FULL, ERR_STORE_UNAVAILABLE
 */
export function openSqlite(file: string): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: false });
    prepareFile(db, file);
    return db;
  } catch (error) {
    db?.close();
    throw toStoreError(error, file);
  }
}

function prepareFile(db: DatabaseSync, file: string): void {
  const isNew = isEmpty(db, file);
  // Pages of 16 KB make sorted inserts about a fifth faster; the size is fixed when the file is made.
  if (isNew) db.exec('PRAGMA page_size = 16384');
  // FULL: a commit has reached the disk before it is acknowledged; NORMAL loses the last ones in a power cut.
  db.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; ' +
      `PRAGMA cache_size = ${CACHE_SIZE}`,
  );
  if (!isNew) return;
  db.exec('BEGIN IMMEDIATE');
  // Another thread or process may have made the tables in between.
  if (isEmpty(db, file)) {
    db.exec(
      `${TABLES} ${QUEUE_TABLES} ${CRL_TABLES} PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`,
    );
  }
  db.exec('COMMIT');
}

/** Whether the tables have yet to be made. @throws PeerError ERR_STORE_NOT_A_DATABASE when it is not ours */
function isEmpty(db: DatabaseSync, file: string): boolean {
  const applicationId = pragma(db, 'application_id');
  const version = pragma(db, 'user_version');
  const tables = db.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n'];
  if (applicationId === 0 && version === 0 && tables === 0) return true;
  if (applicationId !== APPLICATION_ID) {
    throw new PeerError('ERR_STORE_NOT_A_DATABASE', `${file} is a database of another program`);
  }
  if (version !== SCHEMA_VERSION) {
    throw new PeerError(
      'ERR_STORE_NOT_A_DATABASE',
      `${file} has store version ${version}, this program knows ${SCHEMA_VERSION}`,
    );
  }
  return false;
}

function pragma(db: DatabaseSync, name: string): unknown {
  return db.prepare(`PRAGMA ${name}`).get()?.[name];
}

const SQLITE_IOERR = 10;
const SQLITE_FULL = 13;
const SQLITE_CONSTRAINT = 19;
const SQLITE_NOTADB = 26;

/** Whether one statement was refused; the transaction goes on. */
export function isConstraintFailure(error: unknown): boolean {
  return ((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_CONSTRAINT;
}

/** What SQLite says, as an error of this package. */
export function toStoreError(error: unknown, file: string): PeerError {
  if (error instanceof PeerError) return error;
  const { errcode, message } = error as { errcode?: number; message: string };
  // The upper bits only refine what the lower eight say.
  const primary = (errcode ?? 0) & 0xff;
  if (primary === SQLITE_NOTADB) {
    return new PeerError('ERR_STORE_NOT_A_DATABASE', `${file} is not a database`, { cause: error });
  }
  if (primary === SQLITE_FULL || (primary === SQLITE_IOERR && isDiskFull(file))) {
    return new PeerError('ERR_STORE_FULL', `The disk of ${file} is full`, { cause: error });
  }
  return new PeerError('ERR_STORE_UNAVAILABLE', `${file}: ${message}`, { cause: error });
}

/** SQLite reports a shared memory file that cannot grow as an input/output error. */
function isDiskFull(file: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(file));
    return bavail * bsize < 1024 * 1024;
  } catch {
    return false;
  }
}
