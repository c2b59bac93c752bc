/** Which signature a key pair makes, and its AlgorithmIdentifier. */
import { type KeyObject, sign } from 'node:crypto';
import { PeerError } from '../errors.ts';
import { nullValue, objectIdentifier, sequence } from './der-writer.ts';

interface SignatureAlgorithm {
  /** Name of the digest for node:crypto; null where the algorithm brings its own. */
  readonly digest: string | null;
  /** AlgorithmIdentifier, DER. */
  readonly identifier: Uint8Array;
}

/** By key type, for EC by key type and curve (RFC 4055 5, RFC 5758 3.2, RFC 8410 3, RFC 9881 2). */
const ALGORITHMS: Readonly<Record<string, SignatureAlgorithm>> = {
  rsa: { digest: 'sha256', identifier: sequence(objectIdentifier('1.2.840.113549.1.1.11'), nullValue()) },
  'ec prime256v1': withoutParameters('1.2.840.10045.4.3.2', 'sha256'),
  'ec secp384r1': withoutParameters('1.2.840.10045.4.3.3', 'sha384'),
  'ec secp521r1': withoutParameters('1.2.840.10045.4.3.4', 'sha512'),
  ed25519: withoutParameters('1.3.101.112', null),
  ed448: withoutParameters('1.3.101.113', null),
  'ml-dsa-44': withoutParameters('2.16.840.1.101.3.4.3.17', null),
  'ml-dsa-65': withoutParameters('2.16.840.1.101.3.4.3.18', null),
  'ml-dsa-87': withoutParameters('2.16.840.1.101.3.4.3.19', null),
};

function withoutParameters(oid: string, digest: string | null): SignatureAlgorithm {
  return { digest, identifier: sequence(objectIdentifier(oid)) };
}

// Asking a key for its curve costs as much as a small signature.
const known = new WeakMap<KeyObject, SignatureAlgorithm>();

/**
 * The signature algorithm of a key pair, by either of its keys.
 *
 * @throws PeerError ERR_INVALID_INPUT when it is of a kind that is not signed with here
 */
export function signatureAlgorithmOf(key: KeyObject): SignatureAlgorithm {
  const found = known.get(key);
  if (found !== undefined) return found;
  const curve = key.asymmetricKeyDetails?.namedCurve;
  const kind = [key.asymmetricKeyType, ...(curve === undefined ? [] : [curve])].join(' ');
  const algorithm = Object.hasOwn(ALGORITHMS, kind) ? ALGORITHMS[kind] : undefined;
  if (algorithm === undefined)
    throw new PeerError('ERR_INVALID_INPUT', `Keys of type ${kind} do not sign certificates`);
  known.set(key, algorithm);
  return algorithm;
}

/**
 * Signs with the algorithm of the key.
 *
 * @throws PeerError ERR_INVALID_INPUT when it is not a private key, or of a kind that is not signed with here
 */
export function signWith(privateKey: KeyObject, data: Uint8Array): Uint8Array {
  if (privateKey.type !== 'private') {
    throw new PeerError('ERR_INVALID_INPUT', `A ${privateKey.type} key cannot sign a certificate`);
  }
  return sign(signatureAlgorithmOf(privateKey).digest, data, privateKey);
}

/** The same in a thread of libuv, for keys whose signatures take long. */
export function signLater(privateKey: KeyObject, data: Uint8Array): Promise<Uint8Array> {
  const { digest } = signatureAlgorithmOf(privateKey);
  return new Promise((resolve, reject) => {
    sign(digest, data, privateKey, (error, signature) => (error === null ? resolve(signature) : reject(error)));
  });
}
