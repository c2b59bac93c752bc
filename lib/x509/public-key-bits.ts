/** What key identifiers and CertIDs are made of. */
import { PeerError } from '../errors.ts';
import { DerCursor, TAG } from './der.ts';

/**
 * The bits of the public key in a SubjectPublicKeyInfo, without tag, length and the count of unused bits
 * (RFC 5280 4.2.1.2, RFC 6960 4.1.1).
 *
 * @throws PeerError ERR_INVALID_CERTIFICATE when there are none
 */
export function publicKeyBits(spki: Uint8Array): Uint8Array {
  try {
    const fields = new DerCursor(spki);
    fields.expect(TAG.sequence);
    fields.moveInto(fields);
    fields.expect(TAG.sequence);
    fields.expect(TAG.bitString);
    return fields.content().subarray(1);
  } catch (cause) {
    throw new PeerError('ERR_INVALID_CERTIFICATE', 'The public key of the issuer is not readable', { cause });
  }
}
