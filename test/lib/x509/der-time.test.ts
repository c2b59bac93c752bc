import assert from 'node:assert/strict';
import { readTime, UNKNOWN_TIME } from '../../../lib/x509/der-time.ts';

const UTC = 0x17;
const GENERALIZED = 0x18;

function read(tag: number, text: string): number {
  const bytes = Buffer.from(text, 'latin1');
  return readTime(bytes, tag, 0, bytes.length);
}

describe('reading times', () => {
  const readable: readonly (readonly [number, string, string])[] = [
    [UTC, '260102030405Z', '2026-01-02T03:04:05Z'],
    [UTC, '491231235959Z', '2049-12-31T23:59:59Z'],
    [UTC, '500101000000Z', '1950-01-01T00:00:00Z'],
    [UTC, '2601020304Z', '2026-01-02T03:04:00Z'],
    [UTC, '260102030405+0130', '2026-01-02T01:34:05Z'],
    [UTC, '2601020304-0500', '2026-01-02T08:04:00Z'],
    [UTC, '240229000000Z', '2024-02-29T00:00:00Z'],
    [GENERALIZED, '20500101000000Z', '2050-01-01T00:00:00Z'],
    [GENERALIZED, '99991231235959Z', '9999-12-31T23:59:59Z'],
    [GENERALIZED, '20260102030405.678Z', '2026-01-02T03:04:05.678Z'],
    [GENERALIZED, '20260102030405,5Z', '2026-01-02T03:04:05.500Z'],
    [GENERALIZED, '2026010203Z', '2026-01-02T03:00:00Z'],
    [GENERALIZED, '202601020304Z', '2026-01-02T03:04:00Z'],
    [GENERALIZED, '20260102030405', '2026-01-02T03:04:05Z'],
    [GENERALIZED, '20000229000000Z', '2000-02-29T00:00:00Z'],
    [GENERALIZED, '00260102030405Z', '0026-01-02T03:04:05Z'],
  ];
  for (const [tag, text, expected] of readable) {
    it(`reads ${tag === UTC ? 'UTCTime' : 'GeneralizedTime'} ${text}`, () => {
      assert.equal(read(tag, text), Date.parse(expected));
    });
  }

  it('agrees with Date on every 1,000th hour of ten thousand years', () => {
    for (let at = Date.parse('0001-01-01T00:00:00Z'); at < Date.parse('9999-12-31T00:00:00Z'); at += 3_600_000_000) {
      const digits = new Date(at).toISOString().slice(0, 19).replaceAll(/[-T:]/g, '');
      assert.equal(read(GENERALIZED, `${digits}Z`), at);
    }
  });

  const unreadable: readonly (readonly [number, string])[] = [
    [UTC, ''],
    [UTC, 'Z'],
    [UTC, '26010203Z'],
    [UTC, '260230000000Z'],
    [UTC, '230229000000Z'],
    [UTC, '261301000000Z'],
    [UTC, '260100000000Z'],
    [UTC, '260101240000Z'],
    [UTC, '260101006000Z'],
    [UTC, '260101000060Z'],
    [UTC, '260101000000X'],
    [UTC, '260101000000ZZ'],
    [UTC, '2601010000001Z'],
    [UTC, '26 101000000Z'],
    [GENERALIZED, '19000229000000Z'],
    [GENERALIZED, '2026010203.5Z'],
    [GENERALIZED, '20260102030405.Z'],
    [GENERALIZED, `20260102030405.${'1'.repeat(100_000)}Z`],
    [0x04, '260102030405Z'],
  ];
  for (const [tag, text] of unreadable) {
    it(`gives -1 for '${text.slice(0, 20)}' under tag ${tag}`, () => {
      assert.equal(read(tag, text), UNKNOWN_TIME);
    });
  }
});
