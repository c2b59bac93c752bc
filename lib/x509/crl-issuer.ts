/** Which certificate of a CA a CRL was signed with. */
import { type KeyObject, X509Certificate } from 'node:crypto';
import { readCertificate } from './certificate.ts';
import { DerCursor, DerError, TAG } from './der.ts';

/** A CA certificate whose key may sign CRLs. */
export interface CrlIssuer {
  readonly fingerprint: string;
  /** Base64; null = the certificate names none. */
  readonly subjectKeyId: string | null;
  readonly key: KeyObject;
}

const EXTENSIONS = 0xa3;
const KEY_USAGE = Buffer.from('551d0f', 'hex');
/** Bit 6 of KeyUsage (RFC 5280 4.2.1.3). */
const CRL_SIGN = 0x02;

/** What of a CA certificate matters to CRLs; undefined when it may not sign any (RFC 5280 6.3.3 f), or is not readable. */
export function crlIssuerOf(certificate: Uint8Array): CrlIssuer | undefined {
  try {
    const { fingerprint, subjectKeyId, isCa } = readCertificate(certificate);
    if (!isCa || !maySignCrls(certificate)) return undefined;
    return { fingerprint, subjectKeyId, key: new X509Certificate(certificate).publicKey };
  } catch {
    return undefined;
  }
}

/** A certificate without key usage may do everything. */
function maySignCrls(certificate: Uint8Array): boolean {
  const tbs = inside(inside(new DerCursor(certificate)));
  while (tbs.read()) {
    if (tbs.tag !== EXTENSIONS) continue;
    const extensions = inside(tbs.enter());
    while (extensions.read()) {
      const fields = extensions.enter();
      fields.expect(TAG.objectIdentifier);
      if (Buffer.compare(fields.content(), KEY_USAGE) === 0) return hasCrlSign(fields);
    }
  }
  return true;
}

/** A cursor over what the next element, a SEQUENCE, holds. */
function inside(cursor: DerCursor): DerCursor {
  cursor.expect(TAG.sequence);
  return cursor.enter();
}

function hasCrlSign(fields: DerCursor): boolean {
  fields.read();
  if (fields.tag === TAG.boolean) fields.read();
  if (fields.tag !== TAG.octetString) throw new DerError('a key usage without value', fields.start);
  const value = fields.enter();
  value.expect(TAG.bitString);
  return ((value.content()[1] ?? 0) & CRL_SIGN) !== 0;
}
