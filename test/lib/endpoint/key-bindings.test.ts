import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Role } from '../../../lib/auth/role.ts';
import type { KeyBinding } from '../../../lib/keybinding/key-binding.ts';
import { BASE_PATH } from '../../../lib/protocol/operations.ts';
import { certify, openBinding } from '../../helpers/ocsp-binding.ts';
import { createTestPki, issueRootCa } from '../../helpers/test-pki.ts';
import { caRole, startTwoPeers, type TwoPeers } from '../../helpers/two-peers.ts';

/** Exactly what EJBCA's page asks for, for one binding. */
const RULES = [
  '/peerincoming',
  '/internalkeybinding/view/ocsp 1',
  '/internalkeybinding/modify/ocsp 1',
  '/cryptotoken/view/token 1',
  '/cryptotoken/keys/generate/token 1',
];
const allow = (rules: readonly string[]): Role =>
  caRole(Object.fromEntries(rules.map((rule) => [rule, 'allow' as const])));

describe('endpoint with key bindings', () => {
  const pki = createTestPki();
  const ca = issueRootCa('CN=Issuing CA 1,O=Test,C=SE');
  let folder: string;
  let bindings: KeyBinding[];
  let peers: TwoPeers;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'key-bindings-'));
    bindings = [await openBinding(folder, [ca]), await openBinding(folder, [ca], { name: 'ocsp 2' })];
    peers = await startTwoPeers({ pki, roles: [allow(RULES)], endpoint: { keyBindings: () => bindings } });
  });

  afterEach(async () => {
    await peers.close();
    for (const binding of bindings) await binding.close();
    rmSync(folder, { recursive: true });
  });

  const renew = async (newKeyPair = true) => {
    const { certificateRequest } = await peers.client.requestKeyBindingCertificate({ name: 'ocsp 1', newKeyPair });
    return peers.client.deliverKeyBindingCertificate({
      name: 'ocsp 1',
      certificates: [certify(ca, certificateRequest)],
    });
  };

  it('lists the bindings that the peer may see, and no others', async () => {
    const [binding, ...others] = await peers.client.listKeyBindings();
    assert.deepEqual(binding, bindings[0]?.facts());
    assert.deepEqual(others, []);
  });

  it('gives a request and takes the certificate for it', async () => {
    const { activated, keyBinding } = await renew();
    assert.deepEqual([activated, keyBinding.operational, keyBinding.generation], [true, 'online', 1]);
    assert.ok(bindings[0]?.signer(Date.now()));
  });

  it('answers the same delivery again, as a broken connection may send it', async () => {
    const { certificateRequest } = await peers.client.requestKeyBindingCertificate({
      name: 'ocsp 1',
      newKeyPair: true,
    });
    const delivery = { name: 'ocsp 1', certificates: [certify(ca, certificateRequest)] };
    const answers = await Promise.all([1, 2, 3].map(() => peers.client.deliverKeyBindingCertificate(delivery)));
    assert.equal(answers.filter(({ activated }) => activated).length, 1);
    assert.ok(answers.every(({ keyBinding }) => keyBinding.generation === 1));
  });

  it('has none where none was given', async () => {
    bindings = [];
    peers.server.setRoles([allow(['/peerincoming', '/internalkeybinding'])]);
    assert.deepEqual(await peers.client.listKeyBindings(), []);
  });

  describe('names the access rule that is missing:', () => {
    for (const missing of RULES) {
      it(missing, async () => {
        peers.server.setRoles([allow(RULES.filter((rule) => rule !== missing))]);
        await assert.rejects(renew(), ({ code, message }: Error & { code: string }) => {
          assert.equal(code, 'ERR_NOT_AUTHORIZED');
          assert.ok(message.includes(`${missing}: `), message);
          return true;
        });
        assert.equal(bindings[0]?.facts().nextKey, '');
      });
    }

    it('/internalkeybinding/view, and no binding, where none may be seen', async () => {
      peers.server.setRoles([allow(['/peerincoming'])]);
      await assert.rejects(peers.client.listKeyBindings(), ({ code, message }: Error & { code: string }) => {
        assert.equal(code, 'ERR_NOT_AUTHORIZED');
        assert.match(message, /\/internalkeybinding\/view: /);
        return true;
      });
    });

    it('/internalkeybinding/modify at the delivery, when it was taken away meanwhile', async () => {
      const { certificateRequest } = await peers.client.requestKeyBindingCertificate({
        name: 'ocsp 1',
        newKeyPair: true,
      });
      peers.server.setRoles([allow(RULES.filter((rule) => !rule.includes('modify')))]);
      const certificates = [certify(ca, certificateRequest)];
      await assert.rejects(peers.client.deliverKeyBindingCertificate({ name: 'ocsp 1', certificates }), {
        code: 'ERR_NOT_AUTHORIZED',
        message: /\/internalkeybinding\/modify\/ocsp 1/,
      });
    });
  });

  it('lets a key be certified again without the right to make keys, once there is one', async () => {
    await renew();
    peers.server.setRoles([allow(RULES.filter((rule) => !rule.includes('generate')))]);
    const { certificateRequest, key } = await peers.client.requestKeyBindingCertificate({
      name: 'ocsp 1',
      newKeyPair: false,
    });
    assert.ok(key);
    const certificates = [certify(ca, certificateRequest)];
    const { activated } = await peers.client.deliverKeyBindingCertificate({ name: 'ocsp 1', certificates });
    assert.equal(activated, true);
  });

  it('says in the list that who may only look cannot renew', async () => {
    peers.server.setRoles([allow(['/peerincoming', '/internalkeybinding/view'])]);
    const list = await peers.client.listKeyBindings();
    assert.deepEqual(
      list.map(({ name, canRenew }) => [name, canRenew]),
      [
        ['ocsp 1', false],
        ['ocsp 2', false],
      ],
    );
  });

  describe('refuses', () => {
    it('a binding that is not there, to who may know', async () => {
      peers.server.setRoles([allow(['/peerincoming', '/internalkeybinding', '/cryptotoken'])]);
      const question = { name: 'ocsp 3', newKeyPair: true };
      await assert.rejects(peers.client.requestKeyBindingCertificate(question), { code: 'ERR_KEY_BINDING_UNKNOWN' });
    });

    it('a binding that is not there, to who may not, like one that is', async () => {
      for (const name of ['ocsp 2', 'ocsp 3']) {
        const question = { name, newKeyPair: true };
        await assert.rejects(peers.client.requestKeyBindingCertificate(question), { code: 'ERR_NOT_AUTHORIZED' });
      }
    });

    it('a wrong certificate with its cause', async () => {
      const { certificateRequest } = await peers.client.requestKeyBindingCertificate({
        name: 'ocsp 1',
        newKeyPair: true,
      });
      const certificates = [certify(ca, certificateRequest, { extendedKeyUsage: ['serverAuth'] })];
      await assert.rejects(peers.client.deliverKeyBindingCertificate({ name: 'ocsp 1', certificates }), {
        code: 'ERR_CERTIFICATE_REFUSED',
        message: /OCSPSigning/,
      });
    });

    it('a disk that takes nothing, without telling the peer about its files', async () => {
      rmSync(folder, { recursive: true });
      await assert.rejects(renew(), ({ code, message }: Error & { code: string }) => {
        assert.equal(code, 'ERR_CRYPTO_TOKEN_UNAVAILABLE');
        assert.ok(!message.includes(folder));
        return true;
      });
      folder = mkdtempSync(join(tmpdir(), 'key-bindings-'));
    });

    const pem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
    for (const [path, body, code] of [
      ['request', '', 'ERR_MALFORMED_MESSAGE'],
      ['request', '[]', 'ERR_MALFORMED_MESSAGE'],
      ['request', '{"name":"ocsp 1"}', 'ERR_MALFORMED_MESSAGE'],
      ['request', '{"name":"","newKeyPair":true}', 'ERR_MALFORMED_MESSAGE'],
      ['request', `{"name":"${'x'.repeat(201)}","newKeyPair":true}`, 'ERR_MALFORMED_MESSAGE'],
      ['request', `{"name":"${'x'.repeat(5_000)}","newKeyPair":true}`, 'ERR_TOO_LARGE'],
      ['certificate', '{"name":"ocsp 1","certificates":[]}', 'ERR_MALFORMED_MESSAGE'],
      ['certificate', '{"name":"ocsp 1","certificates":""}', 'ERR_INVALID_CERTIFICATE'],
      ['certificate', JSON.stringify({ name: 'ocsp 1', certificates: pem }), 'ERR_INVALID_CERTIFICATE'],
      ['certificate', JSON.stringify({ name: 'ocsp 1', certificates: pem.repeat(11) }), 'ERR_MALFORMED_MESSAGE'],
    ] as const) {
      it(`${path} ${body.slice(0, 50)} with ${code}`, async () => {
        const answer = await peers.pool.request({
          method: 'POST',
          path: `${BASE_PATH}/key-bindings/${path}`,
          contentType: 'application/json',
          body: Buffer.from(body),
        });
        assert.equal(JSON.parse(Buffer.from(answer.body).toString()).code, code);
      });
    }
  });
});
