import assert from 'node:assert/strict';
import * as der from '../../../lib/x509/der-writer.ts';

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

describe('writing DER', () => {
  it('writes the shortest length', () => {
    assert.equal(hex(der.octetString(new Uint8Array(127))).slice(0, 4), '047f');
    assert.equal(hex(der.octetString(new Uint8Array(128))).slice(0, 6), '048180');
    assert.equal(hex(der.octetString(new Uint8Array(256))).slice(0, 8), '04820100');
    assert.equal(hex(der.octetString(new Uint8Array(65_536))).slice(0, 10), '0483010000');
    assert.equal(hex(der.octetString(new Uint8Array(16_777_216))).slice(0, 12), '048401000000');
  });

  it('writes integers as the shortest two’s complement', () => {
    const written = [0, 1, 127, 128, 255, 256, -1, -128, -129, 2n ** 64n].map((value) => hex(der.integer(value)));
    assert.deepEqual(written, [
      '020100',
      '020101',
      '02017f',
      '02020080',
      '020200ff',
      '02020100',
      '0201ff',
      '020180',
      '0202ff7f',
      '0209010000000000000000',
    ]);
  });

  it('sorts the elements of a SET OF', () => {
    assert.equal(hex(der.setOf(der.integer(300), der.nullValue(), der.integer(2))), '3109020102' + '0202012c' + '0500');
  });

  it('writes object identifiers', () => {
    assert.equal(hex(der.objectIdentifier('1.2.840.113549.1.1.11')), '06092a864886f70d01010b');
    assert.equal(hex(der.objectIdentifier('2.999.1')), '0603883701');
  });

  it('writes named bits without trailing zeros', () => {
    assert.equal(hex(der.namedBits([5, 6])), '03020106');
    assert.equal(hex(der.namedBits([0, 8])), '0303078080');
    assert.equal(hex(der.namedBits([])), '030100');
  });

  it('writes booleans, null, enumerated and context tags', () => {
    assert.equal(hex(der.boolean(true)), '0101ff');
    assert.equal(hex(der.boolean(false)), '010100');
    assert.equal(hex(der.explicit(3, der.nullValue())), 'a3020500');
    assert.equal(hex(der.implicit(0, Uint8Array.of(1))), '800101');
    assert.equal(hex(der.enumerated(6)), '0a0106');
  });

  it('writes times up to 2049 as UTCTime and later ones as GeneralizedTime', () => {
    assert.equal(Buffer.from(der.time(new Date('2049-12-31T23:59:59.9Z'))).toString('latin1'), '\x17\x0d491231235959Z');
    assert.equal(Buffer.from(der.time(new Date('2050-01-01T00:00:00Z'))).toString('latin1'), '\x18\x0f20500101000000Z');
    assert.equal(Buffer.from(der.time(new Date('1949-12-31T23:59:59Z'))).toString('latin1'), '\x18\x0f19491231235959Z');
  });

  it('refuses an invalid date', () => {
    assert.throws(() => der.time(new Date(Number.NaN)), { code: 'ERR_INVALID_INPUT' });
  });

  it('refuses a year above 9999', () => {
    assert.throws(() => der.time(new Date('+010000-01-01T00:00:00Z')), { code: 'ERR_INVALID_INPUT' });
  });

  it('refuses text that is not printable in a PrintableString', () => {
    assert.throws(() => der.printableString('a@b'), { code: 'ERR_INVALID_INPUT' });
  });

  it('refuses text that is not ASCII in an IA5String', () => {
    assert.throws(() => der.ia5String('é'), { code: 'ERR_INVALID_INPUT' });
  });

  for (const wrong of ['', '1', '3.1', '1.40', '1.2.', '1..2', '1.02', '1.2.x', `1.2.${'9'.repeat(65)}`]) {
    it(`refuses '${wrong.slice(0, 10)}' as an object identifier`, () => {
      assert.throws(() => der.objectIdentifier(wrong), { code: 'ERR_INVALID_INPUT' });
    });
  }
});
