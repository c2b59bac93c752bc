import assert from 'node:assert/strict';
import { readIndexLine } from '../../../lib/publisher/openssl-index.ts';

const line = (status: string, revoked = '', serial = '1000') =>
  [status, '351231235959Z', revoked, serial, 'unknown', '/CN=user'].join('\t');

describe('index.txt of openssl', () => {
  it('says that a certificate is valid or has expired', () => {
    for (const status of ['V', 'E'])
      assert.deepEqual(readIndexLine(line(status)), { serialNumber: '1000', revocation: undefined });
  });

  it('says when and why a certificate was revoked', () => {
    const date = Date.UTC(2025, 0, 1, 12, 30, 59);
    for (const [text, reason] of [
      ['250101123059Z', 0],
      ['20250101123059Z', 0],
      ['250101123059Z,unspecified', 0],
      ['250101123059Z,keyCompromise', 1],
      ['250101123059Z,CACompromise', 2],
      ['250101123059Z,affiliationChanged', 3],
      ['250101123059Z,superseded', 4],
      ['250101123059Z,cessationOfOperation', 5],
      ['250101123059Z,certificateHold', 6],
      ['250101123059Z,holdInstruction,holdInstructionReject', 6],
      ['250101123059Z,keyTime,20241231000000Z', 1],
      ['250101123059Z,CAkeyTime,20241231000000Z', 2],
    ] as const)
      assert.deepEqual(readIndexLine(line('R', text)).revocation, { date, reason }, text);
    assert.equal(readIndexLine(line('R', '990101000000Z')).revocation?.date, Date.UTC(1999, 0, 1));
  });

  it('refuses a revocation without a date or a reason that can be read, rather than to take it for less', () => {
    for (const [text, message] of [
      ['', /date/],
      ['unknown', /date/],
      ['250101', /date/],
      ['250230000000Z', /date/],
      ['251301000000Z', /date/],
      ['250101123059', /date/],
      ['250101123059Z,', /reason/],
      ['250101123059Z,soSo', /reason/],
      ['250101123059Z,toString', /reason/],
    ] as const)
      assert.throws(() => readIndexLine(line('R', text)), { code: 'ERR_INVALID_INPUT', message }, text);
  });

  it('refuses what is no line of an index', () => {
    const lines = [
      '',
      'V',
      line('X'),
      line('V', '250101123059Z'),
      line('V', '', '../../x'),
      line('V', '', ''),
      `${line('V')}\t`,
    ];
    for (const text of lines) assert.throws(() => readIndexLine(text), { code: 'ERR_INVALID_INPUT' }, text);
  });
});
