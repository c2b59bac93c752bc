/**
 * The tables of CRLs and CA certificates in a SQLite store. They came after the first tables and are made in older
 * files too; CA certificates that are there already are entered then.
 */
import type { DatabaseSync } from 'node:sqlite';
import { CERTIFICATE_TYPE } from './certificate-data.ts';
import { SqliteCaCertificates } from './sqlite-ca-certificates.ts';

const TABLES = `
  CREATE TABLE CaCertificate (
    fingerprint BLOB PRIMARY KEY,
    subjectDN TEXT NOT NULL,
    name TEXT,
    subjectHash BLOB NOT NULL,
    issuerHash BLOB NOT NULL,
    keyId BLOB,
    keyIdHash BLOB,
    isSelfIssued INTEGER NOT NULL
  );
  CREATE INDEX CaCertificate_subjectDN ON CaCertificate (subjectDN);
  CREATE INDEX CaCertificate_name ON CaCertificate (name);
  CREATE INDEX CaCertificate_subjectHash ON CaCertificate (subjectHash);
  CREATE INDEX CaCertificate_issuerHash ON CaCertificate (issuerHash);
  CREATE INDEX CaCertificate_keyId ON CaCertificate (keyId);
  CREATE INDEX CaCertificate_keyIdHash ON CaCertificate (keyIdHash);
  CREATE TABLE CrlData (
    crlId INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL UNIQUE,
    issuerDN TEXT NOT NULL,
    name TEXT,
    crlPartitionIndex INTEGER NOT NULL,
    isDelta INTEGER NOT NULL,
    cRLNumber TEXT NOT NULL,
    deltaCRLIndicator TEXT NOT NULL,
    thisUpdate INTEGER NOT NULL,
    nextUpdate INTEGER NOT NULL,
    cAFingerprint BLOB,
    size INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    issuerHash BLOB NOT NULL,
    keyId BLOB,
    keyIdHash BLOB,
    issuingDistributionPoint TEXT,
    UNIQUE (issuerDN, crlPartitionIndex, isDelta)
  );
  CREATE INDEX CrlData_issuerHash ON CrlData (issuerHash);
  CREATE INDEX CrlData_name ON CrlData (name);
  CREATE INDEX CrlData_keyId ON CrlData (keyId);
  CREATE INDEX CrlData_keyIdHash ON CrlData (keyIdHash);
  CREATE TABLE CrlBody (crlId INTEGER NOT NULL, position INTEGER NOT NULL, crl BLOB NOT NULL, UNIQUE (crlId, position));
`;

/** Makes the tables where they are missing. */
export function prepareCrlTables(db: DatabaseSync): void {
  if (hasTables(db)) return;
  db.exec('BEGIN IMMEDIATE');
  // Another thread or process may have made them in between.
  if (!hasTables(db)) {
    db.exec(TABLES);
    enterCaCertificates(db);
  }
  db.exec('COMMIT');
}

function hasTables(db: DatabaseSync): boolean {
  return db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'CrlData'").get() !== undefined;
}

function enterCaCertificates(db: DatabaseSync): void {
  const rows = db.prepare(
    'SELECT fingerprint, issuerDN, subjectDN, certificate FROM CertificateData JOIN Issuer USING (issuerId) ' +
      `JOIN CertificateBody USING (bodyId) WHERE type <> ${CERTIFICATE_TYPE.endEntity}`,
  );
  const caCertificates = new SqliteCaCertificates(db);
  for (const row of rows.all()) {
    const { certificate, ...names } = row as unknown as Parameters<SqliteCaCertificates['add']>[0] & {
      readonly certificate: Uint8Array;
    };
    caCertificates.add(names, certificate);
  }
}
