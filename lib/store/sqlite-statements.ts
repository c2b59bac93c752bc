/**
 * The statements that write rows, and the values they take.
 */
import type { RowColumns } from './certificate-row.ts';

/** Columns that change, in the order of `stateOf`. */
const STATE =
  'subjectDN, status, revocationReason, revocationDate, updateTime, expireDate, notBefore, ' +
  'cAFingerprint, subjectKeyId, type, tag, crlPartitionIndex, certificateProfileId, username';

/** Statements by what they do. */
export const SQL = {
  issuer: 'SELECT issuerId FROM Issuer WHERE issuerDN = ?',
  addIssuer: 'INSERT INTO Issuer (issuerDN) VALUES (?)',
  insert:
    `INSERT INTO CertificateData (fingerprint, issuerId, bodyId, digest, serialNumber, ${STATE}) ` +
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
  savepoint: 'SAVEPOINT OneRow',
  undo: 'ROLLBACK TO OneRow',
  release: 'RELEASE OneRow',
  markBucket: 'INSERT OR IGNORE INTO DirtyBucket VALUES (?)',
} as const;

type Value = string | number | Uint8Array | null;

/** What changes of a row, in the order of STATE. */
export function stateOf(row: RowColumns): Value[] {
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
