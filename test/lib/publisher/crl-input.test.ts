import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import type { StreamedBody } from '../../../lib/pool/connection-pool.ts';
import { readCrlInput } from '../../../lib/publisher/crl-input.ts';
import { CrlPemDecoder } from '../../../lib/x509/crl-pem.ts';
import { toPem } from '../../../lib/x509/pem.ts';
import { makeCrl, manyEntries } from '../../helpers/crl-maker.ts';
import { issueRootCa } from '../../helpers/test-pki.ts';

const CRL = makeCrl({ issuer: issueRootCa('CN=Input CA'), number: '3', entries: [{ serialNumber: '9' }] });
const PEM = toPem(CRL, 'X509 CRL');

describe('CRL input', () => {
  for (const [what, input] of Object.entries({
    'DER bytes': CRL,
    'PEM text': PEM,
    'PEM bytes': Buffer.from(PEM),
    'PEM with CRLF and text around it': `Issuer: x\r\n${PEM.replaceAll('\n', '\r\n')}bye`,
    'an object': { crl: PEM },
  })) {
    it(`may be ${what}`, async () => {
      const { body, facts, crlPartitionIndex } = await readCrlInput(input);
      assert.deepEqual(Buffer.from(body as Uint8Array), CRL);
      assert.equal(facts?.issuerDN, 'CN=Input CA');
      assert.equal(crlPartitionIndex, 0);
    });
  }

  it('may name a partition', async () => {
    assert.equal((await readCrlInput({ crl: CRL, crlPartitionIndex: 4 })).crlPartitionIndex, 4);
  });

  it('streams PEM that is long, as often as it is asked for', async () => {
    const crl = makeCrl({ issuer: issueRootCa('CN=Input CA'), entries: manyEntries(40_000) });
    const { body, facts } = await readCrlInput(toPem(crl, 'X509 CRL'));
    assert.equal(facts, undefined);
    for (let i = 0; i < 2; i++) assert.ok(crl.equals(await buffer((body as StreamedBody).open())));
  });

  it('reads PEM wherever it is cut', () => {
    const bytes = Buffer.from(PEM);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const decoder = new CrlPemDecoder();
      const der = [bytes.subarray(0, cut), bytes.subarray(cut)].map((piece) => decoder.push(piece));
      decoder.end();
      assert.ok(CRL.equals(Buffer.concat(der)), `cut at ${cut}`);
    }
  });

  for (const [what, input, code] of [
    ['nothing', undefined, 'ERR_INVALID_INPUT'],
    ['a number', 5, 'ERR_INVALID_INPUT'],
    ['an empty object', {}, 'ERR_INVALID_INPUT'],
    ['an object with both', { crl: CRL, file: '/x' }, 'ERR_INVALID_INPUT'],
    ['a file that is not there', { file: '/nowhere/x.crl' }, 'ERR_INVALID_INPUT'],
    ['a folder', { file: '/' }, 'ERR_INVALID_INPUT'],
    ['a partition that is no number', { crl: CRL, crlPartitionIndex: '1' }, 'ERR_INVALID_INPUT'],
    ['a negative partition', { crl: CRL, crlPartitionIndex: -1 }, 'ERR_INVALID_INPUT'],
    ['empty text', '', 'ERR_INVALID_CRL'],
    ['a PEM certificate', PEM.replaceAll('X509 CRL', 'CERTIFICATE'), 'ERR_INVALID_CRL'],
    ['PEM without end', PEM.slice(0, -30), 'ERR_INVALID_CRL'],
    ['PEM that is not base64', PEM.replace('M', '*'), 'ERR_INVALID_CRL'],
    ['DER that is cut off', CRL.subarray(0, 100), 'ERR_INVALID_CRL'],
  ] as const) {
    it(`refuses ${what}`, async () => {
      await assert.rejects(readCrlInput(input), { code });
    });
  }
});
