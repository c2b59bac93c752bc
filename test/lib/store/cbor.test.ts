import assert from 'node:assert/strict';
import { decode, encode } from 'cborg';
import { CborReader, CborWriter } from '../../../lib/store/cbor.ts';
import { chance } from './rows.ts';

const MALFORMED = { code: 'ERR_MALFORMED_MESSAGE' };
const INTEGERS = [0, 1, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER - 1];
const TEXTS = ['', 'CN=a', 'å', '字'.repeat(23), '字'.repeat(255), '😀'.repeat(30_000), '\uFFFD'];

function written(write: (writer: CborWriter) => void, capacity?: number): Uint8Array {
  const writer = new CborWriter(capacity);
  write(writer);
  return writer.take();
}

describe('CBOR', () => {
  for (const value of [...INTEGERS, ...INTEGERS.map((each) => -1 - each)].filter(Number.isSafeInteger)) {
    it(`writes and reads ${value} as cborg does`, () => {
      const bytes = written((writer) => writer.integer(value));
      assert.deepEqual(Buffer.from(bytes), Buffer.from(encode(value)));
      assert.equal(new CborReader(bytes).integer(), value);
    });
  }

  it('writes and reads texts as cborg does, however full the buffer is', () => {
    for (const text of TEXTS) {
      const expected = Buffer.from(encode(text));
      for (let before = 0; before < 40; before++) {
        const bytes = written(
          (writer) => {
            writer.bytes(new Uint8Array(before));
            writer.text(text);
          },
          16 + text.length * 3,
        );
        const reader = new CborReader(bytes);
        reader.bytes();
        assert.equal(reader.text(), text);
        assert.deepEqual(Buffer.from(bytes.subarray(-expected.length)), expected);
      }
    }
  });

  it('writes and reads byte strings and null as cborg does', () => {
    for (const value of [null, new Uint8Array(0), new Uint8Array(24), new Uint8Array(70_000).fill(7)]) {
      const bytes = written((writer) => writer.bytes(value));
      assert.deepEqual(Buffer.from(bytes), Buffer.from(encode(value)));
      assert.deepEqual(decode(bytes), value);
      const read = new CborReader(bytes).bytesOrNull();
      assert.deepEqual(read && Buffer.from(read), value && Buffer.from(value));
    }
  });

  describe('refuses', () => {
    const cases: readonly (readonly [string, string, 'integer' | 'bytes' | 'text' | 'array'])[] = [
      ['a byte for a number below 24', '1817', 'integer'],
      ['two bytes for a number below 256', '1900ff', 'integer'],
      ['four bytes for a number below 65,536', '1a0000ffff', 'integer'],
      ['eight bytes for a number below 2^32', '1b00000000ffffffff', 'integer'],
      ['a number beyond 2^53', '1bffffffffffffffff', 'integer'],
      ['a negative number beyond 2^53', '3bffffffffffffffff', 'integer'],
      ['a length that is not in its shortest form', '580161', 'bytes'],
      ['bytes of indefinite length', '5f4101ff', 'bytes'],
      ['text of indefinite length', '7f6161ff', 'text'],
      ['an array of indefinite length', '9fff', 'array'],
      ['a reserved length', '1c', 'integer'],
      ['a tag', 'c101', 'integer'],
      ['a float', 'fb3ff8000000000000', 'integer'],
      ['a map', 'a0', 'array'],
      ['true', 'f5', 'integer'],
      ['undefined', 'f7', 'text'],
      ['text where bytes belong', '6161', 'bytes'],
      ['text that is not UTF-8', '61ff', 'text'],
      ['a surrogate in UTF-8', '63eda080', 'text'],
      ['bytes that are cut off', '4401', 'bytes'],
      ['a length that is cut off', '59ff', 'bytes'],
      ['a length beyond the end', '5affffffff', 'bytes'],
      ['nothing', '', 'integer'],
    ];
    for (const [what, hex, method] of cases) {
      it(what, () => {
        const reader = new CborReader(Buffer.from(hex, 'hex'));
        assert.throws(() => reader[method](), MALFORMED);
      });
    }

    it('any bytes at all without another error than that', () => {
      const below = chance(8949);
      for (let round = 0; round < 20_000; round++) {
        const reader = new CborReader(Uint8Array.from({ length: below(12) }, () => below(256)));
        const method = (['integer', 'bytesOrNull', 'textOrNull', 'array'] as const)[below(4)] ?? 'integer';
        try {
          reader[method]();
        } catch (error) {
          assert.equal((error as { code?: string }).code, MALFORMED.code);
        }
      }
    });
  });
});
