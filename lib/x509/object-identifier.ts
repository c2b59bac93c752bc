/** Object identifiers between their content octets and the dotted form (X.690 8.19). */
import { PeerError } from '../errors.ts';

/** Far above any registered object identifier; keeps hostile ones cheap. */
const MAX_OCTETS = 256;

/**
 * Dotted form of the content octets of an OBJECT IDENTIFIER.
 *
 * Never refuses: arcs of any size are carried, an unfinished last arc counts as it stands, no octets give ''.
 * What exceeds 256 octets is left away.
 */
export function dottedFromOid(content: Uint8Array): string {
  const arcs: bigint[] = [];
  let arc = 0n;
  let pending = false;
  for (const octet of content.subarray(0, MAX_OCTETS)) {
    arc = (arc << 7n) | BigInt(octet & 0x7f);
    pending = (octet & 0x80) !== 0;
    if (pending) continue;
    arcs.push(arc);
    arc = 0n;
  }
  if (pending) arcs.push(arc);
  const [first, ...rest] = arcs;
  if (first === undefined) return '';
  const root = first < 40n ? 0n : first < 80n ? 1n : 2n;
  return [root, first - 40n * root, ...rest].join('.');
}

/**
 * Content octets of a dotted object identifier.
 *
 * @throws PeerError ERR_INVALID_INPUT when it is not one
 */
export function oidFromDotted(dotted: string): Uint8Array {
  if (!/^[0-2](?:\.(?:0|[1-9]\d{0,63})){1,127}$/.test(dotted)) {
    throw new PeerError('ERR_INVALID_INPUT', `'${dotted.slice(0, 100)}' is not a dotted object identifier`);
  }
  const [root = 0n, second = 0n, ...rest] = dotted.split('.').map(BigInt);
  if (root < 2n && second > 39n) {
    throw new PeerError('ERR_INVALID_INPUT', `The second arc of '${dotted}' is above 39`);
  }
  return Uint8Array.from([root * 40n + second, ...rest].flatMap(base128));
}

function base128(arc: bigint): number[] {
  const octets = [Number(arc & 0x7fn)];
  for (let rest = arc >> 7n; rest > 0n; rest >>= 7n) octets.unshift(Number(rest & 0x7fn) | 0x80);
  return octets;
}

/** The content octets as a string of one character per octet: a cheap key for maps. */
export function oidKey(bytes: Uint8Array, start: number, end: number): string {
  let key = '';
  const last = Math.min(end, start + MAX_OCTETS);
  for (let i = start; i < last; i++) key += String.fromCharCode(bytes[i] ?? 0);
  return key;
}

/** The key (see `oidKey`) of a dotted object identifier. */
export function oidKeyFromDotted(dotted: string): string {
  const content = oidFromDotted(dotted);
  return oidKey(content, 0, content.length);
}
