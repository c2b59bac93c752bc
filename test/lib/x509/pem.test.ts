import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rootCertificates } from 'node:tls';
import { readPem, toPem } from '../../../lib/x509/pem.ts';
import { selfSigned } from './samples.ts';

const first = selfSigned();
const second = selfSigned({ subjectDN: 'CN=Second' });

function refusal(text: string, options = {}): () => void {
  return () => assert.throws(() => readPem(text, options), { code: 'ERR_INVALID_CERTIFICATE' });
}

describe('PEM', () => {
  it('reads back what it writes', () => {
    assert.deepEqual(
      readPem(toPem(first)).map((der) => Buffer.compare(der, first)),
      [0],
    );
  });

  it('writes what OpenSSL writes', () => {
    const pem = toPem(first);
    assert.equal(execFileSync('openssl', ['x509'], { input: pem }).toString(), pem);
  });

  it('reads a bundle with text around the blocks', () => {
    const bundle = `Bag Attributes\n  friendlyName: one\n${toPem(first)}\nsubject=CN = two\r\n${toPem(second)}end`;
    assert.deepEqual(
      readPem(bundle).map((der) => der.length),
      [first.length, second.length],
    );
  });

  it('reads all root certificates of Node in one text', () => {
    assert.equal(readPem(rootCertificates.join('\n')).length, rootCertificates.length);
  });

  it('reads CRLF, indented lines and text without line breaks', () => {
    for (const text of [
      toPem(first).replaceAll('\n', '\r\n'),
      toPem(first).replaceAll('\n', '\n    '),
      toPem(first).replaceAll('\n', ' '),
    ]) {
      assert.equal(Buffer.compare(readPem(text)[0] ?? Buffer.of(), first), 0);
    }
  });

  it('reads X509 CERTIFICATE blocks', () => {
    assert.equal(readPem(toPem(first, 'X509 CERTIFICATE')).length, 1);
  });

  it('takes only the certificate out of a TRUSTED CERTIFICATE', () => {
    const trusted = execFileSync('openssl', ['x509', '-trustout', '-addtrust', 'clientAuth'], { input: toPem(first) });
    assert.match(trusted.toString(), /BEGIN TRUSTED CERTIFICATE/);
    assert.equal(Buffer.compare(readPem(trusted.toString())[0] ?? Buffer.of(), first), 0);
  });

  it('passes over keys and CRLs', () => {
    assert.equal(
      readPem(toPem(Buffer.of(1), 'PRIVATE KEY') + toPem(first) + toPem(Buffer.of(1), 'X509 CRL')).length,
      1,
    );
  });

  it(
    'refuses keys where it is told to',
    refusal(toPem(first) + toPem(Buffer.of(1), 'PRIVATE KEY'), { otherBlocks: 'refuse' }),
  );
  it('refuses an empty text', refusal(''));
  it('refuses a text without a block', refusal('hello'));
  it('refuses a text with a key only', refusal(toPem(Buffer.of(1), 'PRIVATE KEY')));
  it('refuses a block that is cut off', refusal(toPem(first).slice(0, 200)));
  it('refuses a second block that is cut off', refusal(toPem(first) + toPem(second).slice(0, 200)));
  it('refuses a block that begins inside another', refusal(toPem(first).slice(0, 200) + toPem(second)));
  it('refuses an empty block', refusal('-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n'));
  it('refuses what is not base64', refusal(toPem(first).replace('MII', 'M*I')));
  it('refuses base64 that misses a character', refusal(toPem(first).replace('MII', 'MI')));
  it('refuses a block with another end', refusal(toPem(first).replace('END CERTIFICATE', 'END X509 CERTIFICATE')));
  it('refuses a block without a label end', refusal('-----BEGIN CERTIFICATE'));
  it('refuses a TRUSTED CERTIFICATE that is no DER', refusal(toPem(Buffer.of(0x30, 9), 'TRUSTED CERTIFICATE')));

  it('reads a thousand broken blocks in no time', () => {
    const start = performance.now();
    refusal('-----BEGIN CERTIFICATE-----\n'.repeat(100_000))();
    assert.ok(performance.now() - start < 500);
  });

  it('keeps the content of a key out of the refusal', () => {
    const text = `-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n`;
    assert.throws(
      () => readPem(text),
      (error: Error) => !error.message.includes('c2VjcmV0'),
    );
  });
});
