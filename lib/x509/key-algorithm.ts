/** Short names of the public key algorithms of a SubjectPublicKeyInfo. */
import { type DerCursor, TAG } from './der.ts';
import { dottedFromOid, oidKey, oidKeyFromDotted } from './object-identifier.ts';

const SLH_DSA = ['SHA2-128s', 'SHA2-128f', 'SHA2-192s', 'SHA2-192f', 'SHA2-256s', 'SHA2-256f'].concat([
  'SHAKE-128s',
  'SHAKE-128f',
  'SHAKE-192s',
  'SHAKE-192f',
  'SHAKE-256s',
  'SHAKE-256f',
]);

/** Dotted object identifier to short name (RFC 3279, 5480, 8410, 9881, 9909, 9935). */
const NAMES: ReadonlyMap<string, string> = new Map(
  [
    ['1.2.840.113549.1.1.1', 'RSA'],
    ['1.2.840.113549.1.1.7', 'RSAES-OAEP'],
    ['1.2.840.113549.1.1.10', 'RSASSA-PSS'],
    ['1.2.840.10045.2.1', 'EC'],
    ['1.2.840.10040.4.1', 'DSA'],
    ['1.2.840.10046.2.1', 'DH'],
    ['1.3.101.110', 'X25519'],
    ['1.3.101.111', 'X448'],
    ['1.3.101.112', 'Ed25519'],
    ['1.3.101.113', 'Ed448'],
    ['2.16.840.1.101.3.4.3.17', 'ML-DSA-44'],
    ['2.16.840.1.101.3.4.3.18', 'ML-DSA-65'],
    ['2.16.840.1.101.3.4.3.19', 'ML-DSA-87'],
    ...SLH_DSA.map((name, index): [string, string] => [`2.16.840.1.101.3.4.3.${20 + index}`, `SLH-DSA-${name}`]),
    ['2.16.840.1.101.3.4.4.1', 'ML-KEM-512'],
    ['2.16.840.1.101.3.4.4.2', 'ML-KEM-768'],
    ['2.16.840.1.101.3.4.4.3', 'ML-KEM-1024'],
  ].map(([dotted = '', name = '']) => [oidKeyFromDotted(dotted), name]),
);

/**
 * Short name of the algorithm of a SubjectPublicKeyInfo, or its dotted object identifier where it has none here.
 *
 * '' when the element holds no object identifier where one belongs.
 */
export function keyAlgorithmOf(spki: DerCursor): string {
  const fields = spki.enter();
  if (!fields.read() || fields.tag !== TAG.sequence) return '';
  const algorithm = fields.enter();
  if (!algorithm.read() || algorithm.tag !== TAG.objectIdentifier) return '';
  const key = oidKey(algorithm.bytes, algorithm.contentStart, algorithm.contentEnd);
  return NAMES.get(key) ?? dottedFromOid(algorithm.content());
}
