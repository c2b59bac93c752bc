/** A name as text into a DER Name, for issuing. */
import { PeerError } from '../errors.ts';
import { DerCursor, DerError } from './der.ts';
import {
  ia5String,
  isAscii,
  isPrintable,
  objectIdentifier,
  printableString,
  sequence,
  setOf,
  utf8String,
} from './der-writer.ts';
import { type NamePart, splitDistinguishedName, unescapeNameValue } from './distinguished-name.ts';
import { attributeByName, type NameEncoding } from './name-attributes.ts';

/** What one issued name may hold; keeps a hostile text cheap. */
const MAX_TEXT_LENGTH = 65_536;

/**
 * DER Name of a text like `CN=x,O=y,C=se`, in the order of the text.
 *
 * Types are EJBCA's symbols, their usual long names or dotted object identifiers; a value `#…` is the hex of
 * its DER. Country, serial number, DN qualifier and telephone number become PrintableString, e-mail and domain
 * component IA5String, the rest UTF8String (RFC 5280 4.1.2.4, A.1); a value that does not fit becomes UTF8String.
 *
 * @throws PeerError ERR_INVALID_INPUT when the text is not a name
 */
export function parseDistinguishedName(dn: string): Uint8Array {
  if (dn.length > MAX_TEXT_LENGTH) {
    throw new PeerError('ERR_INVALID_INPUT', `A name of ${dn.length} characters is longer than ${MAX_TEXT_LENGTH}`);
  }
  return sequence(...splitDistinguishedName(dn).map((parts) => setOf(...parts.map((part) => attribute(part, dn)))));
}

function attribute({ type, value }: NamePart, dn: string): Uint8Array {
  const known = attributeByName(type);
  const oid = known?.oid ?? type.replace(/^oid\./i, '');
  if (known === undefined && !/^\d+(?:\.\d+)+$/.test(oid)) {
    throw new PeerError('ERR_INVALID_INPUT', `'${type}' is not an attribute of a name, in '${shown(dn)}'`);
  }
  const encoded = value.startsWith('#') ? encodedValue(value, dn) : text(unescapeNameValue(value), known?.encoding);
  return sequence(objectIdentifier(oid), encoded);
}

function encodedValue(value: string, dn: string): Uint8Array {
  const bytes = Buffer.from(value.slice(1), 'hex');
  if (bytes.length * 2 !== value.length - 1 || !isOneElement(bytes)) {
    throw new PeerError('ERR_INVALID_INPUT', `'${shown(value)}' is not the hex of one DER value, in '${shown(dn)}'`);
  }
  return bytes;
}

function isOneElement(bytes: Uint8Array): boolean {
  try {
    const cursor = new DerCursor(bytes);
    return cursor.read() && !cursor.hasMore;
  } catch (error) {
    if (error instanceof DerError) return false;
    throw error;
  }
}

function text(value: string, encoding: NameEncoding | undefined): Uint8Array {
  if (encoding === 'printable' && isPrintable(value)) return printableString(value);
  if (encoding === 'ia5' && isAscii(value)) return ia5String(value);
  return utf8String(value);
}

function shown(value: string): string {
  return value.length > 100 ? `${value.slice(0, 100)}…` : value;
}
