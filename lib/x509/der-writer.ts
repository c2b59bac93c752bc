/**
 * Writes DER (X.690 10, 11).
 *
 * Every function gives one whole element; the ones for constructed types take whole elements.
 */
import { PeerError } from '../errors.ts';
import { TAG } from './der.ts';
import { oidFromDotted } from './object-identifier.ts';
import { integerFromDecimal } from './serial-number.ts';

/** One element: this tag, the length of the parts, the parts. */
export function element(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const octets = lengthOctets(length);
  const bytes = new Uint8Array(2 + octets + length);
  writeHeader(bytes, tag, length);
  let at = 2 + octets;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Tag and length of an element whose content is put together elsewhere. */
export function header(tag: number, length: number): Uint8Array {
  const bytes = new Uint8Array(2 + lengthOctets(length));
  writeHeader(bytes, tag, length);
  return bytes;
}

/** How many octets follow the first one of a length. */
function lengthOctets(length: number): number {
  return length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x10000 ? 2 : length < 0x1000000 ? 3 : 4;
}

function writeHeader(bytes: Uint8Array, tag: number, length: number): void {
  const octets = lengthOctets(length);
  bytes[0] = tag;
  bytes[1] = octets === 0 ? length : 0x80 | octets;
  for (let i = 0; i < octets; i++) bytes[2 + i] = length >>> (8 * (octets - 1 - i));
}

/** SEQUENCE of the parts in their order. */
export function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return element(TAG.sequence, ...parts);
}

/** SET OF the parts, sorted as DER wants it (X.690 11.6). */
export function setOf(...parts: readonly Uint8Array[]): Uint8Array {
  return element(TAG.set, ...parts.toSorted(Buffer.compare));
}

/** INTEGER of a number, or of content octets that are already two's complement. */
export function integer(value: number | bigint | Uint8Array): Uint8Array {
  return element(TAG.integer, value instanceof Uint8Array ? value : integerFromDecimal(BigInt(value)));
}

/** ENUMERATED of a small number, such as a reason code. */
export function enumerated(value: number): Uint8Array {
  return element(TAG.enumerated, integerFromDecimal(BigInt(value)));
}

/** BOOLEAN; true is `ff` (X.690 11.1). */
export function boolean(value: boolean): Uint8Array {
  return element(TAG.boolean, Uint8Array.of(value ? 0xff : 0));
}

/** NULL. */
export function nullValue(): Uint8Array {
  return element(TAG.null);
}

/**
 * OBJECT IDENTIFIER of a dotted one.
 *
 * @throws PeerError ERR_INVALID_INPUT when it is not one
 */
export function objectIdentifier(dotted: string): Uint8Array {
  return element(TAG.objectIdentifier, oidFromDotted(dotted));
}

/** BIT STRING of whole octets, of which the last bits may be unused. */
export function bitString(content: Uint8Array, unusedBits = 0): Uint8Array {
  return element(TAG.bitString, Uint8Array.of(unusedBits), content);
}

/** BIT STRING of the named bits, without trailing zeros (X.690 11.2.2); bit 0 is the first. */
export function namedBits(bits: readonly number[]): Uint8Array {
  if (bits.length === 0) return bitString(new Uint8Array(0));
  const highest = Math.max(...bits);
  const content = new Uint8Array((highest >> 3) + 1);
  for (const bit of bits) content[bit >> 3] = (content[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return bitString(content, 7 - (highest & 7));
}

/** OCTET STRING. */
export function octetString(content: Uint8Array): Uint8Array {
  return element(TAG.octetString, content);
}

/** UTF8String. */
export function utf8String(text: string): Uint8Array {
  return element(TAG.utf8String, Buffer.from(text, 'utf8'));
}

/**
 * PrintableString.
 *
 * @throws PeerError ERR_INVALID_INPUT when a character is not printable in ASN.1's sense (X.680 41.4)
 */
export function printableString(text: string): Uint8Array {
  if (!isPrintable(text)) throw new PeerError('ERR_INVALID_INPUT', `'${text}' does not fit into a PrintableString`);
  return element(TAG.printableString, Buffer.from(text, 'latin1'));
}

/** Whether a text fits into a PrintableString. */
export function isPrintable(text: string): boolean {
  return /^[A-Za-z0-9 '()+,./:=?-]*$/.test(text);
}

/**
 * IA5String.
 *
 * @throws PeerError ERR_INVALID_INPUT when a character is not ASCII
 */
export function ia5String(text: string): Uint8Array {
  if (!isAscii(text)) throw new PeerError('ERR_INVALID_INPUT', `'${text}' does not fit into an IA5String`);
  return element(TAG.ia5String, Buffer.from(text, 'latin1'));
}

/** Whether a text fits into an IA5String. */
export function isAscii(text: string): boolean {
  return Buffer.byteLength(text, 'utf8') === text.length;
}

/**
 * GeneralizedTime with seconds, without fractions, in UTC (RFC 5280 4.1.2.5.2).
 *
 * @throws PeerError ERR_INVALID_INPUT when the date is invalid or outside the years 0 to 9999
 */
export function generalizedTime(date: Date): Uint8Array {
  return element(TAG.generalizedTime, Buffer.from(`${digitsOf(date)}Z`, 'latin1'));
}

/**
 * UTCTime from 1950 to 2049, GeneralizedTime otherwise (RFC 5280 4.1.2.5).
 *
 * @throws PeerError ERR_INVALID_INPUT when the date is invalid or outside the years 0 to 9999
 */
export function time(date: Date): Uint8Array {
  const digits = digitsOf(date);
  if (digits < '1950' || digits >= '2050') return generalizedTime(date);
  return element(TAG.utcTime, Buffer.from(`${digits.slice(2)}Z`, 'latin1'));
}

function digitsOf(date: Date): string {
  const valid = !Number.isNaN(date.getTime()) && date.getUTCFullYear() >= 0 && date.getUTCFullYear() <= 9999;
  if (!valid) throw new PeerError('ERR_INVALID_INPUT', `${String(date)} cannot stand in a certificate`);
  return date.toISOString().slice(0, 19).replaceAll(/[-T:]/g, '');
}

/** `[number] EXPLICIT`: the parts inside a constructed context tag. */
export function explicit(number: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return element(0xa0 | number, ...parts);
}

/** `[number] IMPLICIT` of a primitive type: the content octets under a context tag. */
export function implicit(number: number, content: Uint8Array): Uint8Array {
  return element(0x80 | number, content);
}
