/**
 * A PKI with fresh keys, in memory: a Management CA that both sides trust, the certificates of a CA and a VA,
 * and the many ways in which a client certificate can be wrong.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import forge from 'node-forge';
import type { IdentitySource } from '../../lib/keybinding/identity.ts';
import { type CertificateTemplate, issueCertificate } from '../../lib/x509/certificate-builder.ts';
import { draftCertificateRequest } from '../../lib/x509/certificate-request.ts';
import { toPem } from '../../lib/x509/pem.ts';
import { signWith } from '../../lib/x509/signature-algorithm.ts';

/** A certificate with its key. */
export interface Credential {
  readonly certificate: Uint8Array;
  readonly privateKey: KeyObject;
  readonly certificatePem: string;
  readonly keyPem: string;
}

/** Key pairs of the kinds that PKIs use. */
export const KEY_MAKERS = {
  ec: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  rsa: () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  ed25519: () => generateKeyPairSync('ed25519').privateKey,
} as const;

const DAY_MS = 86_400_000;

/** A certificate request for a key, DER. */
export function requestFor(subjectDN: string, privateKey: KeyObject): Uint8Array {
  const draft = draftCertificateRequest(subjectDN, createPublicKey(privateKey));
  return draft.signed(signWith(privateKey, draft.info));
}

/** A date some days from now. */
export function daysFromNow(days: number): Date {
  return new Date(Math.floor(Date.now() / 1000) * 1000 + days * DAY_MS);
}

type Template = Partial<CertificateTemplate> & { readonly subjectDN: string };

/** Makes a key pair and a certificate for it. */
export function issue(
  issuer: Credential | 'self',
  template: Template,
  makeKey: () => KeyObject = KEY_MAKERS.ec,
): Credential {
  const privateKey = makeKey();
  const certificate = issueCertificate({
    issuer,
    ...(issuer === 'self' && { privateKey }),
    publicKey: privateKey,
    notBefore: daysFromNow(-1),
    notAfter: daysFromNow(30),
    ...template,
  });
  return {
    certificate,
    privateKey,
    certificatePem: toPem(certificate),
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

/** Makes a root CA. */
export function issueRootCa(subjectDN: string, makeKey?: () => KeyObject): Credential {
  return issue(
    'self',
    { subjectDN, ca: true, keyUsage: ['keyCertSign', 'cRLSign'], notAfter: daysFromNow(3650) },
    makeKey,
  );
}

const CLIENT = { keyUsage: ['digitalSignature'], extendedKeyUsage: ['clientAuth'] } as const;
const SERVER = {
  keyUsage: ['digitalSignature'],
  extendedKeyUsage: ['serverAuth'],
  subjectAltNames: { dns: ['localhost'], ip: ['127.0.0.1'] },
} as const;

/** Both sides of a peer connection, and who else may come along. A PKCS#12 file needs a CA with an RSA key. */
export function createTestPki(makeCaKey?: () => KeyObject) {
  const managementCa = issueRootCa('CN=Management CA,O=Test,C=SE', makeCaKey);
  const caClient = issue(managementCa, { subjectDN: 'CN=ca-1,O=Test,C=SE', ...CLIENT });
  const vaServer = issue(managementCa, { subjectDN: 'CN=va-1,O=Test,C=SE', ...SERVER });
  return {
    managementCa,
    caClient,
    vaServer,
    /** Clients that must be refused, by the cause the endpoint has to name. */
    strangers: () => ({
      expired: issue(managementCa, {
        subjectDN: 'CN=ca-1,O=Test,C=SE',
        ...CLIENT,
        notBefore: daysFromNow(-9),
        notAfter: daysFromNow(-2),
      }),
      'not yet valid': issue(managementCa, { subjectDN: 'CN=ca-1,O=Test,C=SE', ...CLIENT, notBefore: daysFromNow(2) }),
      'untrusted issuer': issue(issueRootCa('CN=Management CA,O=Test,C=SE'), {
        subjectDN: 'CN=ca-1,O=Test,C=SE',
        ...CLIENT,
      }),
      'self-signed': issue('self', { subjectDN: 'CN=ca-1,O=Test,C=SE', ...CLIENT }),
      'wrong purpose': issue(managementCa, { subjectDN: 'CN=ca-1,O=Test,C=SE', ...SERVER }),
    }),
    /** A good certificate that no role knows. */
    nobody: () => issue(managementCa, { subjectDN: 'CN=nobody,O=Test,C=SE', ...CLIENT }),
    server: (template: Partial<CertificateTemplate>) =>
      issue(managementCa, { subjectDN: 'CN=va-2,O=Test,C=SE', ...SERVER, ...template }),
    client: (template: Partial<CertificateTemplate>) =>
      issue(managementCa, { subjectDN: 'CN=ca-2,O=Test,C=SE', ...CLIENT, ...template }),
  };
}

/** What `createTestPki` gives. */
export type TestPki = ReturnType<typeof createTestPki>;

/** The source of an identity for a remote authenticator. */
export function identitySource({ certificatePem, keyPem }: Credential): IdentitySource {
  return { kind: 'pem', certificate: certificatePem, key: keyPem, passphrase: '' };
}

/** Writes certificate and key as PEM files; gives their paths. */
export function writePemFiles(folder: string, name: string, { certificatePem, keyPem }: Credential) {
  mkdirSync(folder, { recursive: true });
  const certificateFile = join(folder, `${name}.crt`);
  const keyFile = join(folder, `${name}.key`);
  writeFileSync(certificateFile, certificatePem);
  writeFileSync(keyFile, keyPem, { mode: 0o600 });
  return { certificateFile, keyFile };
}

/** Writes a PKCS#12 file of a credential and its CA, both with RSA keys; gives its path. */
export function writePkcs12(
  folder: string,
  name: string,
  credential: Credential,
  options: { readonly passphrase: string; readonly ca: Credential },
): string {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.p12`);
  const key = forge.pki.privateKeyFromPem(credential.privateKey.export({ type: 'pkcs1', format: 'pem' }) as string);
  const chain = [credential, options.ca].map((each) => forge.pki.certificateFromPem(each.certificatePem));
  const asn1 = forge.pkcs12.toPkcs12Asn1(key, chain, options.passphrase, { algorithm: 'aes256' });
  writeFileSync(file, forge.asn1.toDer(asn1).getBytes(), { encoding: 'binary', mode: 0o600 });
  return file;
}
