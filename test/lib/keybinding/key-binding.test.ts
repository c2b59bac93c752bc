import assert from 'node:assert/strict';
import { generateKeyPairSync, verify, X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyBindingEvent } from '../../../lib/keybinding/binding-keys.ts';
import type { KeyBinding, KeyBindingOptions } from '../../../lib/keybinding/key-binding.ts';
import type { CertificateTemplate } from '../../../lib/x509/certificate-builder.ts';
import { readCertificateRequest } from '../../../lib/x509/certificate-request.ts';
import { certify, openBinding, PROPERTIES } from '../../helpers/ocsp-binding.ts';
import { type Credential, daysFromNow, issue, issueRootCa, KEY_MAKERS, requestFor } from '../../helpers/test-pki.ts';

const HOUR_MS = 3_600_000;

describe('OCSP key binding', () => {
  const root = issueRootCa('CN=Root,O=Test,C=SE');
  const ca = issue(root, { subjectDN: 'CN=Issuing CA 1,O=Test,C=SE', ca: true });
  const otherCa = issueRootCa('CN=Issuing CA 2,O=Test,C=SE');
  let folder: string;
  let now: number;
  const open: KeyBinding[] = [];
  const events: KeyBindingEvent[] = [];

  const start = async (options: Partial<KeyBindingOptions> = {}, cas: readonly Credential[] = [ca]) => {
    const binding = await openBinding(folder, cas, {
      now: () => now,
      onEvent: (event) => events.push(event),
      ...options,
    });
    open.push(binding);
    return binding;
  };
  const certified = async (binding: KeyBinding, template?: Partial<CertificateTemplate>, newKeyPair = true) =>
    certify(ca, (await binding.request(newKeyPair)).certificateRequest, template);
  const renewed = async (binding: KeyBinding, template?: Partial<CertificateTemplate>, newKeyPair = true) => {
    const certificate = await certified(binding, template, newKeyPair);
    assert.equal(await binding.importCertificate([certificate]), true);
    return certificate;
  };
  /** What a responder does; the answer must verify with the certificate that goes with it. */
  const signs = async (binding: KeyBinding): Promise<boolean> => {
    const signer = binding.signer(now);
    if (signer === undefined) return false;
    const sample = Buffer.from('answer');
    const { publicKey } = new X509Certificate(signer.certificate);
    assert.ok(verify('sha256', sample, publicKey, await signer.key.sign(sample)));
    return true;
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'binding-'));
    now = Date.now();
    events.length = 0;
  });

  afterEach(async () => {
    for (const binding of open.splice(0)) await binding.close();
    rmSync(folder, { recursive: true });
  });

  describe('first certificate', () => {
    it('is waited for: nothing signs, and the table says so', async () => {
      const binding = await start();
      const { status, operational, serialNumber, canRenew, nextKey, orphanKeys } = binding.facts();
      assert.deepEqual([status, operational, serialNumber, canRenew], ['enabled', 'pending', '', true]);
      assert.deepEqual([nextKey, orphanKeys], ['', []]);
      assert.equal(await signs(binding), false);
    });

    it('is asked for with the configured subject and a key pair of its own', async () => {
      const binding = await start({ subjectDN: 'CN=Signer,O=Test,C=SE' });
      const { certificateRequest, key } = await binding.request(false);
      assert.equal(readCertificateRequest(certificateRequest).subjectDN, 'CN=Signer,O=Test,C=SE');
      assert.equal(binding.facts().nextKey, key);
    });

    it('makes it sign, with the chain up to below the root, and survives a restart', async () => {
      const certificate = await renewed(await start());
      await open.pop()?.close();
      const binding = await start();
      const signer = binding.signer(now);
      assert.deepEqual(Buffer.from(signer?.certificate ?? []), Buffer.from(certificate));
      assert.deepEqual(
        signer?.chain.map((der) => Buffer.from(der)),
        [Buffer.from(ca.certificate)],
      );
      assert.equal(signer?.generation, 1);
      assert.ok(await signs(binding));
      const { operational, issuerDN, keyAlgorithm } = binding.facts();
      assert.deepEqual([operational, issuerDN, keyAlgorithm], ['online', 'CN=Issuing CA 1,O=Test,C=SE', 'P-256']);
    });
  });

  it('has the root in its chain only where the root is the issuer', async () => {
    const binding = await start({}, [root]);
    const { certificateRequest } = await binding.request(true);
    await binding.importCertificate([certify(root, certificateRequest)]);
    assert.deepEqual(binding.signer(now)?.chain.length, 1);
  });

  it('takes up intermediate CAs that come with the certificate', async () => {
    const below = issue(ca, { subjectDN: 'CN=Issuing CA 3', ca: true });
    const binding = await start({}, [below]);
    const { certificateRequest } = await binding.request(true);
    await binding.importCertificate([certify(below, certificateRequest), root.certificate, ca.certificate]);
    assert.deepEqual(
      binding.signer(now)?.chain.map((der) => Buffer.from(der)),
      [below, ca].map(({ certificate }) => Buffer.from(certificate)),
    );
  });

  for (const algorithm of ['P-384', 'RSA-2048', 'Ed25519'] as const) {
    it(`works with ${algorithm}`, async () => {
      const binding = await start({ algorithm });
      await renewed(binding);
      assert.equal(binding.facts().keyAlgorithm, algorithm);
    });
  }

  describe('renewal', () => {
    it('signs with the old certificate until the new one is there, then at once with the new one', async () => {
      const binding = await start();
      await renewed(binding);
      const old = binding.signer(now);
      const next = await certified(binding);
      assert.equal(binding.signer(now), old);
      await binding.importCertificate([next]);
      const signer = binding.signer(now);
      assert.equal(signer?.generation, 2);
      assert.notEqual(signer?.key, old?.key);
      assert.ok(await signs(binding));
    });

    it('gives the same request while a next key waits, also after a restart: two become one', async () => {
      const binding = await start();
      const requests = await Promise.all([binding.request(true), binding.request(true), binding.request(false)]);
      await binding.close();
      const again = await (await start()).request(true);
      for (const { key, certificateRequest } of requests) {
        assert.equal(key, again.key);
        assert.deepEqual(Buffer.from(certificateRequest), Buffer.from(again.certificateRequest));
      }
      assert.equal(events.filter(({ kind }) => kind === 'key-generated').length, 1);
    });

    it('without a new key pair keeps the key', async () => {
      const binding = await start();
      await renewed(binding);
      const key = binding.signer(now)?.key;
      await renewed(binding, { notAfter: daysFromNow(9) }, false);
      assert.equal(binding.signer(now)?.key, key);
      assert.equal(binding.facts().generation, 2);
      assert.deepEqual(binding.facts().retiredKeys, []);
    });

    it('answers a delivery that comes again with no change', async () => {
      const binding = await start();
      const certificate = await renewed(binding);
      assert.equal(await binding.importCertificate([certificate]), false);
      assert.equal(binding.facts().generation, 1);
    });

    it('asks with the subject of the certificate in use', async () => {
      const binding = await start();
      await renewed(binding, { subjectDN: 'CN=As the CA wanted' });
      const { certificateRequest } = await binding.request(true);
      assert.equal(readCertificateRequest(certificateRequest).subjectDN, 'CN=As the CA wanted');
    });

    it('makes a key of another kind when that is configured meanwhile, and destroys the one that waited', async () => {
      const before = await start();
      const waiting = await before.request(true);
      await before.close();
      const binding = await start({ algorithm: 'Ed25519' });
      const { key } = await binding.request(true);
      assert.notEqual(key, waiting.key);
      assert.deepEqual(events.at(-1), { kind: 'key-destroyed', key: waiting.key });
      assert.deepEqual(binding.facts().orphanKeys, []);
    });
  });

  describe('old key', () => {
    const properties = { ...PROPERTIES, responseValidityMs: HOUR_MS, maxAgeMs: 2 * HOUR_MS };

    it('is destroyed after the last cached answer has lapsed, not before, also over restarts', async () => {
      const binding = await start({ properties });
      await renewed(binding);
      await renewed(binding);
      const [retired] = binding.facts().retiredKeys;
      assert.ok(retired);
      await binding.close();
      now += 2 * HOUR_MS - 1_000;
      const before = await start({ properties });
      assert.deepEqual(before.facts().retiredKeys, [retired]);
      await before.close();
      now += 2_000;
      const after = await start({ properties });
      assert.deepEqual(after.facts().retiredKeys, []);
      assert.deepEqual(events.at(-1), { kind: 'key-destroyed', key: retired });
      assert.ok(await signs(after));
    });

    it('is destroyed by itself where nothing is cached', async function () {
      this.timeout(8_000);
      const binding = await start({ now: Date.now });
      await renewed(binding);
      await renewed(binding);
      const end = Date.now() + 5_000;
      while (binding.facts().retiredKeys.length > 0 && Date.now() < end) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      assert.deepEqual(binding.facts().retiredKeys, []);
      assert.equal(events.at(-1)?.kind, 'key-destroyed');
    });
  });

  describe('signs nothing', () => {
    it('while it is disabled, and is offline then', async () => {
      await renewed(await start());
      await open.pop()?.close();
      const binding = await start({ enabled: false });
      assert.equal(await signs(binding), false);
      const { status, operational, canRenew } = binding.facts();
      assert.deepEqual([status, operational, canRenew], ['disabled', 'offline', false]);
    });

    it('once its certificate has expired', async () => {
      const binding = await start();
      await renewed(binding);
      now += 7 * 24 * HOUR_MS + 1_000;
      assert.equal(await signs(binding), false);
      assert.deepEqual([binding.facts().status, binding.facts().operational], ['expired', 'pending']);
    });

    it('when the clock stands before its certificate', async () => {
      const binding = await start();
      await renewed(binding);
      now -= HOUR_MS;
      assert.equal(await signs(binding), false);
      assert.equal(binding.facts().status, 'not yet valid');
    });

    it('once its certificate was revoked, until there is another one', async () => {
      const binding = await start();
      await renewed(binding);
      await binding.checkRevocation(async () => true);
      assert.equal(await signs(binding), false);
      assert.equal(binding.facts().status, 'revoked');
      await renewed(binding);
      assert.ok(await signs(binding));
    });

    it('once it is closed', async () => {
      const binding = await start();
      await renewed(binding);
      await binding.close();
      assert.equal(await signs(binding), false);
    });
  });

  it('keeps what it knew of a revocation when the question fails', async () => {
    const binding = await start();
    await renewed(binding);
    await assert.rejects(binding.checkRevocation(() => Promise.reject(new Error('store'))));
    assert.ok(await signs(binding));
  });

  describe('refuses', () => {
    const refusals: [string, (binding: KeyBinding) => Promise<readonly Uint8Array[]>, RegExp][] = [
      [
        'a certificate for another key',
        async () => [certify(ca, requestFor('CN=ocsp 1', KEY_MAKERS.ec()))],
        /neither key/,
      ],
      ['one that another CA issued', async (binding) => [await ofCa(otherCa, binding)], /none of the CAs/],
      [
        'one of a CA that only bears the name of the right one',
        async (binding) => [await ofCa(issueRootCa('CN=Issuing CA 1,O=Test,C=SE'), binding)],
        /none of the CAs/,
      ],
      ['one issued by the root above the CA', async (binding) => [await ofCa(root, binding)], /none of the CAs/],
      ['one that signed itself', async (binding) => [await selfSigned(binding)], /neither key/],
      [
        'one that has expired',
        (binding) => with_(binding, { notBefore: daysFromNow(-9), notAfter: daysFromNow(-1) }),
        /expired/,
      ],
      ['one that is not yet valid', (binding) => with_(binding, { notBefore: daysFromNow(1) }), /not yet valid/],
      ['one without OCSPSigning', (binding) => with_(binding, { extendedKeyUsage: ['clientAuth'] }), /OCSPSigning/],
      [
        'one that does not say what it is for',
        (binding) => with_(binding, { extendedKeyUsage: undefined as never }),
        /OCSPSigning/,
      ],
      ['one that may not sign', (binding) => with_(binding, { keyUsage: ['keyAgreement'] }), /digitalSignature/],
      ['one of a CA', (binding) => with_(binding, { ca: true }), /that of a CA/],
    ];
    const ofCa = async (issuer: Credential, binding: KeyBinding) =>
      certify(issuer, (await binding.request(true)).certificateRequest);
    const with_ = async (binding: KeyBinding, template: Partial<CertificateTemplate>) => [
      await certified(binding, template),
    ];
    const selfSigned = async (binding: KeyBinding) => {
      await binding.request(true);
      return issue('self', { subjectDN: 'CN=ocsp 1', extendedKeyUsage: ['OCSPSigning'] }).certificate;
    };

    for (const [what, make, message] of refusals) {
      it(`${what}; the old one goes on signing and the right one is still welcome`, async () => {
        const binding = await start();
        await renewed(binding);
        const old = binding.signer(now);
        const wrong = await make(binding);
        await assert.rejects(binding.importCertificate(wrong), { code: 'ERR_CERTIFICATE_REFUSED', message });
        assert.equal(binding.signer(now), old);
        assert.equal(await binding.importCertificate([await certified(binding)]), true);
      });
    }

    it('one of another CA that is served, as long as the CA of the one in use is', async () => {
      const first = await start({}, [ca, otherCa]);
      await renewed(first);
      const { certificateRequest } = await first.request(true);
      const other = certify(otherCa, certificateRequest);
      await assert.rejects(first.importCertificate([other]), { code: 'ERR_CERTIFICATE_REFUSED' });
      await first.close();
      const moved = await start({}, [otherCa]);
      assert.equal(await moved.importCertificate([other]), true);
    });

    it('one for a key that was replaced', async () => {
      const binding = await start({ properties: { ...PROPERTIES, maxAgeMs: HOUR_MS } });
      await renewed(binding);
      const { certificateRequest } = await binding.request(false);
      const late = certify(ca, certificateRequest);
      await renewed(binding);
      await assert.rejects(binding.importCertificate([late]), { code: 'ERR_CERTIFICATE_REFUSED' });
    });

    it('one that is older than the one in use: a late delivery does not undo a newer one', async () => {
      const binding = await start();
      await renewed(binding);
      const old = await certified(binding, { notBefore: daysFromNow(-0.5) }, false);
      await assert.rejects(binding.importCertificate([old]), { code: 'ERR_CERTIFICATE_REFUSED', message: /older/ });
    });

    it('what is no certificate', async () => {
      const binding = await start();
      for (const certificates of [[], [Buffer.from('garbage')], [ca.certificate.subarray(0, 99)]]) {
        await assert.rejects(binding.importCertificate(certificates), { code: 'ERR_INVALID_CERTIFICATE' });
      }
    });

    it('a switch that the disk does not take: the old one goes on, and later it works', async () => {
      const binding = await start();
      await renewed(binding);
      const old = binding.signer(now);
      const next = await certified(binding);
      mkdirSync(join(folder, 'ocsp 1.json.new'));
      await assert.rejects(binding.importCertificate([next]), { code: 'ERR_CRYPTO_TOKEN_UNAVAILABLE' });
      assert.equal(binding.signer(now), old);
      rmSync(join(folder, 'ocsp 1.json.new'), { recursive: true });
      assert.equal(await binding.importCertificate([next]), true);
    });

    it('to open when its key is gone', async () => {
      await renewed(await start());
      rmSync(join(folder, 'ocsp 1.p12'));
      await assert.rejects(start(), { code: 'ERR_CRYPTO_TOKEN_UNAVAILABLE' });
    });

    it('to open when key and certificate do not belong together', async () => {
      await renewed(await start());
      const file = join(folder, 'ocsp 1.json');
      const state = JSON.parse(readFileSync(file, 'utf8'));
      const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
      const pem = new X509Certificate(certify(ca, requestFor('CN=x', key))).toString();
      writeFileSync(file, JSON.stringify({ ...state, current: { ...state.current, certificates: [pem] } }));
      await assert.rejects(start(), { code: 'ERR_IDENTITY_UNREADABLE' });
    });

    for (const content of ['', '{', '[]', '{"version":2}', '{"version":1,"generation":1,"retired":[{}]}', 'null']) {
      it(`to open a damaged state: ${content || 'nothing'}`, async () => {
        writeFileSync(join(folder, 'ocsp 1.json'), content);
        await assert.rejects(start(), { code: 'ERR_IDENTITY_UNREADABLE' });
      });
    }
  });
});
