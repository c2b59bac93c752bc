import assert from 'node:assert/strict';
import { DerCursor, DerError, TAG } from '../../../lib/x509/der.ts';

function bytes(hex: string): Uint8Array {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

function readAll(cursor: DerCursor): number[] {
  const tags: number[] = [];
  while (cursor.read()) tags.push(cursor.tag);
  return tags;
}

describe('reading DER', () => {
  it('walks over the elements of one level', () => {
    assert.deepEqual(readAll(new DerCursor(bytes('020101 0500 30020500'))), [0x02, 0x05, 0x30]);
  });

  it('gives the content of an element as a view of the same memory', () => {
    const memory = bytes('0403aabbcc');
    const cursor = new DerCursor(memory);
    cursor.read();
    assert.equal(cursor.content().buffer, memory.buffer);
    assert.deepEqual([...cursor.content()], [0xaa, 0xbb, 0xcc]);
  });

  it('enters a constructed element', () => {
    const cursor = new DerCursor(bytes('3006 020101 020102'));
    cursor.read();
    assert.deepEqual(readAll(cursor.enter()), [0x02, 0x02]);
  });

  it('reads lengths of two and four octets, also longer than needed', () => {
    const cursor = new DerCursor(bytes('048103aabbcc 0484000000 01dd'));
    assert.deepEqual(readAll(cursor), [0x04, 0x04]);
    assert.equal(cursor.contentEnd - cursor.contentStart, 1);
  });

  it('reads a length padded to 126 octets', () => {
    const padded = Buffer.concat([bytes('04fe'), Buffer.alloc(125), bytes('02 aabb')]);
    const cursor = new DerCursor(padded);
    assert.equal(cursor.read(), true);
    assert.deepEqual([...cursor.content()], [0xaa, 0xbb]);
  });

  it('skips tags of several octets', () => {
    assert.deepEqual(readAll(new DerCursor(bytes('bf8701 0101 0500'))), [0xbf, 0x05]);
  });

  it('finds the end of an indefinite length', () => {
    const cursor = new DerCursor(bytes('3080 020101 0000 0500'));
    cursor.read();
    assert.deepEqual(readAll(cursor.enter()), [0x02]);
    assert.equal(cursor.end, 7);
    assert.deepEqual(readAll(cursor), [0x05]);
  });

  it('finds the end of indefinite lengths within each other', () => {
    const cursor = new DerCursor(bytes('3080 3080 0500 0000 0402 0000 0000'));
    assert.deepEqual(readAll(cursor), [0x30]);
  });

  it('reads 300,000 indefinite lengths within each other without recursion', () => {
    const deep = Buffer.concat([Buffer.from('3080'.repeat(300_000), 'hex'), Buffer.alloc(600_000)]);
    assert.deepEqual(readAll(new DerCursor(deep)), [0x30]);
  });

  it('stays within the given range', () => {
    assert.deepEqual(readAll(new DerCursor(bytes('0500 0500 0500'), 2, 4)), [0x05]);
  });

  it('moves one cursor into its own element', () => {
    const cursor = new DerCursor(bytes('3003020107'));
    cursor.expect(TAG.sequence);
    cursor.moveInto(cursor);
    cursor.expect(TAG.integer);
    assert.deepEqual([...cursor.content()], [7]);
  });

  it('has nothing to read in no bytes', () => {
    assert.equal(new DerCursor(new Uint8Array(0)).read(), false);
  });

  const malformed: Readonly<Record<string, string>> = {
    'a tag alone': '30',
    'an element that is longer than the bytes': '0403aabb',
    'a length that is cut off': '048201',
    'a length of 4 GiB': '0484ffffffff',
    'a length of 126 octets of ff': `04fe${'ff'.repeat(126)}`,
    'an indefinite length that never ends': '3080 020101',
    'an indefinite length that ends in half': '3080 00',
    'an indefinite length of a primitive element': '0480 0000',
    'an element beyond the end inside an indefinite length': '3080 0405 0000',
    'a tag number that never ends': '1fffffff',
  };
  for (const [what, hex] of Object.entries(malformed)) {
    it(`refuses ${what}`, () => {
      assert.throws(() => readAll(new DerCursor(bytes(hex))), DerError);
    });
  }

  it('refuses an element that reaches out of the one that holds it', () => {
    const cursor = new DerCursor(bytes('3003 040201 02'));
    cursor.read();
    assert.throws(() => readAll(cursor.enter()), DerError);
  });

  it('refuses another tag than the expected one and says where', () => {
    const cursor = new DerCursor(bytes('0500 0500'));
    cursor.read();
    assert.throws(() => cursor.expect(TAG.integer), { name: 'DerError', offset: 2 });
  });

  it('refuses to expect something at the end', () => {
    assert.throws(() => new DerCursor(new Uint8Array(0)).expect(TAG.sequence), DerError);
  });
});
