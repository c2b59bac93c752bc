import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import type { CertificateAuthority } from '../../../lib/authority/certificate-authority.ts';
import { LocalAuthority } from '../../../lib/authority/local-authority.ts';
import { enrol } from '../../../lib/ra/enrolment.ts';
import { contentOf } from '../../../lib/ra/flow-content.ts';
import type { RaTask } from '../../../lib/ra/ra-execution.ts';
import { REQUEST_LABEL } from '../../../lib/x509/certificate-request.ts';
import { toPem } from '../../../lib/x509/pem.ts';
import { identitySource, issueRootCa, KEY_MAKERS, requestFor } from '../../helpers/test-pki.ts';

const DAY_MS = 86_400_000;

describe('enrolment', () => {
  const ca = issueRootCa('CN=Issuing CA,O=Test,C=SE');
  const authority = new LocalAuthority({
    source: identitySource(ca),
    subjectTemplate: '{{{subjectDN}}}',
    validityMs: DAY_MS,
    endEntityValidityMs: 30 * DAY_MS,
  });
  const key = KEY_MAKERS.ec();
  const request = requestFor('CN=user,O=Test,C=SE', key);
  const pem = toPem(request, REQUEST_LABEL);
  const taskWith = (payload: unknown, rules: RaTask['rights']['rules'] = { '/ca': 'allow' }): RaTask =>
    ({
      request: { type: 'enrol', content: contentOf(payload) },
      rights: { ra: 'CN=RA', rules },
      deadlineAt: Date.now() + 10_000,
      signal: AbortSignal.timeout(10_000),
    }) as unknown as RaTask;

  for (const [what, payload] of Object.entries({
    PEM: pem,
    'PEM as bytes': Buffer.from(pem),
    DER: Buffer.from(request),
    JSON: { certificateRequest: pem },
  })) {
    it(`issues for a request in ${what}, and gives the chain`, async () => {
      const [certificate = new Uint8Array(0), issuer] = await enrol(taskWith(payload), authority, 'RA');
      const issued = new X509Certificate(certificate);
      assert.equal(issued.subject, 'CN=user\nO=Test\nC=SE');
      assert.ok(issued.verify(new X509Certificate(ca.certificate).publicKey));
      assert.deepEqual(Buffer.from(issuer ?? []), Buffer.from(ca.certificate));
      assert.equal(issued.ca, false);
      assert.deepEqual(issued.keyUsage, ['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.1']);
      const days = (Date.parse(issued.validTo) - Date.now()) / DAY_MS;
      assert.ok(days > 29 && days <= 30, `${days} days`);
    });
  }

  it('issues where the rules name this very CA', async () => {
    const [certificate] = await enrol(taskWith(pem, { '/ca/Issuing CA': 'allow' }), authority, 'RA');
    assert.ok(certificate);
  });

  describe('refuses', () => {
    const refused = (task: RaTask, code: string, by: CertificateAuthority = authority): Promise<void> =>
      assert.rejects(enrol(task, by, 'RA'), { code });
    const broken = Buffer.from(request);
    broken[broken.length - 1] = (broken.at(-1) ?? 0) ^ 1;

    it('a request that may not use this CA', () => refused(taskWith(pem, {}), 'ERR_NOT_AUTHORIZED'));
    it('a request that may use another CA only', () =>
      refused(taskWith(pem, { '/ca/Other CA': 'allow' }), 'ERR_NOT_AUTHORIZED'));
    it('a request for a CA that is denied by name', () =>
      refused(taskWith(pem, { '/ca': 'allow', '/ca/Issuing CA': 'deny' }), 'ERR_NOT_AUTHORIZED'));
    it('a CA of which no name is known, without the right to all', () => {
      const nameless = { issue: () => Promise.resolve([ca.certificate]) };
      return refused(taskWith(pem, { '/ca/Issuing CA': 'allow' }), 'ERR_NOT_AUTHORIZED', nameless);
    });
    it('text that is no request', () => refused(taskWith('abc'), 'ERR_INVALID_CERTIFICATE'));
    it('a number', () => refused(taskWith(5), 'ERR_INVALID_INPUT'));
    it('nothing', () => refused(taskWith(undefined), 'ERR_INVALID_CERTIFICATE'));
    it('a request whose proof of possession is wrong', () => refused(taskWith(broken), 'ERR_INVALID_CERTIFICATE'));
    it('a request without a subject', () => refused(taskWith(Buffer.from(requestFor('', key))), 'ERR_NOT_ISSUED'));
    it('a certificate of the CA that is for another key', () => {
      const wrong = { caName: () => 'Issuing CA', issue: () => Promise.resolve([ca.certificate]) };
      return refused(taskWith(pem), 'ERR_NOT_ISSUED', wrong);
    });
    it('a CA that gives none', () => {
      const nothing = { caName: () => 'Issuing CA', issue: () => Promise.resolve([]) };
      return refused(taskWith(pem), 'ERR_NOT_ISSUED', nothing);
    });
  });
});
