import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import type { PeerError } from '../../../lib/errors.ts';
import { readCertificateInput } from '../../../lib/publisher/certificate-input.ts';
import { CERTIFICATE_STATUS } from '../../../lib/store/certificate-data.ts';
import { readCertificate } from '../../../lib/x509/certificate.ts';
import { createTestPki } from '../../helpers/test-pki.ts';

const NOW = 1_790_000_000_000;

describe('certificate input', () => {
  const pki = createTestPki();
  const { certificate, certificatePem } = pki.caClient;

  const read = (input: unknown) => readCertificateInput(input, NOW);
  const rows = (input: unknown) =>
    read(input).map((item) => {
      assert.ok('row' in item, 'failure' in item ? item.failure.message : '');
      return item.row;
    });
  const row = (input: unknown) => {
    const [only, ...others] = rows(input);
    assert.ok(only !== undefined && others.length === 0);
    return only;
  };
  const codes = (input: unknown) => read(input).map((item) => ('failure' in item ? item.failure.code : 'ok'));

  it('reads PEM text, PEM bytes and DER bytes alike', () => {
    const expected = readCertificate(certificate).fingerprint;
    for (const input of [
      certificatePem,
      Buffer.from(certificatePem),
      certificate,
      [certificatePem],
      { certificate },
      { certificate: certificatePem },
    ]) {
      assert.equal(row(input).fingerprint, expected);
      assert.deepEqual(new Uint8Array(row(input).certificate ?? []), new Uint8Array(certificate));
    }
  });

  it('reads a bundle with text around and between', () => {
    const bundle = rootCertificates.map((pem, index) => `# root ${index}\n${pem}\n`).join('\n');
    assert.equal(rows(bundle).length, rootCertificates.length);
  });

  it('passes over a key in a bundle', () => {
    assert.equal(rows(`${pki.caClient.keyPem}${certificatePem}`).length, 1);
  });

  it('takes a certificate of which nothing is said as active since it began', () => {
    const { status, updateTime, notBefore, revocationDate, revocationReason } = row(certificatePem);
    assert.deepEqual(
      [status, updateTime, revocationDate, revocationReason],
      [CERTIFICATE_STATUS.active, notBefore, -1, -1],
    );
  });

  it('takes the reason removeFromCRL alone as taken off hold', () => {
    const { status, revocationReason, revocationDate, updateTime } = row({ certificate, revocationReason: 8 });
    assert.deepEqual([status, revocationReason, revocationDate, updateTime], [CERTIFICATE_STATUS.active, 8, -1, NOW]);
  });

  it('takes a revocation without certificate as a limited entry of EJBCA', () => {
    const entry = row({ issuerDN: 'CN=CA', serialNumber: '0815', revocationReason: 'keyCompromise' });
    assert.deepEqual(
      [entry.subjectDN, entry.serialNumber, entry.status, entry.certificate, entry.fingerprint],
      ['CN=limited', '815', CERTIFICATE_STATUS.revoked, null, hash('sha1', '815;CN=CA', 'hex')],
    );
  });

  it('takes a status by fingerprint, without certificate', () => {
    const entry = row({ issuerDN: 'CN=CA', serialNumber: 7n, fingerprint: 'AB'.repeat(20), subjectDN: 'CN=x' });
    assert.deepEqual(
      [entry.fingerprint, entry.subjectDN, entry.serialNumber, entry.status],
      ['ab'.repeat(20), 'CN=x', '7', CERTIFICATE_STATUS.active],
    );
  });

  for (const [what, entry] of Object.entries({
    'an active limited entry': { issuerDN: 'CN=CA', serialNumber: '1' },
    'a serial number that is hexadecimal': { issuerDN: 'CN=CA', serialNumber: '0xff', status: 'revoked' },
    'a serial number that is too long': { issuerDN: 'CN=CA', serialNumber: '9'.repeat(500), status: 'revoked' },
    'no serial number': { issuerDN: 'CN=CA', status: 'revoked' },
    'a fingerprint that is none': { issuerDN: 'CN=CA', serialNumber: '1', fingerprint: 'abc' },
    'an empty issuer': { issuerDN: '', serialNumber: '1', status: 'revoked' },
  })) {
    it(`refuses an entry without certificate that has ${what}`, () => {
      assert.deepEqual(codes(entry), ['ERR_INVALID_INPUT']);
    });
  }

  it('takes a stated status as of now', () => {
    assert.equal(row({ certificate, status: 'active' }).updateTime, NOW);
    assert.equal(row({ certificate, status: 40 }).updateTime, NOW);
    assert.equal(row({ certificate, status: 'active', updateTime: 5 }).updateTime, 5);
  });

  it('takes a revocation by name, number, date, text or milliseconds', () => {
    const date = new Date(NOW - 5_000);
    for (const revocationDate of [date, date.toISOString(), date.getTime()]) {
      for (const revocationReason of ['keyCompromise', 1]) {
        const revoked = row({ certificate, status: 'revoked', revocationDate, revocationReason });
        assert.deepEqual([revoked.status, revoked.revocationReason, revoked.revocationDate], [40, 1, NOW - 5_000]);
      }
    }
  });

  it('takes a reason or date alone as a revocation', () => {
    assert.equal(row({ certificate, revocationReason: 'superseded' }).status, CERTIFICATE_STATUS.revoked);
    assert.equal(row({ certificate, revocationDate: NOW }).status, CERTIFICATE_STATUS.revoked);
  });

  it('knows root, sub CA and end entity', () => {
    assert.equal(row(pki.managementCa.certificatePem).type, 8);
    assert.equal(row(certificatePem).type, 1);
  });

  it('keeps the good neighbours of a bad item', () => {
    assert.deepEqual(codes([certificatePem, 'garbage', certificate, 17, null]), [
      'ok',
      'ERR_INVALID_CERTIFICATE',
      'ok',
      'ERR_INVALID_INPUT',
      'ERR_INVALID_INPUT',
    ]);
    const damaged = certificatePem.replace(/\n[A-Za-z0-9+/]{10}/, '\n!!!!!!!!!!');
    assert.deepEqual(codes(`${certificatePem}${damaged}${certificatePem}`), ['ok', 'ERR_INVALID_CERTIFICATE', 'ok']);
  });

  describe('refuses by code', () => {
    const refusals: [string, unknown, string][] = [
      ['garbage', 'garbage', 'ERR_INVALID_CERTIFICATE'],
      ['a PEM block that does not end', '-----BEGIN CERTIFICATE-----\nAAAA', 'ERR_INVALID_CERTIFICATE'],
      ['a certificate of one megabyte', Buffer.alloc(1_048_576, 0x30), 'ERR_TOO_LARGE'],
      ['a number', 5, 'ERR_INVALID_INPUT'],
      ['nothing', undefined, 'ERR_INVALID_INPUT'],
      ['an object without certificate', { status: 'revoked' }, 'ERR_INVALID_INPUT'],
      ['an object with two certificates', { certificate: certificatePem + certificatePem }, 'ERR_INVALID_INPUT'],
      ['an unknown status', { certificate, status: 'gone' }, 'ERR_INVALID_INPUT'],
      ['an empty status', { certificate, status: '' }, 'ERR_INVALID_INPUT'],
      ['an unknown reason', { certificate, revocationReason: 'whim' }, 'ERR_INVALID_INPUT'],
      ['a date that is none', { certificate, revocationDate: 'yesterday' }, 'ERR_INVALID_INPUT'],
      ['a time that is not whole', { certificate, updateTime: 1.5 }, 'ERR_INVALID_INPUT'],
      ['a user name that is no text', { certificate, username: {} }, 'ERR_INVALID_INPUT'],
      ['a truncated DER', certificate.subarray(0, 100), 'ERR_INVALID_CERTIFICATE'],
    ];
    for (const [what, input, code] of refusals) it(what, () => assert.deepEqual(codes(input), [code]));

    for (const input of ['', '   ', Buffer.alloc(0), []]) {
      it(`an empty message: ${JSON.stringify(input)}`, () => {
        const outcome = ((): string => {
          try {
            return codes(input).join();
          } catch (error) {
            return (error as PeerError).code;
          }
        })();
        assert.equal(outcome, 'ERR_INVALID_INPUT');
      });
    }
  });
});
