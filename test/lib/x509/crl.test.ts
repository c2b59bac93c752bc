import assert from 'node:assert/strict';
import { type KeyObject, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PeerError } from '../../../lib/errors.ts';
import { openCrl, readEntries } from '../../../lib/x509/crl.ts';
import { bytesSource, fileSource } from '../../../lib/x509/crl-source.ts';
import { boolean, enumerated, explicit, integer, sequence } from '../../../lib/x509/der-writer.ts';
import { extension } from '../../../lib/x509/extension-writer.ts';
import { integerFromDecimal } from '../../../lib/x509/serial-number.ts';
import {
  CERTIFICATE_ISSUER,
  type CrlTemplate,
  type Entry,
  issuingDistributionPoint,
  makeCrl,
  manyEntries,
  ONLY_USERS,
  serialOf,
  UNKNOWN_CRITICAL,
} from '../../helpers/crl-maker.ts';
import { type Credential, issueRootCa, KEY_MAKERS } from '../../helpers/test-pki.ts';

const CA = issueRootCa('CN=CRL CA,O=Test,C=SE');
const OTHER = issueRootCa('CN=Other CA,O=Test,C=SE');

function publicKey({ certificate }: Credential): KeyObject {
  return new X509Certificate(certificate).publicKey;
}

/** Reads all of a CRL. */
function read(crl: Uint8Array, keys: readonly KeyObject[] = []) {
  const frame = openCrl(bytesSource(crl));
  const reading = readEntries(frame, keys);
  for (;;) {
    const step = reading.next();
    if (step.done) return { facts: frame.facts, ...step.value };
  }
}

function make(template: Partial<CrlTemplate> = {}): Buffer {
  return makeCrl({ issuer: CA, ...template });
}

const isInvalid = { code: 'ERR_INVALID_CRL' };

describe('crl', () => {
  it('gives the facts of a full CRL', () => {
    const thisUpdate = new Date('2026-01-02T03:04:05Z');
    const nextUpdate = new Date('2051-02-03T04:05:06Z');
    const { facts } = read(make({ number: '12345678901234567890', thisUpdate, nextUpdate }));
    assert.equal(facts.issuerDN, 'CN=CRL CA,O=Test,C=SE');
    assert.equal(facts.crlNumber, '12345678901234567890');
    assert.equal(facts.deltaCrlIndicator, null);
    assert.equal(facts.thisUpdate, thisUpdate.getTime());
    assert.equal(facts.nextUpdate, nextUpdate.getTime());
    assert.equal(facts.signatureAlgorithm, 'sha256WithECDSA');
    assert.equal(facts.issuingDistributionPoint, null);
  });

  it('gives the facts of a delta CRL of a partition', () => {
    const { facts } = read(make({ number: '9', base: '7', distributionPoint: ['http://x/1', 'http://y/1'] }));
    assert.equal(facts.deltaCrlIndicator, '7');
    assert.equal(facts.issuingDistributionPoint?.names.length, 2);
    assert.equal(facts.issuingDistributionPoint?.only, 'all');
  });

  it('reads a distribution point without names, for user certificates only', () => {
    const { facts } = read(make({ extensions: [issuingDistributionPoint([], ONLY_USERS)] }));
    assert.deepEqual(facts.issuingDistributionPoint, { names: [], only: 'user', onlySomeReasons: '', indirect: false });
  });

  it('answers for every serial number on it and for no other', () => {
    const entries: Entry[] = [
      { serialNumber: '1' },
      { serialNumber: '-5', reason: 1, date: new Date('1999-12-31T23:59:59Z') },
      { serialNumber: '0', reason: 10 },
      { serialNumber: String(2n ** 159n), reason: 6, date: new Date('2050-01-01T00:00:00Z') },
      { serialNumber: '77', extensions: [extension('2.5.29.24', false, sequence()), UNCRITICAL] },
    ];
    const { index } = read(make({ entries }));
    assert.equal(index.count, 5);
    for (const { serialNumber, reason = 0, date } of entries) {
      const entry = index.find(integerFromDecimal(serialNumber));
      assert.equal(entry?.revocationReason, reason);
      if (date !== undefined) assert.equal(entry?.revocationDate, date.getTime());
    }
    for (const other of ['2', '5', '256', '-1']) assert.equal(index.find(integerFromDecimal(other)), undefined);
  });

  it('answers "no" from a CRL without entries', () => {
    assert.equal(read(make()).index.find(integerFromDecimal('1')), undefined);
  });

  for (const kind of ['ec', 'rsa', 'ed25519'] as const) {
    it(`tells the key that signed from others: ${kind}`, () => {
      const ca = issueRootCa('CN=Keys,C=SE', KEY_MAKERS[kind]);
      const twin = issueRootCa('CN=Keys,C=SE', KEY_MAKERS[kind]);
      const crl = makeCrl({ issuer: ca, entries: [{ serialNumber: '1' }] });
      const keys = [publicKey(twin), publicKey(OTHER), publicKey(ca)];
      assert.equal(read(crl, keys).key, keys[2]);
      assert.equal(read(crl, keys.slice(0, 2)).key, undefined);
      const changed = Buffer.from(crl);
      const at = changed.indexOf(Buffer.from('020101170d', 'hex'));
      changed[at + 2] = 2;
      assert.equal(read(changed, keys).key, undefined);
    });
  }

  it('reads 100,000 entries from a file as from memory, with little memory', () => {
    const folder = mkdtempSync(join(tmpdir(), 'crl-'));
    const file = join(folder, 'x.crl');
    const crl = make({ entries: manyEntries(100_000) });
    writeFileSync(file, crl);
    const source = fileSource(file);
    const frame = openCrl(source);
    const reading = readEntries(frame, [publicKey(CA)]);
    let steps = 0;
    let last = reading.next();
    for (; !last.done; last = reading.next()) steps += 1;
    source.close();
    rmSync(folder, { recursive: true });
    assert.ok(steps >= 5);
    assert.equal(last.value.index.count, 100_000);
    assert.ok(last.value.key);
    assert.equal(last.value.fingerprint, read(crl).fingerprint);
    for (const n of [0, 1, 50_000, 99_999]) assert.equal(last.value.index.find(serialOf(n))?.revocationReason, 1);
    assert.equal(last.value.index.find(serialOf(100_000)), undefined);
    assert.ok(last.value.index.memoryBytes < 5_000_000);
  });

  describe('refuses', () => {
    it('a CRL cut off at any byte, or with a byte too many', () => {
      const whole = make({ entries: [{ serialNumber: '1', reason: 1 }], distributionPoint: ['http://x/'] });
      for (let length = 0; length < whole.length; length++) {
        assert.throws(() => read(whole.subarray(0, length)), isInvalid, String(length));
      }
      assert.throws(() => read(Buffer.concat([whole, Buffer.alloc(1)])), isInvalid);
    });

    it('by name, or reads, whatever single byte is changed', () => {
      const whole = make({
        entries: [{ serialNumber: '1', reason: 1 }, { serialNumber: '2' }],
        number: '3',
        base: '2',
      });
      const keys = [publicKey(CA)];
      for (let at = 0; at < whole.length; at++) {
        for (const change of [0x01, 0x80, 0xff]) {
          const changed = Buffer.from(whole);
          changed[at] = (changed[at] ?? 0) ^ change;
          try {
            assert.equal(read(changed, keys).key, undefined, `byte ${at}`);
          } catch (error) {
            assert.ok(error instanceof PeerError && error.code === 'ERR_INVALID_CRL', `byte ${at}: ${error}`);
          }
        }
      }
    });

    const entry = (extensions: readonly Uint8Array[]): Buffer => make({ entries: [{ serialNumber: '1', extensions }] });
    const raw = (hex: string): Buffer => make({ entries: Buffer.from(hex, 'hex') });
    const cases: Record<string, () => Uint8Array> = {
      'an unknown critical extension': () => make({ extensions: [UNKNOWN_CRITICAL] }),
      'an extension that stands twice': () => make({ extensions: [extension('2.5.29.20', false, integer(1))] }),
      'a negative number': () => make({ number: '-3' }),
      'a number of more than 20 octets': () => make({ number: String(2n ** 160n) }),
      'an indirect CRL': () =>
        make({ extensions: [issuingDistributionPoint(['http://x/'], Buffer.from('8401ff', 'hex'))] }),
      'a distribution point for users and CAs': () =>
        make({ extensions: [issuingDistributionPoint([], Buffer.from('8101ff8201ff', 'hex'))] }),
      'a distribution point with an unknown field': () =>
        make({ extensions: [issuingDistributionPoint([], Buffer.from('8601ff', 'hex'))] }),
      'removeFromCRL outside of a delta CRL': () => make({ entries: [{ serialNumber: '1', reason: 8 }] }),
      'reason code 7': () => make({ entries: [{ serialNumber: '1', reason: 7 }] }),
      'reason code 11': () => make({ entries: [{ serialNumber: '1', reason: 11 }] }),
      'a reason code of two octets': () => entry([extension('2.5.29.21', false, enumerated(257))]),
      'an unknown critical extension of an entry': () => entry([UNKNOWN_CRITICAL]),
      'an entry of another issuer': () => entry([CERTIFICATE_ISSUER]),
      'extensions in version 1': () => make({ version: 1 }),
      'extensions of an entry in version 1': () =>
        make({ version: 1, number: null, keyId: null, entries: [{ serialNumber: '1', reason: 1 }] }),
      'an entry that is no SEQUENCE': () => raw('310402010102'),
      'an entry without a date': () => raw('3003020101'),
      'an entry with a date that does not exist': () =>
        raw('30120201 01170d3236303233303031303130315a'.replace(' ', '')),
      'an entry with a date without seconds': () => raw('3010020101170b323630323031303130315a'),
      'an entry with a serial number that is not DER': () => raw('301302020001170d3236303232303031303130315a'),
      'an entry with an empty serial number': () => raw('30110200170d3236303232303031303130315a'),
      'an entry with a length that is not DER': () => raw('308112020101170d3236303232303031303130315a'),
      'an entry with an indefinite length': () => raw('3080020101170d3236303232303031303130315a0000'),
      'an entry that is longer than the list': () => raw('3013020101170d3236303232303031303130315a'),
      'an entry of 9,000 octets': () => entry([extension('1.2.3', false, Buffer.alloc(9_000))]),
      'an entry with a third field': () => raw('3016020101170d3236303232303031303130315a30000500'),
      'two different signature algorithms': () => {
        const crl = make();
        const oid = Buffer.from('06082a8648ce3d040302', 'hex');
        crl[crl.lastIndexOf(oid) + 9] = 3;
        return crl;
      },
      'a signature with SHA-1': () => {
        const crl = make();
        const oid = Buffer.from('06082a8648ce3d040302', 'hex');
        const sha1 = Buffer.from('06082a8648ce3d040101', 'hex');
        sha1.copy(crl, crl.indexOf(oid));
        sha1.copy(crl, crl.lastIndexOf(oid));
        return crl;
      },
      'a certificate': () => CA.certificate,
      'an empty sequence': () => sequence(),
      'version 3': () => {
        const crl = make();
        crl[crl.indexOf(Buffer.from('020101', 'hex')) + 2] = 2;
        return crl;
      },
      text: () => Buffer.from('-----BEGIN X509 CRL-----'),
      'a wrapper that is a BOOLEAN': () => explicit(0, boolean(true)),
    };
    for (const [what, crl] of Object.entries(cases)) {
      it(what, () => {
        assert.throws(() => read(crl()), isInvalid);
      });
    }

    it('one beyond 512 MB, unread', () => {
      const source = { size: 513 * 1024 * 1024, read: () => assert.fail(), close: () => undefined };
      assert.throws(() => openCrl(source), { code: 'ERR_TOO_LARGE' });
    });
  });
});

const UNCRITICAL = extension('1.2.3.4', false, sequence());
