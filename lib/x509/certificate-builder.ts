/**
 * Issues certificates with a key at hand: for a local CA, a demo PKI, tests.
 *
 * Owns putting a certificate together and signing it. Who may have one is decided elsewhere.
 */
import { createPublicKey, hash, type KeyObject, randomBytes } from 'node:crypto';
import { PeerError } from '../errors.ts';
import { readCertificate } from './certificate.ts';
import { bitString, explicit, integer, sequence, time } from './der-writer.ts';
import { parseDistinguishedName } from './distinguished-name-writer.ts';
import {
  authorityKeyIdentifier,
  basicConstraints,
  extendedKeyUsage,
  extensionsField,
  type KeyUsage,
  keyUsage,
  type SubjectAltNames,
  subjectAltName,
  subjectKeyIdentifier,
} from './extension-writer.ts';
import { publicKeyBits } from './public-key-bits.ts';
import { integerFromDecimal } from './serial-number.ts';
import { signatureAlgorithmOf, signWith } from './signature-algorithm.ts';

/** A CA with its key. */
export interface CertificateIssuer {
  /** The CA's certificate, DER. Its subject becomes the issuer, byte for byte. */
  readonly certificate: Uint8Array;
  readonly privateKey: KeyObject;
}

/** What goes into a certificate. */
export interface CertificateTemplate {
  /** `self` for a certificate signed with its own `privateKey`. */
  readonly issuer: CertificateIssuer | 'self';
  /** Only, and then required, with the issuer `self`. */
  readonly privateKey?: KeyObject;
  /** In EJBCA's form, `CN=x,O=y,C=se`; '' for an empty subject. */
  readonly subjectDN: string;
  /** Public or private key of the subject. */
  readonly publicKey: KeyObject;
  /** Decimal. Default: 126 random bits. */
  readonly serialNumber?: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** `true` = CA; a number = CA with that path length; `false` = an end entity that says so. Default: nothing is said. */
  readonly ca?: boolean | number;
  /** Default: none, which allows all. */
  readonly keyUsage?: readonly KeyUsage[];
  /** `clientAuth`, `serverAuth`, `OCSPSigning` or dotted object identifiers. Default: none. */
  readonly extendedKeyUsage?: readonly string[];
  readonly subjectAltNames?: SubjectAltNames;
  /** Further extensions, DER, as `extension` of `extension-writer.ts` writes them. */
  readonly extensions?: readonly Uint8Array[];
}

const VERSION_3 = explicit(0, integer(2));

/**
 * Issues a certificate: X.509 v3, signed with SHA-256 (RSA, P-256), SHA-384 (P-384), SHA-512 (P-521), or the
 * digest of the algorithm itself (Ed25519, Ed448, ML-DSA), with subject and authority key identifiers.
 *
 * @returns DER
 * @throws PeerError ERR_INVALID_INPUT when a field is not usable
 * @throws PeerError ERR_INVALID_CERTIFICATE when the issuer's certificate is not one
 */
export function issueCertificate(template: CertificateTemplate): Uint8Array {
  const subject = parseDistinguishedName(template.subjectDN);
  const subjectKey = encodePublicKey(template.publicKey);
  const issuer = resolveIssuer(template, subject, subjectKey);
  if (!(template.notBefore <= template.notAfter)) {
    throw new PeerError('ERR_INVALID_INPUT', `The certificate of ${template.subjectDN} would end before it begins`);
  }
  const algorithm = signatureAlgorithmOf(issuer.privateKey).identifier;
  const tbs = sequence(
    VERSION_3,
    integer(template.serialNumber === undefined ? randomSerialNumber() : integerFromDecimal(template.serialNumber)),
    algorithm,
    issuer.name,
    sequence(time(template.notBefore), time(template.notAfter)),
    subject,
    subjectKey.spki,
    extensionsField(extensionsOf(template, subjectKey.keyId, issuer.keyId)),
  );
  return sequence(tbs, algorithm, bitString(signWith(issuer.privateKey, tbs)));
}

interface Issuer {
  readonly name: Uint8Array;
  readonly keyId: Uint8Array;
  readonly privateKey: KeyObject;
}

function resolveIssuer({ issuer, privateKey }: CertificateTemplate, subject: Uint8Array, key: PublicKey): Issuer {
  if (issuer !== 'self') return { ...issuerNames(issuer.certificate), privateKey: issuer.privateKey };
  if (privateKey === undefined)
    throw new PeerError('ERR_INVALID_INPUT', 'A self-signed certificate needs its private key');
  return { name: subject, keyId: key.keyId, privateKey };
}

function issuerNames(certificate: Uint8Array): { readonly name: Uint8Array; readonly keyId: Uint8Array } {
  const { subjectDer, subjectKeyId, spki } = readCertificate(certificate);
  return { name: subjectDer, keyId: subjectKeyId === null ? keyIdOf(spki) : Buffer.from(subjectKeyId, 'base64') };
}

function extensionsOf(template: CertificateTemplate, keyId: Uint8Array, issuerKeyId: Uint8Array): Uint8Array[] {
  const extensions: Uint8Array[] = [];
  if (template.ca !== undefined) extensions.push(basicConstraints(template.ca));
  if (template.keyUsage !== undefined) extensions.push(keyUsage(template.keyUsage));
  if (template.extendedKeyUsage !== undefined) extensions.push(extendedKeyUsage(template.extendedKeyUsage));
  extensions.push(subjectKeyIdentifier(keyId), authorityKeyIdentifier(issuerKeyId));
  if (template.subjectAltNames !== undefined) extensions.push(subjectAltName(template.subjectAltNames));
  return [...extensions, ...(template.extensions ?? [])];
}

interface PublicKey {
  readonly spki: Uint8Array;
  readonly keyId: Uint8Array;
}

// Exporting a key costs more than everything else here but the signature.
const encoded = new WeakMap<KeyObject, PublicKey>();

function encodePublicKey(key: KeyObject): PublicKey {
  const found = encoded.get(key);
  if (found !== undefined) return found;
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  if (publicKey.type !== 'public') throw new PeerError('ERR_INVALID_INPUT', `A ${key.type} key cannot be certified`);
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const result = { spki, keyId: keyIdOf(spki) };
  encoded.set(key, result);
  return result;
}

/** Key identifier: SHA-1 of the bits of the public key (RFC 5280 4.2.1.2, method 1). */
function keyIdOf(spki: Uint8Array): Uint8Array {
  return hash('sha1', publicKeyBits(spki), 'buffer');
}

/** 16 octets, positive, without a leading zero octet: 126 random bits. */
function randomSerialNumber(): Uint8Array {
  const bytes = randomBytes(16);
  bytes[0] = 0x40 | ((bytes[0] ?? 0) & 0x3f);
  return bytes;
}
