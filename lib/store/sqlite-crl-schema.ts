/** The tables of CRLs and CA certificates in a SQLite store. */
export const CRL_TABLES = `
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
