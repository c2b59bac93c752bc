/** Checks a signature, that of a CRL while its bytes go by. */
import { constants, createVerify, type KeyObject, type Verify, verify } from 'node:crypto';
import { DerCursor, TAG } from './der.ts';
import { dottedFromOid } from './object-identifier.ts';

/** How a signature is checked. */
interface CheckedAlgorithm {
  readonly name: string;
  /** Type of the keys that make it, as node:crypto names it. */
  readonly keyType: readonly string[];
  /** null = the algorithm takes the whole at once. */
  readonly digest: string | null;
  readonly options?: { readonly padding: number; readonly saltLength: number };
}

const digests = ['sha224', 'sha256', 'sha384', 'sha512'] as const;
const rsa = (digest: string): CheckedAlgorithm => ({ name: `${digest}WithRSA`, keyType: ['rsa'], digest });
const ecdsa = (digest: string): CheckedAlgorithm => ({ name: `${digest}WithECDSA`, keyType: ['ec'], digest });
const whole = (name: string, type: string): CheckedAlgorithm => ({ name, keyType: [type], digest: null });

/** Dotted object identifier → how to check (RFC 3279, 4055, 5758, 8410, 9881). SHA-1 and MD5 prove nothing any more. */
const ALGORITHMS: ReadonlyMap<string, CheckedAlgorithm> = new Map([
  ['1.2.840.113549.1.1.14', rsa('sha224')],
  ['1.2.840.113549.1.1.11', rsa('sha256')],
  ['1.2.840.113549.1.1.12', rsa('sha384')],
  ['1.2.840.113549.1.1.13', rsa('sha512')],
  ...digests.map((digest, index): [string, CheckedAlgorithm] => [`1.2.840.10045.4.3.${index + 1}`, ecdsa(digest)]),
  ['1.3.101.112', whole('Ed25519', 'ed25519')],
  ['1.3.101.113', whole('Ed448', 'ed448')],
  ['2.16.840.1.101.3.4.3.17', whole('ML-DSA-44', 'ml-dsa-44')],
  ['2.16.840.1.101.3.4.3.18', whole('ML-DSA-65', 'ml-dsa-65')],
  ['2.16.840.1.101.3.4.3.19', whole('ML-DSA-87', 'ml-dsa-87')],
]);
const RSA_PSS = '1.2.840.113549.1.1.10';
const PSS_DIGESTS: ReadonlyMap<string, string> = new Map([
  ['2.16.840.1.101.3.4.2.4', 'sha224'],
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
]);
const PSS_HASH = 0xa0;

/**
 * The algorithm of an AlgorithmIdentifier; undefined when it is not known here.
 *
 * @throws DerError when it is not well-formed
 */
export function signatureAlgorithmFrom(identifier: Uint8Array): CheckedAlgorithm | undefined {
  const outer = new DerCursor(identifier);
  outer.expect(TAG.sequence);
  const fields = outer.enter();
  fields.expect(TAG.objectIdentifier);
  const oid = dottedFromOid(fields.content());
  return oid === RSA_PSS ? pssAlgorithm(fields) : ALGORITHMS.get(oid);
}

/** RSASSA-PSS names its digest in the parameters (RFC 4055 3.1); its salt may have any length. */
function pssAlgorithm(fields: DerCursor): CheckedAlgorithm | undefined {
  fields.expect(TAG.sequence);
  const parameters = fields.enter();
  if (!parameters.read() || parameters.tag !== PSS_HASH) return undefined;
  const hash = parameters.enter();
  hash.expect(TAG.sequence);
  const names = hash.enter();
  names.expect(TAG.objectIdentifier);
  const digest = PSS_DIGESTS.get(dottedFromOid(names.content()));
  if (digest === undefined) return undefined;
  const options = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO };
  return { name: `${digest}WithRSA-PSS`, keyType: ['rsa', 'rsa-pss'], digest, options };
}

/** One signature, one or more keys that may have made it. */
export class SignatureCheck {
  readonly #algorithm: CheckedAlgorithm;
  readonly #keys: readonly KeyObject[];
  readonly #digests: readonly Verify[];
  readonly #chunks: Buffer[] = [];

  constructor(algorithm: CheckedAlgorithm, keys: readonly KeyObject[]) {
    const { keyType, digest } = algorithm;
    this.#algorithm = algorithm;
    this.#keys = keys.filter((key) => keyType.includes(key.asymmetricKeyType ?? ''));
    this.#digests = digest === null ? [] : this.#keys.map(() => createVerify(digest));
  }

  /** Takes in the signed bytes, piece by piece. */
  update(bytes: Uint8Array): void {
    for (const one of this.#digests) one.update(bytes);
    // The pieces are views that are overwritten.
    if (this.#algorithm.digest === null && this.#keys.length > 0) this.#chunks.push(Buffer.from(bytes));
  }

  /** The first of the keys that made this signature; undefined = none of them did. */
  keyThatMade(signature: Uint8Array): KeyObject | undefined {
    const { options } = this.#algorithm;
    if (this.#algorithm.digest === null) {
      const signed = Buffer.concat(this.#chunks);
      return this.#keys.find((key) => quietly(() => verify(null, signed, key, signature)));
    }
    return this.#keys.find((key, index) =>
      quietly(() => this.#digests[index]?.verify({ key, ...options }, signature) ?? false),
    );
  }
}

/** A signature that OpenSSL cannot even take apart is not one. */
function quietly(check: () => boolean): boolean {
  try {
    return check();
  } catch {
    return false;
  }
}
