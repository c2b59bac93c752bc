/**
 * The TLS identity of one side: private key, certificate with its chain, and where they come from.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { PeerError } from '../errors.ts';
import { type CertificateFacts, readCertificate } from '../x509/certificate.ts';
import { readPem, toPem } from '../x509/pem.ts';
import { readPkcs12 } from './pkcs12.ts';

/** Where an identity comes from. Passphrases are empty when there is none. */
export type IdentitySource =
  | { readonly kind: 'pkcs12-file'; readonly file: string; readonly passphrase: string }
  | {
      readonly kind: 'pem-files';
      readonly certificateFile: string;
      readonly keyFile: string;
      readonly passphrase: string;
    }
  | { readonly kind: 'pkcs12'; readonly der: Uint8Array; readonly passphrase: string }
  | { readonly kind: 'pem'; readonly certificate: string; readonly key: string; readonly passphrase: string };

/** A private key with the certificate that names it. */
export interface Identity {
  readonly privateKey: KeyObject;
  /** The certificate first, then the others of its source (intermediate CAs). PEM. */
  readonly chainPem: string;
  readonly certificate: CertificateFacts;
  /** The certificates beside it that are CAs, DER: trusted when no trust list is given. */
  readonly companionCas: readonly Uint8Array[];
}

/** The files an identity is read from, to be watched. */
export function filesOf(source: IdentitySource): readonly string[] {
  if (source.kind === 'pkcs12-file') return [source.file];
  if (source.kind === 'pem-files') return [source.certificateFile, source.keyFile];
  return [];
}

/**
 * Reads an identity and checks that key and certificate belong together.
 *
 * @throws PeerError ERR_IDENTITY_UNREADABLE, ERR_WRONG_PASSPHRASE
 */
export function loadIdentity(source: IdentitySource): Identity {
  const { privateKey, certificates } = readSource(source);
  const leaf = certificates.find((der) => isKeyOf(der, privateKey));
  if (leaf === undefined) {
    const detail =
      certificates.length === 0 ? 'No certificate was found' : 'The private key does not belong to the certificate';
    throw new PeerError('ERR_IDENTITY_UNREADABLE', `${detail} (${describe(source)})`);
  }
  const others = certificates.filter((der) => der !== leaf);
  return {
    privateKey,
    chainPem: [leaf, ...others].map((der) => toPem(der)).join(''),
    certificate: readCertificate(leaf),
    companionCas: others.filter((der) => readCertificate(der).isCa),
  };
}

interface KeyAndCertificates {
  readonly privateKey: KeyObject;
  readonly certificates: readonly Uint8Array[];
}

function readSource(source: IdentitySource): KeyAndCertificates {
  switch (source.kind) {
    case 'pkcs12-file':
      return readPkcs12(readBytes(source.file), source.passphrase);
    case 'pkcs12':
      return readPkcs12(source.der, source.passphrase);
    case 'pem-files': {
      const certificate = readBytes(source.certificateFile).toString('latin1');
      const key = readBytes(source.keyFile).toString('latin1');
      return readPemPair({ kind: 'pem', certificate, key, passphrase: source.passphrase }, source.keyFile);
    }
    case 'pem':
      return readPemPair(source, 'the given PEM text');
  }
}

function readPemPair(source: IdentitySource & { kind: 'pem' }, origin: string): KeyAndCertificates {
  return {
    privateKey: readPrivateKey(source.key, source.passphrase, origin),
    certificates: readPem(source.certificate),
  };
}

function readPrivateKey(pem: string, passphrase: string, origin: string): KeyObject {
  try {
    return createPrivateKey(passphrase === '' ? { key: pem } : { key: pem, passphrase });
  } catch (cause) {
    const code = (cause as { code?: string }).code ?? '';
    // OpenSSL has no one code for a wrong or missing passphrase; UNSUPPORTED is what is no key at all.
    if (pem.includes('ENCRYPTED') && code !== 'ERR_OSSL_UNSUPPORTED') {
      throw new PeerError('ERR_WRONG_PASSPHRASE', `The passphrase does not open the private key in ${origin}`);
    }
    // The cause is left out: OpenSSL's text may quote what it could not parse.
    throw new PeerError('ERR_IDENTITY_UNREADABLE', `The private key in ${origin} cannot be read`);
  }
}

function readBytes(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new PeerError('ERR_IDENTITY_UNREADABLE', `The file ${file} cannot be read`, { cause });
  }
}

function isKeyOf(der: Uint8Array, privateKey: KeyObject): boolean {
  try {
    return new X509Certificate(der).checkPrivateKey(privateKey);
  } catch {
    return false;
  }
}

function describe(source: IdentitySource): string {
  return filesOf(source).join(', ') || 'given in the configuration';
}
