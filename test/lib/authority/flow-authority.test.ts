import assert from 'node:assert/strict';
import { FlowAuthority, type FlowOrder } from '../../../lib/authority/flow-authority.ts';
import { readCertificateRequest } from '../../../lib/x509/certificate-request.ts';
import { readPemBlock } from '../../../lib/x509/pem.ts';
import { issueRootCa } from '../../helpers/test-pki.ts';
import { orderOf } from './orders.ts';

describe('flow as CA', () => {
  const ca = issueRootCa('CN=Issuing CA 1,O=Test,C=SE');
  const signal = new AbortController().signal;
  let orders: FlowOrder[];
  const authority = (timeoutMs = 2_000) => new FlowAuthority({ timeoutMs, send: (order) => orders.push(order) });

  beforeEach(() => {
    orders = [];
  });

  it('sends the request with all that is needed to answer it', async () => {
    const flow = authority();
    const issuing = flow.issue(orderOf(), signal);
    const [order] = orders;
    assert.deepEqual([order?.peer, order?.name, order?.subjectDN], ['VA 1', 'ocsp 1', 'CN=ocsp 1,O=Test,C=SE']);
    assert.ok(Date.parse(order?.deadline ?? '') > Date.now());
    const { subjectDN } = readCertificateRequest(readPemBlock(order?.certificateRequest ?? '', 'CERTIFICATE REQUEST'));
    assert.equal(subjectDN, 'CN=ocsp 1,O=Test,C=SE');
    flow.answer(order?.id, ca.certificatePem);
    assert.equal((await issuing).length, 1);
  });

  for (const [form, answer, count] of [
    ['PEM text', ca.certificatePem, 1],
    ['PEM text with a chain', ca.certificatePem + ca.certificatePem, 2],
    ['the bytes of a PEM file', Buffer.from(`subject=x\n${ca.certificatePem}`), 1],
    ['DER', ca.certificate, 1],
  ] as const) {
    it(`takes ${form}`, async () => {
      const flow = authority();
      const issuing = flow.issue(orderOf(), signal);
      flow.answer(orders[0]?.id, answer);
      const certificates = await issuing;
      assert.deepEqual(
        certificates.map((der) => Buffer.from(der)),
        Array(count).fill(Buffer.from(ca.certificate)),
      );
    });
  }

  it('keeps several orders apart, answered in any order', async () => {
    const flow = authority();
    const [first, second] = [flow.issue(orderOf(), signal), flow.issue(orderOf(), signal)];
    flow.answer(orders[1]?.id, Buffer.of(2));
    flow.answer(orders[0]?.id, Buffer.of(1));
    assert.deepEqual(
      (await Promise.all([first, second])).map(([der]) => der?.[0]),
      [1, 2],
    );
  });

  it('ends at the deadline, and a certificate that comes later is nobody’s', async () => {
    const flow = authority(50);
    await assert.rejects(flow.issue(orderOf(), signal), { code: 'ERR_PEER_TIMEOUT' });
    assert.throws(() => flow.answer(orders[0]?.id, ca.certificatePem), { code: 'ERR_INVALID_INPUT' });
  });

  it('ends with the reason of who calls it off', async () => {
    const controller = new AbortController();
    const issuing = authority().issue(orderOf(), controller.signal);
    controller.abort(new Error('off'));
    await assert.rejects(issuing, { message: 'off' });
  });

  for (const [what, answer, code] of [
    ['an error of the flow', new Error('the CA is closed on Sundays'), 'ERR_NOT_ISSUED'],
    ['nothing', undefined, 'ERR_NOT_ISSUED'],
    ['a number', 1, 'ERR_NOT_ISSUED'],
    ['text that is no PEM', 'sorry', 'ERR_INVALID_CERTIFICATE'],
  ] as const) {
    it(`fails with ${what} as answer`, async () => {
      const flow = authority();
      const issuing = flow.issue(orderOf(), signal);
      flow.answer(orders[0]?.id, answer);
      await assert.rejects(issuing, { code });
    });
  }

  for (const id of [undefined, 7, 'other']) {
    it(`refuses an answer to ${id}`, () => {
      assert.throws(() => authority().answer(id, ca.certificatePem), { code: 'ERR_INVALID_INPUT' });
    });
  }
});
