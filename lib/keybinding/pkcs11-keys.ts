/**
 * How key pairs are spoken of in PKCS#11: asked for, read, and signed with.
 *
 * Owns the translation, knows no token. Runs in the thread of a library.
 *
 * @see PKCS#11 3.0, 2.1 RSA, 2.3 elliptic curves
 */
import { createPublicKey, hash, type JsonWebKey, type KeyObject } from 'node:crypto';
import { integer, objectIdentifier, printableString, sequence } from '../x509/der-writer.ts';
import type { TokenKeyAlgorithm } from './crypto-token.ts';

/** Numbers of PKCS#11 that are needed here; pkcs11js does not name all of them. */
const MECHANISM = {
  rsaKeyPairGen: 0x0,
  sha256RsaPkcs: 0x40,
  ecKeyPairGen: 0x1040,
  ecdsa: 0x1041,
  ecEdwardsKeyPairGen: 0x1055,
  eddsa: 0x1057,
} as const;
const ATTRIBUTE = { publicExponent: 0x122, modulusBits: 0x121, ecParams: 0x180 } as const;
const KEY_TYPE = { rsa: 0x0, ec: 0x3, ecEdwards: 0x40 } as const;

const OCTET_STRING = 0x04;
const UNCOMPRESSED = 0x04;

/** A template's attribute. */
export interface Attribute {
  readonly type: number;
  readonly value: number | boolean | string | Buffer;
}

/** How a key pair is asked for. */
export interface KeyPairRequest {
  readonly mechanism: number;
  /** Of the public key, besides what all have. */
  readonly attributes: readonly Attribute[];
}

/** What tells of a public key; undefined where the object has no such attribute. */
export interface PublicKeyAttributes {
  readonly keyType: number;
  readonly modulus: Buffer | undefined;
  readonly publicExponent: Buffer | undefined;
  readonly ecParams: Buffer | undefined;
  readonly ecPoint: Buffer | undefined;
}

/** What is signed, and by which mechanism. */
export interface SignatureRequest {
  readonly mechanism: number;
  readonly input: Uint8Array;
  /** The signature as X.509 has it, of what the token gave. */
  finish(signature: Uint8Array): Uint8Array;
}

const CURVES = {
  'P-256': { parameters: Buffer.from(objectIdentifier('1.2.840.10045.3.1.7')), bytes: 32, digest: 'sha256' },
  'P-384': { parameters: Buffer.from(objectIdentifier('1.3.132.0.34')), bytes: 48, digest: 'sha384' },
} as const;
/** Tokens know Ed25519 by its name, by its number, or by both (PKCS#11 3.0, 2.3.10). */
const ED25519 = [printableString('edwards25519'), objectIdentifier('1.3.101.112')].map((der) => Buffer.from(der));

/** How to ask for a key pair; where there are several ways, a token may know only the later ones. */
export function keyPairRequests(algorithm: TokenKeyAlgorithm): readonly KeyPairRequest[] {
  const onCurve = (mechanism: number) => (value: Buffer) => ({
    mechanism,
    attributes: [{ type: ATTRIBUTE.ecParams, value }],
  });
  if (algorithm === 'Ed25519') return ED25519.map(onCurve(MECHANISM.ecEdwardsKeyPairGen));
  if (algorithm === 'P-256' || algorithm === 'P-384') {
    return [CURVES[algorithm].parameters].map(onCurve(MECHANISM.ecKeyPairGen));
  }
  const attributes = [
    { type: ATTRIBUTE.modulusBits, value: Number(algorithm.slice('RSA-'.length)) },
    { type: ATTRIBUTE.publicExponent, value: Buffer.of(1, 0, 1) },
  ];
  return [{ mechanism: MECHANISM.rsaKeyPairGen, attributes }];
}

/** The public key of an object; undefined where it is of a kind that is not signed with here. */
export function publicKeyFrom(attributes: PublicKeyAttributes): KeyObject | undefined {
  const jwk = jwkOf(attributes);
  if (jwk === undefined) return undefined;
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    return undefined;
  }
}

function jwkOf({ keyType, modulus, publicExponent, ecParams, ecPoint }: PublicKeyAttributes): JsonWebKey | undefined {
  if (keyType === KEY_TYPE.rsa && modulus !== undefined && publicExponent !== undefined) {
    return { kty: 'RSA', n: base64url(modulus), e: base64url(publicExponent) };
  }
  if (ecPoint === undefined) return undefined;
  if (keyType === KEY_TYPE.ecEdwards) {
    return { kty: 'OKP', crv: 'Ed25519', x: base64url(unwrapped(ecPoint, 32)) };
  }
  const found = Object.entries(CURVES).find(([, { parameters }]) => ecParams?.equals(parameters));
  if (keyType !== KEY_TYPE.ec || found === undefined) return undefined;
  const [crv, { bytes }] = found;
  const point = unwrapped(ecPoint, 1 + 2 * bytes);
  if (point[0] !== UNCOMPRESSED) return undefined;
  return { kty: 'EC', crv, x: base64url(point.subarray(1, 1 + bytes)), y: base64url(point.subarray(1 + bytes)) };
}

/** What a key signs, by its kind; the algorithms are those of `signatureAlgorithmOf`. */
export function signatureRequest(publicKey: KeyObject, data: Uint8Array): SignatureRequest {
  const { asymmetricKeyType, asymmetricKeyDetails } = publicKey;
  const asItIs = { input: data, finish: (signature: Uint8Array) => signature };
  if (asymmetricKeyType === 'rsa') return { mechanism: MECHANISM.sha256RsaPkcs, ...asItIs };
  if (asymmetricKeyType === 'ed25519') return { mechanism: MECHANISM.eddsa, ...asItIs };
  const { digest } = CURVES[asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'P-384' : 'P-256'];
  return { mechanism: MECHANISM.ecdsa, input: hash(digest, data, 'buffer'), finish: ecdsaSignature };
}

/** Of r and s, side by side, Ecdsa-Sig-Value (RFC 3279 2.2.3). */
function ecdsaSignature(both: Uint8Array): Uint8Array {
  const [r, s] = [both.subarray(0, both.length / 2), both.subarray(both.length / 2)].map((half) =>
    integer(BigInt(`0x${Buffer.from(half).toString('hex')}`)),
  ) as [Uint8Array, Uint8Array];
  return sequence(r, s);
}

/** A point is to be in an OCTET STRING; some tokens give it bare. */
function unwrapped(point: Buffer, length: number): Buffer {
  const isWrapped = point.length === length + 2 && point[0] === OCTET_STRING && point[1] === length;
  return isWrapped ? point.subarray(2) : point;
}

function base64url(bytes: Buffer): string {
  return bytes.toString('base64url');
}
