/** A private key that signs, wherever it lives: in this process, or in a device that never hands it out. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { signLater } from './signature-algorithm.ts';

/** What is asked of a private key. The algorithm is the one of `signatureAlgorithmOf` its public key. */
export interface SigningKey {
  readonly publicKey: KeyObject;
  /** Signs without holding up the event loop. ECDSA signatures are DER (RFC 3279 2.2.3). */
  sign(data: Uint8Array): Promise<Uint8Array>;
}

/** A key in the memory of this process. */
export function softwareKey(privateKey: KeyObject): SigningKey {
  return { publicKey: createPublicKey(privateKey), sign: (data) => signLater(privateKey, data) };
}
