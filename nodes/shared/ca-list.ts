/**
 * CA certificates of a list in a dialog: each in a PEM file, or pasted.
 */
import { readFileSync } from 'node:fs';
import { PeerError } from '../../lib/errors.ts';
import { readPem } from '../../lib/x509/pem.ts';

/** One row of such a list. */
export interface CaField {
  readonly source: 'file' | 'pasted';
  /** Path or PEM text. */
  readonly value: string;
}

/**
 * DER of the certificates of a row.
 *
 * @throws PeerError ERR_IDENTITY_UNREADABLE, ERR_INVALID_CERTIFICATE
 */
export function readCas({ source, value }: CaField): readonly Uint8Array[] {
  return readPem(source === 'file' ? readCaFile(value) : value);
}

function readCaFile(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch (cause) {
    throw new PeerError('ERR_IDENTITY_UNREADABLE', `The CA file ${file} cannot be read`, { cause });
  }
}
