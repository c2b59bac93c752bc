import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readCertificateRequest } from '../../../lib/x509/certificate-request.ts';
import { requestFor } from '../../helpers/test-pki.ts';

const hasOpenssl = spawnSync('openssl', ['version']).error === undefined;

/** A request of OpenSSL with these extensions, `name=value` each. */
function requestWith(...extensions: string[]): Uint8Array {
  const parameters = ['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const subject = ['-subj', '/CN=x', '-outform', 'DER', '-keyout', '/dev/null'];
  const extra = extensions.flatMap((extension) => ['-addext', extension]);
  return execFileSync('openssl', [...parameters, ...subject, ...extra], { stdio: 'pipe' });
}

describe(`requested alternative names${hasOpenssl ? '' : ' (skipped: no openssl)'}`, () => {
  before(function () {
    if (!hasOpenssl) this.skip();
  });

  it('are those of the request, byte by byte', () => {
    const { altNames } = readCertificateRequest(
      requestWith('subjectAltName=DNS:a.example,IP:10.0.0.1,email:a@b.example'),
    );
    const text = Buffer.from(altNames ?? []).toString('latin1');
    assert.ok(text.includes('a.example') && text.includes('a@b.example'), text);
  });

  it('are found beside other extensions, also when they are critical', () => {
    const request = requestWith(
      'keyUsage=digitalSignature',
      'subjectAltName=critical,DNS:a.example',
      'basicConstraints=CA:TRUE',
    );
    assert.ok(readCertificateRequest(request).altNames);
  });

  it('are none where none are wanted', () => {
    assert.equal(readCertificateRequest(requestWith('keyUsage=digitalSignature')).altNames, undefined);
    const { privateKey } = generateKeyPairSync('ed25519');
    assert.equal(readCertificateRequest(requestFor('CN=x', privateKey)).altNames, undefined);
  });

  for (const [what, value] of Object.entries({
    'a name of another kind': 'subjectAltName=otherName:1.2.3.4;UTF8:admin',
    'a registered identifier': 'subjectAltName=RID:1.2.3.4',
  })) {
    it(`are refused: ${what}`, () => {
      assert.throws(() => readCertificateRequest(requestWith(value)), { code: 'ERR_INVALID_CERTIFICATE' });
    });
  }

  it('are refused when there are more than a hundred', () => {
    const names = Array.from({ length: 101 }, (_, index) => `DNS:host-${index}.example`).join(',');
    assert.throws(() => readCertificateRequest(requestWith(`subjectAltName=${names}`)), /too many alternative names/);
  });
});
