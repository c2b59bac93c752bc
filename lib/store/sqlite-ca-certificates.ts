/** Enters CA certificates by what they are looked for: names, and SHA-1 of names and key identifiers (RFC 4387 2.2). */
import { hash } from 'node:crypto';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type CertificateFacts, readCertificate } from '../x509/certificate.ts';
import { attributeValues } from '../x509/distinguished-name.ts';
import type { RowColumns } from './certificate-row.ts';

const ADD =
  'INSERT OR REPLACE INTO CaCertificate ' +
  '(fingerprint, subjectDN, name, subjectHash, issuerHash, keyId, keyIdHash, isSelfIssued) VALUES (?,?,?,?,?,?,?,?)';

/** Writes within the transaction of the row. */
export class SqliteCaCertificates {
  readonly #add: StatementSync;

  constructor(db: DatabaseSync) {
    this.#add = db.prepare(ADD);
  }

  /** Enters a certificate if it is that of a CA and carries the names its row has. */
  add(row: Pick<RowColumns, 'fingerprint' | 'issuerDN' | 'subjectDN'>, certificate: Uint8Array): void {
    const facts = factsOf(certificate);
    // Rights were checked for the issuer that the row names, so the certificate must name the same.
    if (!facts?.isCa || facts.issuerDN !== row.issuerDN || facts.subjectDN !== row.subjectDN) return;
    const keyId = facts.subjectKeyId === null ? null : Buffer.from(facts.subjectKeyId, 'base64');
    this.#add.run(
      row.fingerprint,
      facts.subjectDN,
      attributeValues(facts.subjectDN, 'CN')[0] ?? null,
      hash('sha1', facts.subjectDer, 'buffer'),
      hash('sha1', facts.issuerDer, 'buffer'),
      keyId,
      keyId && hash('sha1', keyId, 'buffer'),
      Number(facts.selfIssued),
    );
  }
}

/** A row may carry bytes that are no certificate; they are found by their fingerprint only. */
function factsOf(certificate: Uint8Array): CertificateFacts | undefined {
  try {
    return readCertificate(certificate);
  } catch {
    return undefined;
  }
}
