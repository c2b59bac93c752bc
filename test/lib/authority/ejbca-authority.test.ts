import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { EjbcaAuthority, type EjbcaAuthorityOptions } from '../../../lib/authority/ejbca-authority.ts';
import { RemoteAuthenticator } from '../../../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool } from '../../../lib/pool/connection-pool.ts';
import { type EjbcaRest, startEjbcaRest } from '../../helpers/ejbca-rest.ts';
import { createTestPki, identitySource, issueRootCa } from '../../helpers/test-pki.ts';
import { orderOf } from './orders.ts';

const NAMES: EjbcaAuthorityOptions = {
  certificateAuthority: 'IssuingCA1',
  certificateProfile: 'OCSP Signer',
  endEntityProfile: 'OCSP Signers',
  username: 'ocsp-{{peer}}-{{name}}',
  password: '',
};

describe('EJBCA as CA', () => {
  const pki = createTestPki();
  const ca = issueRootCa('CN=Issuing CA 1,O=Test,C=SE');
  const signal = new AbortController().signal;
  let ejbca: EjbcaRest;
  const closing: (() => unknown)[] = [];

  beforeEach(async () => {
    ejbca = await startEjbcaRest(pki, ca);
  });

  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
    ejbca.close();
  });

  const authority = (names: Partial<EjbcaAuthorityOptions> = {}, client = pki.caClient, url = ejbca.url) => {
    const trust = [{ caDer: pki.managementCa.certificate }];
    const authenticator = new RemoteAuthenticator(identitySource(client), () => trust);
    const pool = new ConnectionPool({ url, requestTimeoutMs: 1_000, connectTimeoutMs: 1_000 }, authenticator);
    closing.push(
      () => pool.close(),
      () => authenticator.close(),
    );
    return new EjbcaAuthority(pool, { ...NAMES, ...names });
  };

  for (const isEncodedTwice of [false, true]) {
    it(`enrols and gives the certificate with its chain, bytes encoded ${isEncodedTwice ? 'twice' : 'once'}`, async () => {
      ejbca.behaviour.isEncodedTwice = isEncodedTwice;
      const [certificate, issuer, ...others] = await authority().issue(orderOf(), signal);
      assert.ok(new X509Certificate(certificate ?? '').verify(new X509Certificate(ca.certificate).publicKey));
      assert.deepEqual(Buffer.from(issuer ?? []), Buffer.from(ca.certificate));
      assert.deepEqual(others, []);
    });
  }

  it('names the end entity by its template, with a new password each time unless one is set', async () => {
    const random = authority();
    await random.issue(orderOf(), signal);
    await random.issue(orderOf(), signal);
    await authority({ password: 'foo123' }).issue(orderOf(), signal);
    assert.deepEqual(
      ejbca.issued.map((body) => body['username']),
      Array(3).fill('ocsp-VA 1-ocsp 1'),
    );
    const [first = '', second, third] = ejbca.issued.map((body) => body['password']);
    assert.ok(first.length >= 24 && first !== second);
    assert.equal(third, 'foo123');
  });

  describe('fails', () => {
    for (const [names, words] of [
      [{ certificateAuthority: 'Other' }, /400: Unknown CA$/],
      [{ certificateProfile: 'Other' }, /Unknown certificate profile/],
      [{ endEntityProfile: 'Other' }, /Unknown end entity profile/],
      [{ username: '' }, /422: Username and password/],
    ] as const) {
      it(`with the words of the EJBCA: ${words.source}`, () =>
        assert.rejects(authority(names).issue(orderOf(), signal), { code: 'ERR_NOT_ISSUED', message: words }));
    }

    it('for a client certificate without rights', () =>
      assert.rejects(authority({}, pki.nobody()).issue(orderOf(), signal), {
        code: 'ERR_NOT_ISSUED',
        message: /403: You are not authorized/,
      }));

    for (const [what, status, body, message] of [
      ['a page of a proxy', 502, '<html>Bad gateway</html>', /502/],
      ['a REST API that is switched off', 404, '<html>Not Found</html>', /REST API/],
      ['no certificate in the answer', 201, '{"serial_number":"1"}', /no certificate/],
      ['an array', 201, '[]', /no certificate/],
      ['a certificate that is no text', 201, '{"certificate":1}', /no certificate/],
      [
        'a chain without end',
        201,
        JSON.stringify({ certificate: 'AA', certificate_chain: Array(11).fill('AA') }),
        /no/,
      ],
      ['a chain of numbers', 201, '{"certificate":"AA","certificate_chain":[1]}', /not readable/],
      ['half an answer', 201, '{"certificate":"MI', /no certificate/],
      ['an answer without end', 201, `{"certificate":"${'A'.repeat(1_100_000)}"}`, /no certificate/],
    ] as const) {
      it(`with ${what}`, () => {
        ejbca.behaviour.answer = { status, body };
        return assert.rejects(authority().issue(orderOf(), signal), { code: 'ERR_NOT_ISSUED', message });
      });
    }

    it('when it does not answer in time', () => {
      ejbca.behaviour.delayMs = 5_000;
      return assert.rejects(authority().issue(orderOf(), signal), { code: 'ERR_PEER_TIMEOUT' });
    });

    it('when nobody is there', () => {
      const there = authority({}, pki.caClient, new URL('https://127.0.0.1:9'));
      return assert.rejects(there.issue(orderOf(), signal), { code: 'ERR_PEER_UNREACHABLE' });
    });

    it('with the reason of who calls it off', async () => {
      ejbca.behaviour.delayMs = 5_000;
      const controller = new AbortController();
      const issuing = authority().issue(orderOf(), controller.signal);
      controller.abort(new Error('off'));
      await assert.rejects(issuing, { message: 'off' });
    });
  });
});
