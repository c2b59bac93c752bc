/** Writes the certificate extensions of RFC 5280 4.2.1 that are issued here. */
import { isIP, isIPv6 } from 'node:net';
import { PeerError } from '../errors.ts';
import {
  boolean,
  explicit,
  implicit,
  integer,
  isAscii,
  namedBits,
  objectIdentifier,
  octetString,
  sequence,
} from './der-writer.ts';

/** Names of the bits of KeyUsage, in order (RFC 5280 4.2.1.3). */
export const KEY_USAGES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;

/** One use of a key (RFC 5280 4.2.1.3). */
export type KeyUsage = (typeof KEY_USAGES)[number];

const EXTENDED_KEY_USAGES: ReadonlyMap<string, string> = new Map([
  ['serverAuth', '1.3.6.1.5.5.7.3.1'],
  ['clientAuth', '1.3.6.1.5.5.7.3.2'],
  ['OCSPSigning', '1.3.6.1.5.5.7.3.9'],
]);

/** Names for the subject beside its DN (RFC 5280 4.2.1.6). */
export interface SubjectAltNames {
  /** Host names, ASCII. */
  readonly dns?: readonly string[];
  /** IPv4 and IPv6 addresses. */
  readonly ip?: readonly string[];
}

/** One extension: object identifier, critical or not, DER of its value. */
export function extension(oid: string, critical: boolean, value: Uint8Array): Uint8Array {
  return sequence(objectIdentifier(oid), ...(critical ? [boolean(true)] : []), octetString(value));
}

/** Basic constraints, critical. A number is the path length of a CA (RFC 5280 4.2.1.9). */
export function basicConstraints(ca: boolean | number): Uint8Array {
  if (typeof ca === 'number' && (!Number.isInteger(ca) || ca < 0)) {
    throw new PeerError('ERR_INVALID_INPUT', `${ca} is not a path length`);
  }
  const isCa = ca === false ? [] : [boolean(true)];
  return extension('2.5.29.19', true, sequence(...isCa, ...(typeof ca === 'number' ? [integer(ca)] : [])));
}

/**
 * Key usage, critical.
 *
 * @throws PeerError ERR_INVALID_INPUT for a name that is none of RFC 5280 4.2.1.3
 */
export function keyUsage(usages: readonly KeyUsage[]): Uint8Array {
  const bits = usages.map((usage) => KEY_USAGES.indexOf(usage));
  const unknown = usages[bits.indexOf(-1)];
  if (unknown !== undefined) throw new PeerError('ERR_INVALID_INPUT', `'${unknown}' is not a key usage`);
  return extension('2.5.29.15', true, namedBits(bits));
}

/** Extended key usage: `serverAuth`, `clientAuth`, `OCSPSigning` or dotted object identifiers. */
export function extendedKeyUsage(usages: readonly string[]): Uint8Array {
  return extension(
    '2.5.29.37',
    false,
    sequence(...usages.map((usage) => objectIdentifier(EXTENDED_KEY_USAGES.get(usage) ?? usage))),
  );
}

/** Subject key identifier. */
export function subjectKeyIdentifier(keyId: Uint8Array): Uint8Array {
  return extension('2.5.29.14', false, octetString(keyId));
}

/** Authority key identifier, the key identifier alone. */
export function authorityKeyIdentifier(keyId: Uint8Array): Uint8Array {
  return extension('2.5.29.35', false, sequence(implicit(0, keyId)));
}

/** `[3]` around the extensions. */
export function extensionsField(extensions: readonly Uint8Array[]): Uint8Array {
  return explicit(3, sequence(...extensions));
}

/**
 * Subject alternative names.
 *
 * @throws PeerError ERR_INVALID_INPUT for a host name that is not ASCII or an address that is none
 */
export function subjectAltName({ dns = [], ip = [] }: SubjectAltNames): Uint8Array {
  return extension('2.5.29.17', false, sequence(...dns.map(dnsName), ...ip.map(ipAddress)));
}

function dnsName(name: string): Uint8Array {
  if (name === '' || !isAscii(name)) throw new PeerError('ERR_INVALID_INPUT', `'${name}' is not an ASCII host name`);
  return implicit(2, Buffer.from(name, 'latin1'));
}

function ipAddress(address: string): Uint8Array {
  if (isIP(address) === 0 || address.includes('%')) {
    throw new PeerError('ERR_INVALID_INPUT', `'${address}' is not an IP address`);
  }
  return implicit(7, isIPv6(address) ? ipv6Octets(address) : Uint8Array.from(address.split('.').map(Number)));
}

function ipv6Octets(address: string): Uint8Array {
  // The URL parser writes any form of an IPv6 address as hexadecimal groups.
  const plain = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = '', tail] = plain.split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const left = groups(head);
  const right = groups(tail ?? '');
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const all = [...left, ...Array.from({ length: zeros }, () => '0'), ...right];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}
