/** Reads what a certificate request wants in its certificate: the alternative names of the subject, and no more. */
import { DerCursor, DerError, TAG } from './der.ts';
import { dottedFromOid } from './object-identifier.ts';

/** PKCS#9 extensionRequest (RFC 2985 5.4.2). */
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';
const SUBJECT_ALT_NAME = '2.5.29.17';
/** rfc822Name, dNSName, URI, iPAddress (RFC 5280 4.2.1.6): what a subject can be reached under. */
const GENERAL_NAMES: ReadonlySet<number> = new Set([0x81, 0x82, 0x86, 0x87]);
const MAX_NAMES = 100;
const MAX_ATTRIBUTES = 20;

/**
 * The requested subjectAltName, DER of its GeneralNames; undefined = none is wanted.
 *
 * @param attributes cursor at `[0]` of a CertificationRequestInfo (RFC 2986 4.1)
 * @throws DerError when it is not as RFC 2985 has it, wanted twice, or holds names of other kinds
 */
export function requestedAltNames(attributes: DerCursor): Uint8Array | undefined {
  const all = attributes.enter();
  let found: Uint8Array | undefined;
  for (let count = 0; all.hasMore; count++) {
    if (count >= MAX_ATTRIBUTES) throw new DerError('too many attributes', all.start);
    all.expect(TAG.sequence);
    const attribute = all.enter();
    attribute.expect(TAG.objectIdentifier);
    const isExtensionRequest = dottedFromOid(attribute.content()) === EXTENSION_REQUEST;
    attribute.expect(TAG.set);
    if (!isExtensionRequest) continue;
    const values = attribute.enter();
    values.expect(TAG.sequence);
    const names = altNamesAmong(values.enter());
    if (found !== undefined && names !== undefined) throw new DerError('alternative names twice', all.start);
    found ??= names;
  }
  return found;
}

function altNamesAmong(extensions: DerCursor): Uint8Array | undefined {
  let found: Uint8Array | undefined;
  while (extensions.hasMore) {
    extensions.expect(TAG.sequence);
    const fields = extensions.enter();
    fields.expect(TAG.objectIdentifier);
    if (dottedFromOid(fields.content()) !== SUBJECT_ALT_NAME) continue;
    if (found !== undefined) throw new DerError('alternative names twice', extensions.start);
    fields.read();
    if (fields.tag === TAG.boolean) fields.read();
    if (fields.tag !== TAG.octetString) throw new DerError('alternative names that are none', fields.start);
    found = Uint8Array.from(fields.content());
    checkNames(found);
  }
  return found;
}

function checkNames(der: Uint8Array): void {
  const outer = new DerCursor(der);
  outer.expect(TAG.sequence);
  const names = outer.enter();
  if (outer.hasMore || !names.hasMore) throw new DerError('alternative names that are none', outer.start);
  for (let count = 0; names.hasMore; count++) {
    names.read();
    if (count >= MAX_NAMES) throw new DerError('too many alternative names', names.start);
    if (!GENERAL_NAMES.has(names.tag))
      throw new DerError('an alternative name of a kind that is not issued', names.start);
    const content = names.content();
    if (content.length === 0 || content.some((byte) => byte === 0 && names.tag !== 0x87)) {
      throw new DerError('an alternative name that is empty or holds a NUL', names.start);
    }
  }
}
