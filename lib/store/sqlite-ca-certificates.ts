/** Enters CA certificates into a SQLite store. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { caEntryOf } from './ca-certificate.ts';
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
    const entry = caEntryOf(row, certificate);
    if (entry === undefined) return;
    const { fingerprint, subjectDN, name, subjectHash, issuerHash, keyId, keyIdHash, isSelfIssued } = entry;
    this.#add.run(fingerprint, subjectDN, name, subjectHash, issuerHash, keyId, keyIdHash, Number(isSelfIssued));
  }
}
