import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type IdentitySource, loadIdentity } from '../../../lib/keybinding/identity.ts';
import { RemoteAuthenticator } from '../../../lib/keybinding/remote-authenticator.ts';
import { readCertificate } from '../../../lib/x509/certificate.ts';
import {
  createTestPki,
  identitySource,
  issue,
  KEY_MAKERS,
  writePemFiles,
  writePkcs12,
} from '../../helpers/test-pki.ts';

describe('identity', () => {
  const pki = createTestPki();
  const folder = mkdtempSync(join(tmpdir(), 'identity-'));
  const inFolder = (name: string): string => join(folder, name);

  after(() => rmSync(folder, { recursive: true }));

  const openssl = (...parameters: string[]): void => void execFileSync('openssl', parameters, { stdio: 'pipe' });

  const pemFiles = (passphrase = ''): IdentitySource => {
    const { certificateFile, keyFile } = writePemFiles(folder, 'client', pki.caClient);
    return { kind: 'pem-files', certificateFile, keyFile, passphrase };
  };

  it('is read from PEM files', () => {
    const { certificate, privateKey } = loadIdentity(pemFiles());
    assert.equal(certificate.subjectDN, 'CN=ca-1,O=Test,C=SE');
    assert.equal(privateKey.type, 'private');
  });

  it('is read from an encrypted PEM key', () => {
    const { certificateFile, keyFile } = writePemFiles(folder, 'client', pki.caClient);
    const encrypted = inFolder('encrypted.key');
    openssl('pkcs8', '-topk8', '-in', keyFile, '-out', encrypted, '-passout', 'pass:secret');
    const source = { kind: 'pem-files', certificateFile, keyFile: encrypted } as const;
    assert.equal(loadIdentity({ ...source, passphrase: 'secret' }).certificate.subjectDN, 'CN=ca-1,O=Test,C=SE');
    for (const passphrase of ['wrong', '']) {
      assert.throws(() => loadIdentity({ ...source, passphrase }), { code: 'ERR_WRONG_PASSPHRASE' });
    }
  });

  for (const [algorithm, makeKey] of Object.entries(KEY_MAKERS)) {
    for (const options of [[], ['-legacy'], ['-keypbe', 'NONE', '-certpbe', 'NONE'], ['-macalg', 'sha512']]) {
      it(`is read from a PKCS#12 file that OpenSSL made: ${[algorithm, ...options].join(' ')}`, () => {
        const credential = issue(pki.managementCa, { subjectDN: 'CN=p12' }, makeKey);
        const { certificateFile, keyFile } = writePemFiles(folder, `p12-${algorithm}`, credential);
        const ca = writePemFiles(folder, 'ca', pki.managementCa).certificateFile;
        const file = inFolder('identity.p12');
        openssl(
          'pkcs12',
          '-export',
          ...options,
          '-inkey',
          keyFile,
          '-in',
          certificateFile,
          '-certfile',
          ca,
          '-out',
          file,
          '-passout',
          'pass:gehört dazu',
        );
        const identity = loadIdentity({ kind: 'pkcs12-file', file, passphrase: 'gehört dazu' });
        assert.equal(identity.certificate.subjectDN, 'CN=p12');
        assert.deepEqual(
          identity.companionCas.map((der) => readCertificate(der).subjectDN),
          ['CN=Management CA,O=Test,C=SE'],
        );
        assert.throws(() => loadIdentity({ kind: 'pkcs12-file', file, passphrase: 'wrong' }), {
          code: 'ERR_WRONG_PASSPHRASE',
        });
      });
    }
  }

  it('is read from a PKCS#12 file that node-forge made', () => {
    const credential = issue(pki.managementCa, { subjectDN: 'CN=forged' }, KEY_MAKERS.rsa);
    const ca = issue('self', { subjectDN: 'CN=RSA CA', ca: true }, KEY_MAKERS.rsa);
    const file = writePkcs12(folder, 'forge', credential, { passphrase: 'secret', ca });
    assert.equal(loadIdentity({ kind: 'pkcs12-file', file, passphrase: 'secret' }).certificate.subjectDN, 'CN=forged');
  });

  describe('refuses', () => {
    const unreadable = (source: IdentitySource): void =>
      assert.throws(() => loadIdentity(source), { code: 'ERR_IDENTITY_UNREADABLE' });
    const written = (content: string): string => {
      writeFileSync(inFolder('damaged'), content);
      return inFolder('damaged');
    };

    it('a missing file, and names it', () => {
      assert.throws(() => loadIdentity({ kind: 'pkcs12-file', file: inFolder('none.p12'), passphrase: '' }), {
        code: 'ERR_IDENTITY_UNREADABLE',
        message: /none\.p12/,
      });
    });

    it('a file that is no PKCS#12', () =>
      unreadable({ kind: 'pkcs12-file', file: written('garbage'), passphrase: '' }));

    it('an empty file', () => unreadable({ kind: 'pkcs12-file', file: written(''), passphrase: '' }));

    it('a folder', () => unreadable({ kind: 'pkcs12-file', file: folder, passphrase: '' }));

    it('a key that is none, without quoting it', () => {
      const source = {
        kind: 'pem',
        certificate: pki.caClient.certificatePem,
        key: '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----',
        passphrase: '',
      } as const;
      assert.throws(
        () => loadIdentity(source),
        (error: Error) => !/c2VjcmV0/.test(`${error.message}${error.stack}`) && 'code' in error,
      );
    });

    it('a key that belongs to another certificate', () =>
      unreadable({ kind: 'pem', certificate: pki.caClient.certificatePem, key: pki.vaServer.keyPem, passphrase: '' }));

    it('a certificate that is none', () => {
      const source = { kind: 'pem', certificate: 'none', key: pki.caClient.keyPem, passphrase: '' } as const;
      assert.throws(() => loadIdentity(source), { code: 'ERR_INVALID_CERTIFICATE' });
    });

    it('an empty trust list when nothing came with the identity', () => {
      const authenticator = new RemoteAuthenticator(identitySource(pki.caClient), () => []);
      assert.throws(() => authenticator.load(), { code: 'ERR_INVALID_CONFIG', message: /trust list is empty/ });
    });
  });
});
