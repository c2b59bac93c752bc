import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { decimalFromInteger, integerFromDecimal } from '../../../lib/x509/serial-number.ts';

function decimal(hex: string): string {
  return decimalFromInteger(Buffer.from(hex, 'hex'));
}

describe('serial numbers', () => {
  const cases: Readonly<Record<string, string>> = {
    '': '0',
    '00': '0',
    '0000': '0',
    '01': '1',
    '7f': '127',
    '0080': '128',
    '000007': '7',
    ff: '-1',
    ffff: '-1',
    '80': '-128',
    ff7f: '-129',
    '7fffffffffff': '140737488355327',
    '800000000000': '-140737488355328',
    '00ffffffffffff': '281474976710655',
    '0123456789abcdef': '81985529216486895',
    '00ffffffffffffffff': '18446744073709551615',
    '8000000000000000': '-9223372036854775808',
    '0123456789abcdef0123456789abcdef': '1512366075204170929049582354406559215',
  };
  for (const [hex, expected] of Object.entries(cases)) {
    it(`reads '${hex}' as ${expected}`, () => assert.equal(decimal(hex), expected));
  }

  it('agrees with BigInt for any octets, also within larger memory', () => {
    for (let i = 0; i < 500; i++) {
      const memory = randomBytes(i % 40 === 0 ? 64 : (i % 40) + 3);
      const content = memory.subarray(2);
      const expected = BigInt.asIntN(content.length * 8, BigInt(`0x${content.toString('hex')}`));
      assert.equal(decimalFromInteger(content), String(expected));
    }
  });

  it('reads back what it writes, in the shortest form', () => {
    for (let i = 0; i < 500; i++) {
      const number = BigInt.asIntN(i + 1, BigInt(`0x${randomBytes(64).toString('hex')}`));
      const content = integerFromDecimal(String(number));
      assert.equal(decimalFromInteger(content), String(number));
      const padded = content.length > 1 && (content[0] === 0 || content[0] === 0xff);
      assert.equal(padded && ((content[0] ?? 0) & 0x80) === ((content[1] ?? 0) & 0x80), false);
    }
  });

  it('refuses a serial number of 16,385 octets, whichever its sign', () => {
    for (const octet of [0x7f, 0x80]) {
      assert.throws(() => decimalFromInteger(Buffer.alloc(16_385, octet)), { code: 'ERR_TOO_LARGE' });
    }
  });

  it('carries a serial number of 16,384 octets', () => {
    const content = Buffer.alloc(16_384, 0x7f);
    assert.equal(BigInt(decimalFromInteger(content)), BigInt(`0x${content.toString('hex')}`));
  });

  for (const wrong of ['', ' ', '1a', '0x10', '1.5', '--1', '1e3', '٣', '9'.repeat(10_001)]) {
    it(`refuses '${wrong.slice(0, 10)}' as a serial number`, () => {
      assert.throws(() => integerFromDecimal(wrong), { code: 'ERR_INVALID_INPUT' });
    });
  }
});
