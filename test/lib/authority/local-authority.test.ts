import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalAuthority, type LocalAuthorityOptions } from '../../../lib/authority/local-authority.ts';
import { readCertificate } from '../../../lib/x509/certificate.ts';
import { toPem } from '../../../lib/x509/pem.ts';
import {
  daysFromNow,
  identitySource,
  issue,
  issueRootCa,
  KEY_MAKERS,
  requestFor,
  writePkcs12,
} from '../../helpers/test-pki.ts';
import { ISSUER_DN, orderOf } from './orders.ts';

const DAY_MS = 86_400_000;

describe('local CA', () => {
  const ca = issueRootCa('CN=Issuing CA 1,O=Test,C=SE');
  const authority = (options: Partial<LocalAuthorityOptions> = {}) =>
    new LocalAuthority({
      source: identitySource(ca),
      subjectTemplate: '{{{subjectDN}}}',
      validityMs: 7 * DAY_MS,
      endEntityValidityMs: 365 * DAY_MS,
      ...options,
    });

  for (const [algorithm, makeKey] of Object.entries(KEY_MAKERS)) {
    it(`issues for a ${algorithm} key what the Baseline Requirements 7.1.2.8 ask for, as OpenSSL sees it`, async function () {
      const [certificate, issuer] = await authority().issue(orderOf({}, makeKey));
      assert.deepEqual(Buffer.from(issuer ?? []), Buffer.from(ca.certificate));
      if (spawnSync('openssl', ['version']).error !== undefined) {
        console.log('      skipped: no openssl');
        return this.skip();
      }
      const input = toPem(certificate ?? new Uint8Array(0));
      const text = spawnSync('openssl', ['x509', '-noout', '-text'], { input }).stdout.toString();
      assert.match(text, /Key Usage: critical\s+Digital Signature\n/);
      assert.match(text, /Extended Key Usage: *\n\s+OCSP Signing\n/);
      assert.match(text, /OCSP No Check: *\n/);
      assert.match(text, /Authority Key Identifier/);
      assert.match(text, /Subject Key Identifier/);
      assert.doesNotMatch(text, /CRL Distribution|Alternative Name|Authority Information|Basic Constraints/);
      assert.ok(Buffer.from(certificate ?? []).includes(Buffer.from('06092b06010505073001050402' + '0500', 'hex')));
    });
  }

  it('is verified by openssl verify for the purpose of signing answers', async function () {
    if (spawnSync('openssl', ['version']).error !== undefined) return this.skip();
    const [certificate = new Uint8Array(0)] = await authority().issue(orderOf());
    const folder = mkdtempSync(join(tmpdir(), 'local-ca-'));
    writeFileSync(join(folder, 'ca.pem'), ca.certificatePem);
    writeFileSync(join(folder, 'signer.pem'), toPem(certificate));
    const parameters = ['verify', '-x509_strict', '-purpose', 'ocsphelper', '-CAfile', 'ca.pem', 'signer.pem'];
    const { stdout, stderr } = spawnSync('openssl', parameters, { cwd: folder });
    rmSync(folder, { recursive: true });
    assert.match(stdout.toString(), /OK/, stderr.toString());
  });

  it('gives each certificate a serial number of at least 64 random bits', async () => {
    const numbers = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const [certificate] = await authority().issue(orderOf());
        return BigInt(readCertificate(certificate ?? new Uint8Array(0)).serialNumber);
      }),
    );
    assert.equal(new Set(numbers).size, 20);
    assert.ok(numbers.every((number) => number > 2n ** 64n));
  });

  it('keeps to validity and backdating, and does not outlive the CA', async () => {
    const now = Math.floor(Date.now() / 1000) * 1000;
    const [certificate = new Uint8Array(0)] = await authority({ now: () => now, backdateMs: 60_000 }).issue(orderOf());
    const { notBefore, expireDate } = readCertificate(certificate);
    assert.deepEqual([notBefore, expireDate], [now - 60_000, now + 7 * DAY_MS]);
    const [longer = new Uint8Array(0)] = await authority({ validityMs: 9_000 * DAY_MS }).issue(orderOf());
    assert.equal(readCertificate(longer).expireDate, readCertificate(ca.certificate).expireDate);
  });

  it('issues for the subject of its template, escaped, and for no other', async () => {
    const named = authority({ subjectTemplate: 'CN=OCSP {{name}},O={{peer}}' });
    const order = orderOf({
      name: 'a,b',
      certificateRequest: requestFor('CN=OCSP a\\,b,O=VA 1', KEY_MAKERS.ec()),
    });
    const [certificate] = await named.issue(order);
    assert.equal(readCertificate(certificate ?? new Uint8Array(0)).subjectDN, 'CN=OCSP a\\,b,O=VA 1');
    await assert.rejects(named.issue(orderOf()), { code: 'ERR_NOT_ISSUED', message: /must be/ });
  });

  it('reads its key from a PKCS#12 file', async () => {
    const root = issue('self', { subjectDN: 'CN=Root', ca: true }, KEY_MAKERS.rsa);
    const below = issue(root, { subjectDN: ISSUER_DN, ca: true }, KEY_MAKERS.rsa);
    const folder = mkdtempSync(join(tmpdir(), 'local-ca-'));
    const file = writePkcs12(folder, 'ca', below, { passphrase: 'secret', ca: root });
    const source = { kind: 'pkcs12-file', file, passphrase: 'secret' } as const;
    const certificates = await authority({ source }).issue(orderOf());
    rmSync(folder, { recursive: true });
    assert.equal(certificates.length, 3);
    assert.ok(new X509Certificate(certificates[0] ?? '').verify(new X509Certificate(below.certificate).publicKey));
  });

  describe('refuses', () => {
    const refused = async (options: Partial<LocalAuthorityOptions>, order = orderOf(), code = 'ERR_NOT_ISSUED') =>
      assert.rejects(async () => authority(options).issue(order), { code });

    it('a request that its key did not sign', () => {
      const order = orderOf();
      const certificateRequest = Uint8Array.from(order.certificateRequest);
      certificateRequest[certificateRequest.length - 1] = (certificateRequest.at(-1) ?? 0) ^ 1;
      return refused({}, { ...order, certificateRequest }, 'ERR_INVALID_CERTIFICATE');
    });

    it('a binding whose certificate is one of another CA', () => refused({}, orderOf({ issuerDN: 'CN=Issuing CA 2' })));

    it('an RSA key of 1024 bits', () => {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
      return refused({}, orderOf({ certificateRequest: requestFor('CN=x', privateKey) }));
    });

    it('to issue when the CA has expired', () => refused({ now: () => daysFromNow(9_000).getTime() }));

    it('to issue with a certificate that is not of a CA', () => {
      const notCa = issue(ca, { subjectDN: ISSUER_DN });
      return refused({ source: identitySource(notCa) }, orderOf(), 'ERR_INVALID_CONFIG');
    });

    it('a key file that is gone', () =>
      refused(
        { source: { kind: 'pkcs12-file', file: '/none.p12', passphrase: '' } },
        orderOf(),
        'ERR_IDENTITY_UNREADABLE',
      ));

    for (const [what, options] of [
      ['more than a day of backdating', { backdateMs: DAY_MS + 1 }],
      ['a validity that is none', { validityMs: 0 }],
      ['a template with an unknown name', { subjectTemplate: 'CN={{host}}' }],
      ['a template that is none', { subjectTemplate: 'CN={{' }],
    ] as const) {
      it(what, () => refused(options, orderOf(), 'ERR_INVALID_CONFIG'));
    }
  });
});
