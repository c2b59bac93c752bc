import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSecretKey, generateKeyPairSync, type KeyPairKeyObjectResult, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readCertificate } from '../../../lib/x509/certificate.ts';
import { issueCertificate } from '../../../lib/x509/certificate-builder.ts';
import { element, sequence } from '../../../lib/x509/der-writer.ts';
import { toPem } from '../../../lib/x509/pem.ts';
import { assemble, ecKeys, NOT_AFTER, NOT_BEFORE, selfSigned } from './samples.ts';

const KINDS: Readonly<Record<string, () => KeyPairKeyObjectResult>> = {
  'RSA-2048': () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  'P-256': () => ecKeys,
  'P-384': () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'P-521': () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  Ed25519: () => generateKeyPairSync('ed25519'),
  Ed448: () => generateKeyPairSync('ed448'),
};

function text(der: Uint8Array): string {
  return execFileSync('openssl', ['x509', '-noout', '-text'], { input: toPem(der) }).toString();
}

function issueBy(keys: KeyPairKeyObjectResult, certificate: Uint8Array, changes = {}): Uint8Array {
  return issueCertificate({
    issuer: { certificate, privateKey: keys.privateKey },
    publicKey: ecKeys.publicKey,
    subjectDN: 'CN=leaf,O=Example,C=SE',
    notBefore: NOT_BEFORE,
    notAfter: NOT_AFTER,
    ...changes,
  });
}

describe('issueCertificate', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'issue-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  function verifyWithOpenssl(ca: Uint8Array, leaf: Uint8Array): string {
    writeFileSync(join(folder, 'ca.pem'), toPem(ca));
    writeFileSync(join(folder, 'leaf.pem'), toPem(leaf));
    const at = String(NOT_BEFORE.getTime() / 1000 + 60);
    const options = ['verify', '-x509_strict', '-attime', at, '-CAfile', 'ca.pem', 'leaf.pem'];
    return execFileSync('openssl', options, { cwd: folder }).toString();
  }

  for (const [kind, generate] of Object.entries(KINDS)) {
    it(`issues with ${kind} what OpenSSL and Node verify`, () => {
      const keys = generate();
      const ca = selfSigned({ privateKey: keys.privateKey, publicKey: keys.publicKey });
      const leaf = issueBy(keys, ca, { ca: false, keyUsage: ['digitalSignature'], extendedKeyUsage: ['clientAuth'] });
      assert.equal(verifyWithOpenssl(ca, leaf), 'leaf.pem: OK\n');
      assert.equal(new X509Certificate(leaf).verify(keys.publicKey), true);
      assert.equal(new X509Certificate(leaf).checkIssued(new X509Certificate(ca)), true);
    });
  }

  it('issues a chain with path lengths', () => {
    const root = selfSigned({ ca: 1 });
    const sub = issueBy(ecKeys, root, { subjectDN: 'CN=Sub', ca: 0, keyUsage: ['keyCertSign', 'cRLSign'] });
    assert.match(text(sub), /CA:TRUE, pathlen:0/);
    assert.match(text(root), /CA:TRUE, pathlen:1/);
    assert.equal(readCertificate(issueBy(ecKeys, sub)).issuerDN, 'CN=Sub');
  });

  it('names the issuer byte for byte as it names itself', () => {
    const printable = execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-keyout',
        join(folder, 'k.pem'),
        '-nodes',
        '-subj',
        '/C=SE/O=Ös/CN=odd',
        '-utf8',
        '-outform',
        'DER',
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    assert.deepEqual(readCertificate(issueBy(ecKeys, printable)).issuerDer, readCertificate(printable).subjectDer);
  });

  it('takes the key identifier of the issuer from its certificate', () => {
    const { subjectKeyId } = readCertificate(selfSigned());
    assert.equal(readCertificate(issueBy(ecKeys, selfSigned())).authorityKeyId, subjectKeyId);
  });

  it('computes the key identifier of an issuer that has none', () => {
    assert.equal(
      readCertificate(issueBy(ecKeys, assemble())).authorityKeyId,
      readCertificate(selfSigned()).subjectKeyId,
    );
  });

  it('writes key usages, extended key usages and alternative names', () => {
    const printed = text(
      issueBy(ecKeys, selfSigned(), {
        ca: false,
        keyUsage: ['digitalSignature', 'keyAgreement', 'decipherOnly'],
        extendedKeyUsage: ['serverAuth', 'OCSPSigning', '1.3.6.1.4.1.311.20.2.2'],
        subjectAltNames: {
          dns: ['a.example', '*.b.example'],
          ip: ['192.0.2.1', '2001:db8::1', '::', '::ffff:192.0.2.1'],
        },
      }),
    );
    assert.match(printed, /Key Usage: critical\s+Digital Signature, Key Agreement, Decipher Only\n/);
    assert.match(printed, /TLS Web Server Authentication, OCSP Signing, Microsoft Smartcard Login\n/);
    assert.match(
      printed,
      /DNS:a\.example, DNS:\*\.b\.example, IP Address:192\.0\.2\.1, IP Address:2001:DB8:0:0:0:0:0:1/,
    );
    assert.match(printed, /IP Address:0:0:0:0:0:0:0:0, IP Address:0:0:0:0:0:FFFF:C000:201\n/);
    assert.match(printed, /CA:FALSE/);
  });

  it('gives random positive serial numbers of 16 octets', () => {
    const serials = Array.from({ length: 50 }, () => readCertificate(selfSigned()).serialNumber);
    assert.equal(new Set(serials).size, 50);
    for (const serial of serials) assert.equal(BigInt(serial).toString(16).length, 32);
  });

  it('takes a serial number as given, also a negative one', () => {
    assert.equal(readCertificate(selfSigned({ serialNumber: '-129' })).serialNumber, '-129');
  });

  it('certifies the public half of a private key', () => {
    assert.equal(new X509Certificate(selfSigned({ publicKey: ecKeys.privateKey })).verify(ecKeys.publicKey), true);
  });

  it('issues dates beyond 2049', () => {
    const notAfter = new Date('9999-12-31T23:59:59Z');
    assert.equal(readCertificate(selfSigned({ notAfter })).expireDate, notAfter.getTime());
  });

  it('issues an empty subject', () => assert.equal(readCertificate(selfSigned({ subjectDN: '' })).subjectDN, ''));

  const unusable: Readonly<Record<string, Parameters<typeof selfSigned>[0]>> = {
    'a self-signed certificate without its key': { privateKey: undefined as never },
    'a public key to sign with': { privateKey: ecKeys.publicKey },
    'a secret key to sign with': { privateKey: createSecretKey(Buffer.alloc(32)) },
    'a secret key to certify': { publicKey: createSecretKey(Buffer.alloc(32)) },
    'a key that cannot sign': { privateKey: generateKeyPairSync('x25519').privateKey },
    'an end before the beginning': { notAfter: new Date(0) },
    'an invalid date': { notAfter: new Date('never') },
    'a malformed subject': { subjectDN: 'nobody' },
    'a malformed serial number': { serialNumber: '0x10' },
    'a negative path length': { ca: -1 },
    'half a path length': { ca: 0.5 },
    'an unknown key usage': { keyUsage: ['fly' as never] },
    'an unknown extended key usage': { extendedKeyUsage: ['fly'] },
    'an extended key usage named like a property of objects': { extendedKeyUsage: ['constructor'] },
    'an empty host name': { subjectAltNames: { dns: [''] } },
    'a host name that is not ASCII': { subjectAltNames: { dns: ['zoë.example'] } },
    'a malformed address': { subjectAltNames: { ip: ['192.0.2.256'] } },
    'an address with a zone': { subjectAltNames: { ip: ['fe80::1%eth0'] } },
  };
  for (const [what, changes] of Object.entries(unusable)) {
    it(`refuses ${what}`, () => assert.throws(() => selfSigned(changes), { code: 'ERR_INVALID_INPUT' }));
  }

  it('refuses an issuer that is no certificate', () => {
    assert.throws(() => issueBy(ecKeys, Buffer.from('hello')), { code: 'ERR_INVALID_CERTIFICATE' });
  });

  it('refuses an issuer without a key identifier whose key is unreadable', () => {
    const issuer = assemble({ spki: sequence(element(0x30)) });
    assert.throws(() => issueBy(ecKeys, issuer), { code: 'ERR_INVALID_CERTIFICATE' });
  });
});
