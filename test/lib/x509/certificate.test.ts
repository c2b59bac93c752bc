import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { fingerprintOf, MAX_CERTIFICATE_BYTES, readCertificate } from '../../../lib/x509/certificate.ts';
import { POISON_OID } from '../../../lib/x509/certificate-extensions.ts';
import { DerCursor } from '../../../lib/x509/der.ts';
import {
  boolean,
  element,
  explicit,
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  sequence,
} from '../../../lib/x509/der-writer.ts';
import { extension, extensionsField } from '../../../lib/x509/extension-writer.ts';
import { toPem } from '../../../lib/x509/pem.ts';
import { assemble, ecKeys, NOT_AFTER, NOT_BEFORE, selfSigned } from './samples.ts';

const SKI = '2.5.29.14';
const AKI = '2.5.29.35';
const BASIC_CONSTRAINTS = '2.5.29.19';

function factsWith(...extensions: readonly Uint8Array[]): ReturnType<typeof readCertificate> {
  return readCertificate(assemble({ rest: extensionsField(extensions) }));
}

function contentOf(der: Uint8Array): Uint8Array {
  const cursor = new DerCursor(der);
  cursor.read();
  return cursor.content();
}

function padded(size: number): Uint8Array {
  const filler = (length: number): Uint8Array => assemble({ rest: element(0x82, new Uint8Array(length)) });
  return filler(size - (filler(100_000).length - 100_000));
}

describe('readCertificate', () => {
  it('reads the facts of a certificate', () => {
    const der = selfSigned({ serialNumber: '1234567890123456789012345' });
    const facts = readCertificate(der);
    const keyId = createHash('sha1').update(ecKeys.publicKey.export({ type: 'spki', format: 'der' }).subarray(26));
    const subjectKeyId = keyId.digest('base64');
    assert.deepEqual(
      { ...facts, issuerDer: undefined, subjectDer: undefined, spki: undefined },
      {
        fingerprint: createHash('sha1').update(der).digest('hex'),
        issuerDN: 'CN=Test CA,O=Example,C=SE',
        subjectDN: 'CN=Test CA,O=Example,C=SE',
        serialNumber: '1234567890123456789012345',
        notBefore: NOT_BEFORE.getTime(),
        expireDate: NOT_AFTER.getTime(),
        subjectKeyId,
        authorityKeyId: subjectKeyId,
        isCa: true,
        hasPoison: false,
        selfIssued: true,
        keyAlgorithm: 'EC',
        issuerDer: undefined,
        subjectDer: undefined,
        spki: undefined,
      },
    );
  });

  it('gives the key and the names as they stand in the certificate', () => {
    const facts = readCertificate(selfSigned());
    assert.deepEqual(Buffer.from(facts.spki), ecKeys.publicKey.export({ type: 'spki', format: 'der' }));
    assert.deepEqual(facts.issuerDer, facts.subjectDer);
  });

  it('reads a certificate inside larger memory', () => {
    const der = selfSigned();
    const memory = new Uint8Array(der.length + 20).fill(0xff);
    memory.set(der, 7);
    assert.equal(readCertificate(memory.subarray(7, 7 + der.length)).fingerprint, fingerprintOf(der));
  });

  it('agrees with Node on every root certificate', () => {
    for (const pem of rootCertificates) {
      const node = new X509Certificate(pem);
      const facts = readCertificate(node.raw);
      assert.equal(facts.fingerprint, node.fingerprint.replaceAll(':', '').toLowerCase());
      assert.equal(facts.serialNumber, String(BigInt(`0x${node.serialNumber}`)));
      assert.equal(facts.notBefore, node.validFromDate.getTime());
      assert.equal(facts.expireDate, node.validToDate.getTime());
      assert.equal(facts.isCa, true);
    }
  });

  it('names the algorithm of the key', () => {
    const kinds = [
      ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 })],
      ['RSASSA-PSS', generateKeyPairSync('rsa-pss', { modulusLength: 2048 })],
      ['Ed25519', generateKeyPairSync('ed25519')],
      ['Ed448', generateKeyPairSync('ed448')],
      ['X25519', generateKeyPairSync('x25519')],
    ] as const;
    for (const [name, { publicKey }] of kinds) {
      const certificate = selfSigned({ publicKey });
      assert.equal(readCertificate(certificate).keyAlgorithm, name);
    }
  });

  it('tells self-issued from issued certificates', () => {
    const ca = { certificate: selfSigned(), privateKey: ecKeys.privateKey };
    const facts = readCertificate(selfSigned({ issuer: ca, subjectDN: 'CN=leaf', ca: false }));
    assert.equal(facts.selfIssued, false);
    assert.equal(facts.isCa, false);
    assert.equal(facts.issuerDN, 'CN=Test CA,O=Example,C=SE');
    assert.equal(facts.subjectDN, 'CN=leaf');
  });

  it('recognises a pre-certificate', () => {
    const poison = extension(POISON_OID, true, nullValue());
    assert.equal(readCertificate(selfSigned({ extensions: [poison] })).hasPoison, true);
  });

  it('reads a certificate of exactly the largest size', () => {
    const der = padded(MAX_CERTIFICATE_BYTES);
    assert.equal(der.length, 524_288);
    assert.equal(readCertificate(der).subjectDN, 'CN=odd');
  });

  it('refuses a serial number of 16,385 octets, which would take long to print', () => {
    const serialNumber = element(0x02, new Uint8Array(16_385).fill(0x7f));
    assert.throws(() => readCertificate(assemble({ serialNumber })), { code: 'ERR_TOO_LARGE' });
  });

  it('refuses a certificate of one byte more', () => {
    assert.throws(() => readCertificate(padded(MAX_CERTIFICATE_BYTES + 1)), { code: 'ERR_TOO_LARGE' });
  });
});

describe('odd certificates that are read', () => {
  const spkiOf = (...parts: readonly Uint8Array[]): Uint8Array => sequence(...parts);

  it('carries odd versions', () => {
    for (const version of [new Uint8Array(0), element(0xa0, integer(99)), element(0xa0), element(0xa0, nullValue())]) {
      assert.equal(readCertificate(assemble({ version })).subjectDN, 'CN=odd');
    }
  });

  it('carries negative, zero, over-long and empty serial numbers', () => {
    const serials = ['0201ff', '020100', '0204000000 05', '0200'].map((hex) =>
      Buffer.from(hex.replace(' ', ''), 'hex'),
    );
    const read = serials.map((serialNumber) => readCertificate(assemble({ serialNumber })).serialNumber);
    assert.deepEqual(read, ['-1', '0', '5', '0']);
  });

  it('carries a serial number of half a megabyte that is padding', () => {
    const content = new Uint8Array(500_000);
    content[499_999] = 5;
    assert.equal(readCertificate(assemble({ serialNumber: element(0x02, content) })).serialNumber, '5');
  });

  it('reads times it does not understand as -1', () => {
    for (const validity of [sequence(), sequence(nullValue(), integer(1)), sequence(Uint8Array.of(0x17, 99))]) {
      const { notBefore, expireDate } = readCertificate(assemble({ validity }));
      assert.deepEqual([notBefore, expireDate], [-1, -1]);
    }
  });

  it('carries keys of unknown and of no algorithm', () => {
    const oid = objectIdentifier('1.2.643.2.2.19');
    const spkis = [spkiOf(sequence(oid)), spkiOf(sequence()), spkiOf(), spkiOf(Uint8Array.of(0x30, 9))];
    const names = spkis.map((spki) => readCertificate(assemble({ spki })).keyAlgorithm);
    assert.deepEqual(names, ['1.2.643.2.2.19', '', '', '']);
  });

  it('carries what follows the key instead of extensions', () => {
    for (const hex of ['8101ff', '0500', 'a300', 'a3020500', 'a30430020500', 'a3', '30']) {
      const facts = readCertificate(assemble({ rest: Buffer.from(hex, 'hex') }));
      assert.equal(facts.subjectKeyId, null);
    }
  });

  it('finds the extensions behind unique identifiers', () => {
    const ski = extension(SKI, false, octetString(Uint8Array.of(1, 2, 3)));
    const rest = Buffer.concat([element(0x81, Uint8Array.of(0, 1)), element(0x82), extensionsField([ski])]);
    assert.equal(readCertificate(assemble({ rest })).subjectKeyId, 'AQID');
  });

  it('lets the first of two equal extensions count', () => {
    const first = extension(SKI, false, octetString(Uint8Array.of(1)));
    const second = extension(SKI, true, octetString(Uint8Array.of(2)));
    assert.equal(factsWith(first, second).subjectKeyId, 'AQ==');
  });

  it('goes on after an extension that is junk', () => {
    const junk = extension(SKI, false, Uint8Array.of(0x04, 9, 9));
    const ca = extension(BASIC_CONSTRAINTS, true, sequence(boolean(true)));
    assert.deepEqual([factsWith(junk, ca).subjectKeyId, factsWith(junk, ca).isCa], [null, true]);
  });

  it('reads a key identifier of the issuer only where it stands first', () => {
    const issuerOnly = extension(AKI, false, sequence(element(0xa1), element(0x82, Uint8Array.of(1))));
    assert.equal(factsWith(issuerOnly).authorityKeyId, null);
    assert.equal(factsWith(extension(AKI, false, sequence())).authorityKeyId, null);
  });

  it('reads an extension value that BER has cut into pieces', () => {
    const value = octetString(Uint8Array.of(1, 2, 3));
    const pieces = element(0x24, octetString(value.subarray(0, 2)), octetString(value.subarray(2)));
    const ski = sequence(objectIdentifier(SKI), pieces);
    assert.equal(factsWith(ski).subjectKeyId, 'AQID');
  });

  it('does not take basic constraints without CA for a CA', () => {
    assert.equal(factsWith(extension(BASIC_CONSTRAINTS, true, sequence())).isCa, false);
    assert.equal(factsWith(extension(BASIC_CONSTRAINTS, true, sequence(integer(0)))).isCa, false);
    assert.equal(factsWith(extension(BASIC_CONSTRAINTS, true, sequence(boolean(false)))).isCa, false);
  });

  it('carries further elements behind the signature', () => {
    assert.equal(readCertificate(sequence(contentOf(assemble()), nullValue())).subjectDN, 'CN=odd');
  });

  it('reads indefinite lengths', () => {
    const indefinite = Buffer.concat([Buffer.of(0x30, 0x80), contentOf(assemble()), Buffer.of(0, 0)]);
    assert.equal(readCertificate(indefinite).subjectDN, 'CN=odd');
    assert.equal(readCertificate(indefinite).fingerprint, fingerprintOf(indefinite));
  });
});

describe('what is no certificate', () => {
  function refuses(what: string, bytes: Uint8Array): void {
    it(`refuses ${what}`, () => assert.throws(() => readCertificate(bytes), { code: 'ERR_INVALID_CERTIFICATE' }));
  }
  const der = selfSigned();
  refuses('no bytes', new Uint8Array(0));
  refuses('text', Buffer.from('hello'));
  refuses('PEM', Buffer.from(toPem(der)));
  refuses('a certificate with a byte too many', Buffer.concat([der, Buffer.of(0)]));
  refuses('a certificate twice', Buffer.concat([der, der]));
  refuses('a certificate that lacks its last byte', der.subarray(0, -1));
  refuses('half a certificate', der.subarray(0, der.length >> 1));
  refuses('an empty sequence', sequence());
  refuses('a sequence of empty sequences', sequence(sequence(), sequence(), element(0x03)));
  refuses('a certificate without signature', sequence(der.subarray(4, 300)));
  refuses('a public key', ecKeys.publicKey.export({ type: 'spki', format: 'der' }));
  refuses('a private key', ecKeys.privateKey.export({ type: 'pkcs8', format: 'der' }));
  refuses('a serial number of another type', assemble({ serialNumber: octetString(Uint8Array.of(1)) }));
  refuses('no issuer', assemble({ issuer: new Uint8Array(0) }));
  refuses('an issuer of another type', assemble({ issuer: explicit(0) }));
  refuses('no validity', assemble({ validity: new Uint8Array(0) }));
  refuses('no key', assemble({ spki: new Uint8Array(0) }));
  refuses('an indefinite length without end', Buffer.concat([Buffer.of(0x30, 0x80), der.subarray(4)]));
});
