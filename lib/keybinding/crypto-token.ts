/**
 * Crypto token: where the key pairs of key bindings live.
 *
 * Owns what is asked of one and how its keys are named. Which of them signs, and with which certificate, is the key
 * binding's.
 *
 * @see EJBCA, Managing Crypto Tokens
 */
import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import type { SigningKey } from '../x509/signing-key.ts';

/** Key pairs that can be made. */
export const TOKEN_KEY_ALGORITHMS = ['P-256', 'P-384', 'RSA-2048', 'RSA-3072', 'RSA-4096', 'Ed25519'] as const;

/** One of TOKEN_KEY_ALGORITHMS. */
export type TokenKeyAlgorithm = (typeof TOKEN_KEY_ALGORITHMS)[number];

/** Key pairs by their fingerprints (see `keyFingerprintOf`). */
export interface CryptoToken {
  /** As access rules name it: `/cryptotoken/view/[name]`. */
  readonly name: string;
  /** Private keys by fingerprint. */
  keys(): ReadonlyMap<string, SigningKey>;
  /** Makes a key pair; gives its fingerprint once it has reached the disk. */
  generateKey(algorithm: TokenKeyAlgorithm): Promise<string>;
  /** Forgets a key for good; one that is not there is no error. */
  destroyKey(fingerprint: string): Promise<void>;
  /** Lets go of what holds the keys; they stay. */
  close(): Promise<void>;
}

/** SHA-256 of the SubjectPublicKeyInfo of a key, 64 lower-case hex digits. */
export function keyFingerprintOf(key: KeyObject): string {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return hash('sha256', publicKey.export({ type: 'spki', format: 'der' }), 'hex');
}

/** How a key is named here, e.g. `P-256` or `RSA-3072`. */
export function algorithmOf(key: KeyObject): string {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'ec') return CURVES[namedCurve ?? ''] ?? String(namedCurve);
  if (key.asymmetricKeyType === 'rsa') return `RSA-${modulusLength}`;
  return key.asymmetricKeyType === 'ed25519' ? 'Ed25519' : String(key.asymmetricKeyType);
}

const CURVES: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384' };
