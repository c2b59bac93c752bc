import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { PeerError } from '../../../lib/errors.ts';
import { MAX_CERT_IDS, MAX_REQUEST_BYTES, readOcspRequest } from '../../../lib/ocsp/ocsp-request.ts';
import {
  bitString,
  element,
  explicit,
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  sequence,
} from '../../../lib/x509/der-writer.ts';
import { extension } from '../../../lib/x509/extension-writer.ts';
import { issueRootCa } from '../../helpers/test-pki.ts';
import { chance } from '../store/rows.ts';
import { certId, HASHES, NONCE, ocspRequest } from './ocsp-messages.ts';

describe('OCSP request', () => {
  const ca = issueRootCa('CN=Issuing CA,O=Test,C=SE').certificate;
  const id = certId(ca, '1001');
  const nonce = randomBytes(32);
  const signature = (...certificates: Uint8Array[]): Uint8Array =>
    explicit(
      0,
      sequence(
        sequence(objectIdentifier('1.2.840.10045.4.3.2')),
        bitString(randomBytes(64)),
        ...(certificates.length === 0 ? [] : [explicit(0, sequence(...certificates))]),
      ),
    );
  const raw = (value: Uint8Array): Uint8Array => extension(NONCE, false, value);
  const name = explicit(1, element(0x86, Buffer.from('http://client')));

  describe('reads', () => {
    for (const algorithm of Object.keys(HASHES) as (keyof typeof HASHES)[]) {
      it(`a CertID with ${algorithm}, parameters NULL or absent`, () => {
        for (const parameters of [nullValue(), new Uint8Array(0)]) {
          const asked = certId(ca, '1001', { algorithm, parameters });
          const [read] = readOcspRequest(ocspRequest([asked])).certIds;
          assert.ok(read);
          assert.deepEqual(Buffer.from(read.der), Buffer.from(asked));
          assert.deepEqual([...read.serialNumber], [0x03, 0xe9]);
        }
      });
    }

    const sound: Record<string, Uint8Array> = {
      'version 1 spelled out': ocspRequest([id], { before: [explicit(0, integer(0))] }),
      'the name of the requestor': ocspRequest([id], { before: [name] }),
      'a signature that nobody asked for': ocspRequest([id], { before: [name], after: [signature()] }),
      'a signature with certificates': ocspRequest([id], { after: [signature(ca, ca)] }),
      'extensions of a single request': ocspRequest([id], {
        single: [explicit(0, sequence(extension('1.3.6.1.5.5.7.48.1.7', false, sequence())))],
      }),
      'an unknown extension that is not critical': ocspRequest([id], {
        extensions: [extension('1.2.3.4', false, nullValue())],
      }),
      'a known critical one': ocspRequest([id], {
        extensions: [extension('1.3.6.1.5.5.7.48.1.4', true, sequence(objectIdentifier('1.3.6.1.5.5.7.48.1.1')))],
      }),
      'a negative serial number': ocspRequest([certId(ca, '-5')]),
      'a serial number of 20 octets': ocspRequest([certId(ca, Buffer.alloc(20, 0x7f))]),
      'as many CertIDs as are allowed': ocspRequest(Array.from({ length: MAX_CERT_IDS }, () => id)),
    };
    for (const [what, der] of Object.entries(sound)) it(what, () => assert.ok(readOcspRequest(der).certIds.length > 0));

    for (const length of [1, 15, 16, 32, 33, 127, 128]) {
      it(`a nonce of ${length} bytes`, () => {
        const value = randomBytes(length);
        assert.deepEqual(Buffer.from(readOcspRequest(ocspRequest([id], { nonce: value })).nonce ?? []), value);
      });
    }
  });

  describe('refuses as malformed', () => {
    const bad: Record<string, Uint8Array> = {
      nothing: new Uint8Array(0),
      'some text': Buffer.from('GET / HTTP/1.1'),
      'an empty list': ocspRequest([]),
      'more CertIDs than are allowed': ocspRequest(Array.from({ length: MAX_CERT_IDS + 1 }, () => id)),
      'bytes behind the end': Buffer.concat([ocspRequest([id]), Buffer.of(0)]),
      'version 2': ocspRequest([id], { before: [explicit(0, integer(1))] }),
      'a version of two bytes': ocspRequest([id], { before: [explicit(0, integer(Uint8Array.of(0, 0)))] }),
      'an empty name': ocspRequest([id], { before: [explicit(1)] }),
      'two names': ocspRequest([id], { before: [explicit(1, element(0x86), element(0x86))] }),
      'fields in the wrong order': sequence(
        sequence(sequence(sequence(id)), explicit(2, sequence(raw(octetString(nonce)))), explicit(0, integer(0))),
      ),
      'a signature without bits': ocspRequest([id], { after: [explicit(0, sequence(sequence()))] }),
      'something else than certificates': ocspRequest([id], { after: [signature(integer(1))] }),
      'two signatures': ocspRequest([id], { after: [signature(), signature()] }),
      'a nonce of 0 bytes': ocspRequest([id], { nonce: new Uint8Array(0) }),
      'a nonce of 129 bytes': ocspRequest([id], { nonce: randomBytes(129) }),
      'a nonce that is no OCTET STRING': ocspRequest([id], { extensions: [raw(randomBytes(16))] }),
      'a nonce with something behind': ocspRequest([id], {
        extensions: [raw(Buffer.concat([octetString(nonce), nullValue()]))],
      }),
      'two nonces': ocspRequest([id], { nonce, extensions: [raw(octetString(nonce))] }),
      'an unknown critical extension': ocspRequest([id], { extensions: [extension('1.2.3.4', true, nullValue())] }),
      'an unknown critical extension of a single request': ocspRequest([id], {
        single: [explicit(0, sequence(extension('1.2.3.4', true, nullValue())))],
      }),
      'no extensions where some are said to be': ocspRequest([id], { single: [explicit(0, sequence())] }),
      'too many extensions': ocspRequest([id], {
        extensions: Array.from({ length: 21 }, (_, i) => extension(`1.2.3.${i}`, false, nullValue())),
      }),
      'a boolean that is none': ocspRequest([id], {
        extensions: [sequence(objectIdentifier('1.2.3'), element(1, Uint8Array.of(7)), octetString(nonce))],
      }),
      'an algorithm with odd parameters': ocspRequest([certId(ca, '1', { parameters: octetString(nonce) })]),
      'a NULL with content': ocspRequest([certId(ca, '1', { parameters: element(5, Uint8Array.of(0)) })]),
      'a serial number with a leading zero': ocspRequest([certId(ca, Uint8Array.of(0, 1))]),
      'a serial number without octets': ocspRequest([certId(ca, new Uint8Array(0))]),
      'a serial number of 1,025 octets': ocspRequest([certId(ca, Buffer.alloc(1_025, 0x7f))]),
      'a CertID with a fifth field': ocspRequest([sequence(id, nullValue())]),
      'a length that is not the shortest': Buffer.concat([Buffer.of(0x30, 0x81), ocspRequest([id]).subarray(1)]),
      'an indefinite length': Buffer.concat([Buffer.of(0x30, 0x80), ocspRequest([id]).subarray(2), Buffer.of(0, 0)]),
    };
    for (const [what, der] of Object.entries(bad)) {
      it(what, () => assert.throws(() => readOcspRequest(der), { code: 'ERR_MALFORMED_MESSAGE' }));
    }

    it('one that is too large, by its own name', () => {
      assert.throws(() => readOcspRequest(new Uint8Array(MAX_REQUEST_BYTES + 1)), { code: 'ERR_TOO_LARGE' });
    });
  });

  it('is read or refused by name, whatever byte of it is wrong or missing', () => {
    const whole = ocspRequest([id, certId(ca, '7', { algorithm: 'sha256' })], { nonce, before: [name] });
    const look = (bytes: Uint8Array): void => {
      try {
        readOcspRequest(bytes);
      } catch (error) {
        assert.ok(error instanceof PeerError && error.code === 'ERR_MALFORMED_MESSAGE', String(error));
      }
    };
    for (let at = 0; at < whole.length; at++) {
      look(whole.subarray(0, at));
      for (const value of [0, 1, 0x30, 0x7f, 0x80, 0x84, 0xff]) look(whole.with(at, value));
    }
    const random = chance(7);
    for (let round = 0; round < 20_000; round++) {
      let bytes = whole;
      for (let i = random(4); i >= 0; i--) bytes = bytes.with(random(bytes.length), random(256));
      look(bytes);
    }
  });
});
