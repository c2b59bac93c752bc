/**
 * Certificate requests (PKCS#10, RFC 2986): made with the key they ask for, read with its proof of possession.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { PeerError } from '../errors.ts';
import { DerCursor, DerError, TAG } from './der.ts';
import { bitString, explicit, integer, sequence } from './der-writer.ts';
import { readDistinguishedName } from './distinguished-name-reader.ts';
import { parseDistinguishedName } from './distinguished-name-writer.ts';
import { requestedAltNames } from './requested-extensions.ts';
import { signatureAlgorithmOf } from './signature-algorithm.ts';
import { SignatureCheck, signatureAlgorithmFrom } from './signature-check.ts';

/** Label of a request in PEM (RFC 7468 7). */
export const REQUEST_LABEL = 'CERTIFICATE REQUEST';

/** `[0]` of CertificationRequestInfo (RFC 2986 4.1). */
const ATTRIBUTES = 0xa0;
/** Largest request that is read, in bytes. */
const MAX_REQUEST_BYTES = 65_536;

/** What a request says, once its signature is verified. */
export interface CertificateRequest {
  /** In EJBCA's form; '' for an empty name. */
  readonly subjectDN: string;
  readonly publicKey: KeyObject;
  /** The SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** GeneralNames that the request wants as subjectAltName, DER; undefined = none. */
  readonly altNames: Uint8Array | undefined;
}

/** A request that its key has yet to sign. */
export interface DraftRequest {
  /** CertificationRequestInfo, DER: what is signed. */
  readonly info: Uint8Array;
  /** The request, DER. */
  signed(signature: Uint8Array): Uint8Array;
}

/**
 * Drafts a request for a key pair; no attributes.
 *
 * @param subjectDN in EJBCA's form
 * @throws PeerError ERR_INVALID_INPUT when the name is not one, or the key is of a kind that is not signed with here
 */
export function draftCertificateRequest(subjectDN: string, publicKey: KeyObject): DraftRequest {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const info = sequence(integer(0), parseDistinguishedName(subjectDN), spki, explicit(0));
  const { identifier } = signatureAlgorithmOf(publicKey);
  return { info, signed: (signature) => sequence(info, identifier, bitString(signature)) };
}

/**
 * Reads a DER request and verifies that who made it has the key.
 *
 * @throws PeerError ERR_INVALID_CERTIFICATE when it is no request, or its proof of possession does not verify
 */
export function readCertificateRequest(der: Uint8Array): CertificateRequest {
  if (der.length > MAX_REQUEST_BYTES)
    throw invalid(`it has ${der.length} bytes, at most ${MAX_REQUEST_BYTES} are read`);
  const fields = quietly(() => readFields(der));
  const publicKey = readPublicKey(fields.spki);
  if (!isSigned(fields, publicKey)) throw invalid('its proof of possession does not verify');
  return { subjectDN: fields.subjectDN, publicKey, spki: fields.spki, altNames: fields.altNames };
}

interface RequestFields {
  readonly info: Uint8Array;
  readonly subjectDN: string;
  readonly spki: Uint8Array;
  /** AlgorithmIdentifier, DER. */
  readonly algorithm: Uint8Array;
  readonly signature: Uint8Array;
  readonly altNames: Uint8Array | undefined;
}

function readFields(der: Uint8Array): RequestFields {
  const outer = new DerCursor(der);
  outer.expect(TAG.sequence);
  if (outer.hasMore) throw new DerError('bytes too many', outer.end);
  const frame = outer.enter();
  frame.expect(TAG.sequence);
  const info = frame.element();
  const inner = frame.enter();
  frame.expect(TAG.sequence);
  const algorithm = frame.element();
  frame.expect(TAG.bitString);
  const [unusedBits, ...signature] = frame.content();
  if (unusedBits !== 0) throw new DerError('a signature of no whole octets', frame.start);
  inner.expect(TAG.integer);
  inner.expect(TAG.sequence);
  const subjectDN = readDistinguishedName(inner);
  inner.expect(TAG.sequence);
  const spki = inner.element();
  // Old programs leave the attributes out where there are none.
  const altNames = inner.hasMore ? requestedAltNames(attributesOf(inner)) : undefined;
  return {
    info,
    subjectDN,
    spki,
    altNames,
    algorithm,
    signature: Uint8Array.from(signature),
  };
}

function attributesOf(info: DerCursor): DerCursor {
  info.expect(ATTRIBUTES);
  return info;
}

function readPublicKey(spki: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch (cause) {
    throw invalid('its public key is not readable', cause);
  }
}

function isSigned({ info, algorithm, signature }: RequestFields, publicKey: KeyObject): boolean {
  const known = quietly(() => signatureAlgorithmFrom(algorithm));
  if (!known?.keyType.includes(publicKey.asymmetricKeyType ?? '')) {
    throw invalid('its signature algorithm is not known, weak, or not one of its key');
  }
  const check = new SignatureCheck(known, [publicKey]);
  check.update(info);
  return check.keyThatMade(signature) !== undefined;
}

function quietly<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof DerError) throw invalid(cause.message, cause);
    throw cause;
  }
}

function invalid(what: string, cause?: unknown): PeerError {
  return new PeerError('ERR_INVALID_CERTIFICATE', `The certificate request is not usable: ${what}`, { cause });
}
