/** Serial numbers: content octets of a DER INTEGER on one side, EJBCA's decimal string on the other. */
import { PeerError } from '../errors.ts';

const MAX_DECIMAL_DIGITS = 10_000;
/** Printing takes time by the square of the length: 15 ms at this one. */
const MAX_OCTETS = 16_384;

/**
 * Decimal form of the content octets of an INTEGER, two's complement (X.690 8.3).
 *
 * Negative, zero and over-long encodings are carried: `00 00 07` reads '7'. No octets read '0'.
 *
 * @throws PeerError ERR_TOO_LARGE above 16,384 octets without padding
 */
export function decimalFromInteger(content: Uint8Array): string {
  const negative = ((content[0] ?? 0) & 0x80) !== 0;
  const first = skipPadding(content, negative ? 0xff : 0);
  const length = content.length - first;
  if (length <= 6) return String(smallInteger(content, first, negative));
  if (length > MAX_OCTETS) throw new PeerError('ERR_TOO_LARGE', `The serial number has ${length} octets`);
  const magnitude = length <= 24 ? mediumMagnitude(content, first) : BigInt(`0x${hexOf(content, first)}`);
  return String(negative ? BigInt.asIntN(length * 8, magnitude) : magnitude);
}

/** By words of 8 octets: for the usual 8 to 20 octets three times as fast as by way of hex. */
function mediumMagnitude(content: Uint8Array, first: number): bigint {
  const view = new DataView(content.buffer, content.byteOffset, content.length);
  let at = first + ((content.length - first) % 8);
  let value = 0n;
  for (let i = first; i < at; i++) value = (value << 8n) | BigInt(content[i] ?? 0);
  for (; at < content.length; at += 8) value = (value << 64n) | view.getBigUint64(at);
  return value;
}

/** Position of the first octet that says more than the sign. */
function skipPadding(content: Uint8Array, padding: number): number {
  let first = 0;
  const signBit = padding & 0x80;
  while (first + 1 < content.length && content[first] === padding && ((content[first + 1] ?? 0) & 0x80) === signBit) {
    first++;
  }
  return first;
}

function smallInteger(content: Uint8Array, first: number, negative: boolean): number {
  let value = 0;
  for (let i = first; i < content.length; i++) value = value * 256 + (content[i] ?? 0);
  return negative ? value - 256 ** (content.length - first) : value;
}

function hexOf(content: Uint8Array, first: number): string {
  return Buffer.from(content.buffer, content.byteOffset + first, content.length - first).toString('hex');
}

/**
 * Content octets of the shortest INTEGER with this value.
 *
 * @param value decimal digits, a minus sign allowed, at most 10,000 digits; or the number itself
 * @throws PeerError ERR_INVALID_INPUT when it is not a whole number
 */
export function integerFromDecimal(value: string | bigint): Uint8Array {
  const number = typeof value === 'bigint' ? value : parseDecimal(value);
  // The complement of a negative number has its magnitude, so one length rule serves both signs.
  const magnitude = number < 0n ? ~number : number;
  const octets = (magnitude.toString(16).length * 4 + 8) >> 3;
  const hex = BigInt.asUintN(octets * 8, number).toString(16);
  const bytes = Buffer.from(hex.padStart(octets * 2, '0'), 'hex');
  return bytes.subarray(skipPadding(bytes, number < 0n ? 0xff : 0));
}

function parseDecimal(value: string): bigint {
  if (value.length > MAX_DECIMAL_DIGITS || !/^-?\d+$/.test(value)) {
    throw new PeerError('ERR_INVALID_INPUT', `'${value.slice(0, 50)}' is not a decimal serial number`);
  }
  return BigInt(value);
}

/**
 * A serial number as a person writes it, in decimal.
 *
 * Digits alone are decimal, as in EJBCA's database; hexadecimal shows itself by a letter, a colon or `0x`.
 *
 * @returns undefined when the text is neither
 */
export function parseSerialNumber(text: string): string | undefined {
  const trimmed = text.trim().toLowerCase();
  if (/^-?\d+$/.test(trimmed)) return BigInt(trimmed).toString();
  const hex = trimmed.replace(/^0x/, '').replaceAll(':', '');
  return /^[0-9a-f]+$/.test(hex) ? BigInt(`0x${hex}`).toString() : undefined;
}
