import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { REQUEST_LABEL, readCertificateRequest } from '../../../lib/x509/certificate-request.ts';
import { toPem } from '../../../lib/x509/pem.ts';
import { requestFor } from '../../helpers/test-pki.ts';
import { chance } from '../store/rows.ts';

const KEYS = {
  'P-256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  'P-384': () => generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey,
  RSA: () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  Ed25519: () => generateKeyPairSync('ed25519').privateKey,
};
const SUBJECT = 'CN=OCSP\\, 1,O=Prüfung,C=SE';

describe('certificate request', () => {
  for (const [algorithm, makeKey] of Object.entries(KEYS)) {
    it(`of a ${algorithm} key is read with its subject, and OpenSSL verifies it`, function () {
      const request = requestFor(SUBJECT, makeKey());
      assert.equal(readCertificateRequest(request).subjectDN, SUBJECT);
      if (spawnSync('openssl', ['version']).error !== undefined) {
        console.log('      skipped: no openssl');
        return this.skip();
      }
      const result = spawnSync('openssl', ['req', '-verify', '-noout'], { input: toPem(request, REQUEST_LABEL) });
      assert.match(result.stderr.toString() + result.stdout.toString(), /verify OK/i);
    });
  }

  it('that OpenSSL made, with attributes, is read', function () {
    if (spawnSync('openssl', ['version']).error !== undefined) return this.skip();
    const parameters = ['req', '-new', '-newkey', 'rsa:2048', '-nodes', '-subj', '/C=SE/CN=x', '-outform', 'DER'];
    const extra = ['-addext', 'subjectAltName=DNS:x', '-keyout', '/dev/null'];
    const request = execFileSync('openssl', [...parameters, ...extra], { stdio: 'pipe' });
    assert.equal(readCertificateRequest(request).subjectDN, 'CN=x,C=SE');
  });

  it('is refused when one bit of it is another', () => {
    const request = requestFor(SUBJECT, KEYS.Ed25519());
    for (let at = 0; at < request.length; at++) {
      const changed = Uint8Array.from(request);
      changed[at] = (changed[at] ?? 0) ^ 1;
      assert.throws(() => readCertificateRequest(changed), { code: 'ERR_INVALID_CERTIFICATE' }, `byte ${at}`);
    }
  });

  it('is refused when somebody else signed it', () => {
    const [mine, other] = [KEYS['P-256'](), KEYS['P-256']()].map((key) =>
      Buffer.from(requestFor('CN=1', key)).toString('hex'),
    ) as [string, string];
    const marker = '30' + '0a06082a8648ce3d040302';
    const stolen = mine.slice(0, mine.lastIndexOf(marker)) + other.slice(other.lastIndexOf(marker));
    const bytes = Buffer.from(stolen, 'hex');
    bytes[1] = bytes.length - 2 < 128 ? bytes.length - 2 : (bytes[1] ?? 0);
    if (bytes[1] === 0x81) bytes[2] = bytes.length - 3;
    assert.throws(() => readCertificateRequest(bytes), { code: 'ERR_INVALID_CERTIFICATE' });
  });

  for (const [what, bytes] of [
    ['no bytes', new Uint8Array(0)],
    ['garbage', Buffer.from('garbage')],
    ['more bytes than any request has', new Uint8Array(70_000)],
    ['bytes behind it', Buffer.concat([requestFor('CN=1', KEYS.Ed25519()), Buffer.of(0)])],
  ] as const) {
    it(`is refused: ${what}`, () => {
      assert.throws(() => readCertificateRequest(bytes), { code: 'ERR_INVALID_CERTIFICATE' });
    });
  }

  it('cut off or scrambled anywhere is refused or read, and nothing else', () => {
    const random = chance(7);
    const request = requestFor(SUBJECT, KEYS['P-256']());
    for (let round = 0; round < 2_000; round++) {
      const changed = Uint8Array.from(request.subarray(0, 1 + random(request.length)));
      for (let i = 0; i < 3; i++) changed[random(changed.length)] = random(256);
      assert.throws(() => readCertificateRequest(changed), { name: 'PeerError' });
    }
  });
});
