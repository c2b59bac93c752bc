/** Reads the few extensions of a certificate that certificate data is made of. */
import { DerCursor, DerError, TAG } from './der.ts';
import { oidFromDotted } from './object-identifier.ts';

/** What the extensions say. An extension that is not as RFC 5280 has it says nothing. */
export interface ExtensionFacts {
  /** Base64 of the subject key identifier (RFC 5280 4.2.1.2); null = none. */
  subjectKeyId: string | null;
  /** Base64 of the key identifier of the issuer (RFC 5280 4.2.1.1); null = none. */
  authorityKeyId: string | null;
  /** Whether the basic constraints say CA (RFC 5280 4.2.1.9). */
  isCa: boolean;
  /** Whether it is a pre-certificate of Certificate Transparency (RFC 6962 3.1). */
  hasPoison: boolean;
}

/** Object identifier of the poison extension (RFC 6962 3.1). */
export const POISON_OID = '1.3.6.1.4.1.11129.2.4.3';

const POISON = Buffer.from(oidFromDotted(POISON_OID));
/** Last octets of the extensions under id-ce, 2.5.29. */
const SUBJECT_KEY_ID = 14;
const BASIC_CONSTRAINTS = 19;
const AUTHORITY_KEY_ID = 35;
const CONSTRUCTED_OCTET_STRING = TAG.octetString | 0x20;
const KEY_IDENTIFIER = 0x80;

/**
 * Reads the extensions.
 *
 * Junk ends the reading, never the certificate; of an extension that stands twice the first counts.
 *
 * @param wrapper cursor at `[3]`, or undefined where the certificate has no extensions
 */
export function readExtensions(wrapper: DerCursor | undefined): ExtensionFacts {
  const facts: ExtensionFacts = { subjectKeyId: null, authorityKeyId: null, isCa: false, hasPoison: false };
  if (wrapper === undefined) return facts;
  const seen = new Set<number>();
  try {
    const fields = wrapper.enter();
    fields.expect(TAG.sequence);
    const extensions = fields.enter();
    while (extensions.read()) {
      fields.moveInto(extensions);
      readExtension(fields, facts, seen);
    }
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
  }
  return facts;
}

function readExtension(fields: DerCursor, facts: ExtensionFacts, seen: Set<number>): void {
  fields.expect(TAG.objectIdentifier);
  const { bytes, contentStart, contentEnd } = fields;
  if (contentEnd - contentStart === POISON.length) {
    if (POISON.compare(bytes, contentStart, contentEnd) === 0) facts.hasPoison = true;
    return;
  }
  if (contentEnd - contentStart !== 3 || bytes[contentStart] !== 0x55 || bytes[contentStart + 1] !== 0x1d) return;
  const id = bytes[contentStart + 2] ?? 0;
  if ((id !== SUBJECT_KEY_ID && id !== AUTHORITY_KEY_ID && id !== BASIC_CONSTRAINTS) || seen.has(id)) return;
  seen.add(id);
  try {
    readKnown(id, extensionValue(fields), facts);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
  }
}

function readKnown(id: number, value: DerCursor, facts: ExtensionFacts): void {
  if (id === SUBJECT_KEY_ID) {
    value.expect(TAG.octetString);
    facts.subjectKeyId = value.text('base64');
    return;
  }
  value.expect(TAG.sequence);
  const fields = value.enter();
  if (!fields.read()) return;
  if (id === AUTHORITY_KEY_ID) {
    if (fields.tag === KEY_IDENTIFIER) facts.authorityKeyId = fields.text('base64');
  } else {
    facts.isCa = fields.tag === TAG.boolean && fields.content().some((octet) => octet !== 0);
  }
}

/** A cursor over what the OCTET STRING after the identifier (and `critical`) holds. */
function extensionValue(fields: DerCursor): DerCursor {
  fields.read();
  if (fields.tag === TAG.boolean) fields.read();
  if (fields.tag !== CONSTRUCTED_OCTET_STRING) return fields.enter();
  // BER may cut an octet string into pieces (X.690 8.7).
  const pieces: Uint8Array[] = [];
  const cursor = fields.enter();
  while (cursor.read()) pieces.push(cursor.content());
  return new DerCursor(Buffer.concat(pieces));
}
