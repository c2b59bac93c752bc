/**
 * CRLs that the openssl program makes, read as it would.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCrl, readEntries } from '../../../lib/x509/crl.ts';
import { bytesSource } from '../../../lib/x509/crl-source.ts';
import { integerFromDecimal } from '../../../lib/x509/serial-number.ts';

const CONFIG = `
[ca]
default_ca = it
[it]
database = index.txt
crlnumber = crlnumber
default_md = default
default_crl_days = 7
[full]
authorityKeyIdentifier = keyid
[delta]
authorityKeyIdentifier = keyid
deltaCRL = critical,ASN1:INTEGER:6
[partition]
authorityKeyIdentifier = keyid
issuingDistributionPoint = critical,@point
[point]
fullname = URI:http://va.example.org/crl?partition=1
onlyuser = TRUE
[dn]
`;
/** As `openssl ca` keeps them: keyCompromise, on hold, without reason. */
const INDEX = [
  'R\t300101000000Z\t260101000000Z,keyCompromise\t1234\tunknown\t/CN=a',
  'R\t300101000000Z\t260202030405Z,certificateHold\tFEDCBA98765432100123456789ABCDEF01234567\tunknown\t/CN=b',
  'R\t300101000000Z\t260303000000Z\t01\tunknown\t/CN=c',
].join('\n');
const NEW_KEYS = {
  rsa: ['-newkey', 'rsa:2048'],
  ecdsa: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  ed25519: ['-newkey', 'ed25519'],
  'rsa-pss': ['-newkey', 'rsa-pss', '-pkeyopt', 'rsa_keygen_bits:2048'],
} as const;

describe('CRLs made by openssl', () => {
  const folder = mkdtempSync(join(tmpdir(), 'crl-openssl-'));
  const openssl = (...options: string[]): string =>
    execFileSync('openssl', options, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });

  before(function () {
    if (spawnSync('openssl', ['version']).error !== undefined) {
      console.log('      skipped: no openssl');
      this.skip();
    }
    writeFileSync(join(folder, 'ca.cnf'), CONFIG);
    writeFileSync(join(folder, 'index.txt'), `${INDEX}\n`);
    writeFileSync(join(folder, 'crlnumber'), '0A\n');
  });

  after(() => rmSync(folder, { recursive: true }));

  function generate(...options: string[]): Buffer {
    openssl('ca', '-config', 'ca.cnf', '-gencrl', '-cert', 'ca.crt', '-keyfile', 'ca.key', '-out', 'x.pem', ...options);
    openssl('crl', '-in', 'x.pem', '-outform', 'DER', '-out', 'x.crl');
    return readFileSync(join(folder, 'x.crl'));
  }

  function read(der: Buffer) {
    const frame = openCrl(bytesSource(der));
    const key = new X509Certificate(readFileSync(join(folder, 'ca.crt'))).publicKey;
    const reading = readEntries(frame, [key]);
    let step = reading.next();
    while (!step.done) step = reading.next();
    return { facts: frame.facts, isSigned: step.value.key === key, index: step.value.index };
  }

  for (const [kind, newKey] of Object.entries(NEW_KEYS)) {
    describe(kind, () => {
      before(() => {
        const subject = ['-x509', '-nodes', '-subj', '/C=SE/O=Test/CN=OpenSSL CA', '-days', '30'];
        openssl('req', ...subject, ...newKey, '-keyout', 'ca.key', '-out', 'ca.crt');
      });

      it('full', () => {
        const { facts, isSigned, index } = read(generate('-crlexts', 'full'));
        assert.equal(facts.issuerDN, 'CN=OpenSSL CA,O=Test,C=SE');
        assert.equal(facts.deltaCrlIndicator, null);
        assert.ok(Number(facts.crlNumber) >= 10);
        assert.ok(facts.authorityKeyId);
        assert.ok(isSigned);
        assert.equal(index.count, 3);
        const serial = BigInt('0xFEDCBA98765432100123456789ABCDEF01234567').toString();
        assert.deepEqual(index.find(integerFromDecimal(serial)), {
          revocationReason: 6,
          revocationDate: Date.UTC(2026, 1, 2, 3, 4, 5),
        });
        assert.equal(index.find(integerFromDecimal('4660'))?.revocationReason, 1);
        assert.equal(index.find(integerFromDecimal('1'))?.revocationReason, 0);
      });

      it('delta', () => {
        const { facts, isSigned } = read(generate('-crlexts', 'delta'));
        assert.equal(facts.deltaCrlIndicator, '6');
        assert.ok(isSigned);
      });

      it('of a partition', () => {
        const { facts, isSigned } = read(generate('-crlexts', 'partition'));
        assert.equal(facts.issuingDistributionPoint?.only, 'user');
        const uri = Buffer.from('http://va.example.org/crl?partition=1').toString('hex');
        assert.ok(facts.issuingDistributionPoint?.names[0]?.endsWith(uri));
        assert.ok(isSigned);
      });
    });
  }
});
