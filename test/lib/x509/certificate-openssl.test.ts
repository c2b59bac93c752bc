import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rootCertificates } from 'node:tls';
import { readCertificate } from '../../../lib/x509/certificate.ts';
import { splitDistinguishedName, unescapeNameValue } from '../../../lib/x509/distinguished-name.ts';
import { readPem, toPem } from '../../../lib/x509/pem.ts';
import { selfSigned } from './samples.ts';

const ASK = ['x509', '-noout', '-subject', '-issuer', '-serial', '-dates', '-fingerprint', '-sha1'];
const FORM = ['-dateopt', 'iso_8601', '-nameopt', 'RFC2253,utf8,-esc_msb', '-ext', 'subjectKeyIdentifier'];

/** The values of a name, in no order: OpenSSL has other names for the types. */
function valuesOf(name: string): readonly string[] {
  return splitDistinguishedName(name)
    .flat()
    .map(({ value }) => unescapeNameValue(value))
    .toSorted();
}

function agreesWithOpenssl(pem: string): void {
  const [der = new Uint8Array(0)] = readPem(pem);
  const facts = readCertificate(der);
  const printed = execFileSync('openssl', [...ASK, ...FORM], {
    input: pem,
    stdio: ['pipe', 'pipe', 'ignore'],
  }).toString();
  const line = (start: string): string => new RegExp(`^${start}(.*)$`, 'm').exec(printed)?.[1] ?? '';
  const serial = line('serial=');
  const keyId = /Key Identifier: ?\n\s+([0-9A-F:]+)/.exec(printed)?.[1]?.replaceAll(':', '');
  assert.deepEqual(valuesOf(facts.subjectDN), valuesOf(line('subject=')));
  assert.deepEqual(valuesOf(facts.issuerDN), valuesOf(line('issuer=')));
  assert.equal(
    BigInt(facts.serialNumber),
    serial.startsWith('-') ? -BigInt(`0x${serial.slice(1)}`) : BigInt(`0x${serial}`),
  );
  assert.equal(facts.notBefore, Date.parse(line('notBefore=')));
  assert.equal(facts.expireDate, Date.parse(line('notAfter=')));
  assert.equal(facts.fingerprint, line('sha1 Fingerprint=').replaceAll(':', '').toLowerCase());
  assert.equal(facts.subjectKeyId, keyId === undefined ? null : Buffer.from(keyId, 'hex').toString('base64'));
}

describe('what OpenSSL says of a certificate', () => {
  for (const pem of rootCertificates.filter((_pem, index) => index % 6 === 0)) {
    it(`is what is read of the root ${readCertificate(readPem(pem)[0] ?? Buffer.of()).subjectDN}`, () =>
      agreesWithOpenssl(pem));
  }

  const subjects = [
    '/C=SE/O=Example/CN=plain',
    '/CN=first/O=Example/C=SE',
    '/C=SE/O=Åäö, Inc./CN=a+b\\=c;d<e>"f"',
    '/DC=com/DC=example/OU=one/OU=two/UID=someone/emailAddress=a@b.example',
    '/CN= outer blanks /serialNumber=12 34/title=Dr',
    '/C=SE/O=multi+OU=valued/CN=x',
    '/CN=#hash/1.2.3.4.5=unknown',
  ];
  for (const subject of subjects) {
    it(`is what is read of one it has made for ${subject}`, () => {
      const options = ['-newkey', 'ed25519', '-nodes', '-keyout', '-', '-utf8', '-multivalue-rdn', '-days', '30'];
      const made = execFileSync('openssl', ['req', '-x509', ...options, '-subj', subject], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      agreesWithOpenssl(
        readPem(made.toString())
          .map((der) => toPem(der))
          .join(''),
      );
    });
  }

  for (const serialNumber of [
    '0',
    '-1',
    '127',
    '128',
    '340282366920938463463374607431768211456',
    '-99999999999999999999',
  ]) {
    it(`is what is read of one with the serial number ${serialNumber}`, () =>
      agreesWithOpenssl(toPem(selfSigned({ serialNumber }))));
  }
});
