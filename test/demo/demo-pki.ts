/**
 * A PKI for the examples, with fresh keys, as files: a Management CA that both sides trust, the identities of a CA
 * and a VA, and an issuing CA with certificates to publish.
 */
import { type KeyObject, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readCertificateInput } from '../../lib/publisher/certificate-input.ts';
import { encodeRow } from '../../lib/store/certificate-row.ts';
import { SqliteStore } from '../../lib/store/sqlite-store.ts';
import { ALL_CAS } from '../../lib/x509/ca-scope.ts';
import { REQUEST_LABEL } from '../../lib/x509/certificate-request.ts';
import { toPem } from '../../lib/x509/pem.ts';
import { makeCrl } from '../helpers/crl-maker.ts';
import {
  type Credential,
  daysFromNow,
  issue,
  issueRootCa,
  KEY_MAKERS,
  requestFor,
  writePemFiles,
  writePkcs12,
} from '../helpers/test-pki.ts';

/** The variables that the examples name. */
export type PeerVariables = Readonly<Record<`PEER_${string}`, string>>;

const MANAGEMENT_CA_DN = 'CN=Management CA,O=Demo,C=SE';
const ISSUING_CA_DN = 'CN=Demo Issuing CA,O=Demo,C=SE';
const VALID_DAYS = 730;
const RSA_KEYS = 4;
/** What the CA's own store holds besides its CA. */
export const CERTIFICATES_IN_STORE = 60;

/**
 * The variables for the PKI in a folder; made at the first call, kept from then on.
 *
 * @param certificates how many certificates the bundle holds besides its CA
 */
export function demoPki(folder: string, certificates: number): PeerVariables {
  const file = join(folder, 'variables.json');
  // Written last, so that a PKI that was interrupted half-way is made anew.
  if (!existsSync(file)) writeSecret(file, JSON.stringify(makePki(folder, certificates), null, 2));
  return JSON.parse(readFileSync(file, 'utf8')) as PeerVariables;
}

function makePki(folder: string, certificates: number): PeerVariables {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // PKCS#12 is written with RSA keys.
  const managementCa = issueRootCa(MANAGEMENT_CA_DN, KEY_MAKERS.rsa);
  const validity = { notAfter: daysFromNow(VALID_DAYS) };
  const ca = issue(
    managementCa,
    {
      subjectDN: 'CN=Demo CA,O=Demo,C=SE',
      keyUsage: ['digitalSignature'],
      extendedKeyUsage: ['clientAuth'],
      ...validity,
    },
    KEY_MAKERS.rsa,
  );
  const va = issue(managementCa, {
    subjectDN: 'CN=Demo VA,O=Demo,C=SE',
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: ['serverAuth'],
    subjectAltNames: { dns: ['localhost'], ip: ['127.0.0.1'] },
    ...validity,
  });
  const passphrase = randomBytes(24).toString('base64url');
  const bundle = join(folder, 'bundle.pem');
  const issuingCa = issueRootCa(ISSUING_CA_DN);
  writeFileSync(bundle, issueBundle(issuingCa, certificates).join(''));
  const crl = join(folder, 'issuing-ca.crl');
  writeFileSync(
    crl,
    makeCrl({ issuer: issuingCa, nextUpdate: validity.notAfter, entries: [{ serialNumber: '4660', reason: 1 }] }),
  );
  const issuingCaFiles = writePemFiles(folder, 'issuing-ca', issuingCa);
  const csr = join(folder, 'request.pem');
  const request = requestFor('CN=demo user,O=Demo,C=SE', KEY_MAKERS.ec());
  writeFileSync(csr, toPem(request, REQUEST_LABEL));
  const feeds = makeFeeds(folder);
  const vaFiles = writePemFiles(folder, 'va', va);
  return {
    PEER_CA_PKCS12: writePkcs12(folder, 'ca', ca, { passphrase, ca: managementCa }),
    PEER_CA_PASSPHRASE: passphrase,
    PEER_VA_CERTIFICATE: vaFiles.certificateFile,
    PEER_VA_KEY: vaFiles.keyFile,
    PEER_TRUSTED_CA: writeCertificate(folder, 'management-ca', managementCa),
    PEER_TRUSTED_CA_DN: MANAGEMENT_CA_DN,
    PEER_STORE: join(folder, 'va.sqlite'),
    PEER_CA_STORE: fillStore(join(folder, 'ca.sqlite'), issueBundle(issueRootCa(ISSUING_CA_DN), CERTIFICATES_IN_STORE)),
    PEER_BUNDLE: bundle,
    PEER_CRL: crl,
    PEER_OCSP_TOKEN: join(folder, 'ocsp.p12'),
    PEER_OCSP_PASSPHRASE: randomBytes(24).toString('base64url'),
    PEER_CSR: csr,
    PEER_ISSUING_CA: issuingCaFiles.certificateFile,
    PEER_ISSUING_CA_KEY: issuingCaFiles.keyFile,
    PEER_FEED_TOKEN: randomBytes(24).toString('base64url'),
    ...feeds,
  };
}

/** What feeds come from: a new CA in the form of `openssl ca`, and an empty folder. */
function makeFeeds(folder: string) {
  const [openssl, files] = [join(folder, 'openssl-ca'), join(folder, 'feed')];
  for (const each of [join(openssl, 'newcerts'), files]) mkdirSync(each, { recursive: true });
  const ca = issueRootCa('CN=Demo OpenSSL CA');
  writeFileSync(join(openssl, 'index.txt'), '');
  writeFileSync(join(openssl, 'cacert.pem'), ca.certificatePem);
  writeFileSync(join(openssl, 'crl.pem'), toPem(makeCrl({ issuer: ca }), 'X509 CRL'));
  return { PEER_OPENSSL_CA: openssl, PEER_FEED_FOLDER: files };
}

/** PEM texts: an issuing CA and its certificates, in turns for RSA, EC and Ed25519 keys. */
function issueBundle(issuingCa: Credential, certificates: number): readonly string[] {
  // RSA keys take long to make; a few of them serve all.
  const rsaKeys = Array.from({ length: RSA_KEYS }, KEY_MAKERS.rsa);
  const makers: readonly ((index: number) => KeyObject)[] = [
    (index) => rsaKeys[index % RSA_KEYS] ?? KEY_MAKERS.rsa(),
    KEY_MAKERS.ec,
    KEY_MAKERS.ed25519,
  ];
  const issued = Array.from({ length: certificates }, (_, index) => {
    const makeKey = makers[index % makers.length] ?? KEY_MAKERS.ec;
    return issue(issuingCa, { subjectDN: `CN=user ${index + 1},O=Demo,C=SE` }, () => makeKey(index)).certificatePem;
  });
  return [issuingCa.certificatePem, ...issued];
}

/** A store file of the CA with these certificates; gives its path. */
function fillStore(file: string, pems: readonly string[]): string {
  const items = readCertificateInput(pems, Date.now());
  const rows = items.map((item) => {
    if ('failure' in item) throw item.failure;
    return encodeRow(item.row);
  });
  const store = new SqliteStore(file);
  store.writeGroup([{ rows, scope: ALL_CAS }]);
  store.close();
  return file;
}

function writeCertificate(folder: string, name: string, { certificatePem }: Credential): string {
  const file = join(folder, `${name}.crt`);
  writeFileSync(file, certificatePem);
  return file;
}

function writeSecret(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
