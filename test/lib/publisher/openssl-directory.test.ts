import assert from 'node:assert/strict';
import { appendFileSync, copyFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isOpensslDirectory, readOpensslDirectory } from '../../../lib/publisher/openssl-directory.ts';
import { hasOpenssl, OpensslCa } from '../../helpers/openssl-ca.ts';

describe('directory of openssl ca', () => {
  let folder: string;
  let ca: OpensslCa;

  before(function () {
    if (hasOpenssl()) return;
    console.log('      skipped: no openssl');
    this.skip();
  });

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'openssl-ca-'));
    ca = new OpensslCa(folder).make('OpenSSL CA');
  });

  afterEach(() => rmSync(folder, { recursive: true }));

  const read = async () => {
    const items = await readOpensslDirectory(ca);
    return items.map((item) => {
      if ('failure' in item) return `${item.failure.code} ${item.failure.message}`;
      const { serialNumber, status, revocationReason } = item.row;
      return [BigInt(serialNumber).toString(16), status, revocationReason];
    });
  };

  it('gives the status of each certificate, the same whenever it is read', async () => {
    assert.deepEqual(await read(), []);
    const [, second, third] = ['a', 'b', 'c'].map((name) => ca.issue(name));
    ca.revoke(second ?? '', '-crl_reason', 'keyCompromise');
    ca.revoke(third ?? '', '-crl_hold', 'holdInstructionReject');
    assert.deepEqual(await read(), [
      ['1000', 20, -1],
      ['1001', 40, 1],
      ['1002', 40, 6],
    ]);
    const once = await readOpensslDirectory(ca);
    assert.deepEqual(await readOpensslDirectory(ca), once);
    const [valid, revoked] = once.flatMap((item) => ('row' in item ? [item.row] : []));
    assert.equal(valid?.updateTime, valid?.notBefore);
    assert.ok(Math.abs((revoked?.revocationDate ?? 0) - Date.now()) < 60_000);
    assert.ok((revoked?.updateTime ?? 0) > (revoked?.notBefore ?? 0));
  });

  it('names the lines and certificates that it cannot read, and reads the others', async () => {
    const [first = '', second = '', third = ''] = ['a', 'b', 'c'].map((name) => ca.issue(name));
    rmSync(join(ca.newcerts, `${first}.pem`));
    copyFileSync(join(ca.newcerts, `${third}.pem`), join(ca.newcerts, `${second}.pem`));
    appendFileSync(ca.index, 'no line\n');
    const [missing, swapped, good, broken] = await read();
    assert.match(String(missing), /^ERR_INVALID_INPUT Line 1 of index.txt: .*ENOENT/);
    assert.match(String(swapped), /^ERR_INVALID_INPUT Line 2 of index.txt: 1001.pem has another serial number/);
    assert.deepEqual(good, ['1002', 20, -1]);
    assert.match(String(broken), /^ERR_INVALID_INPUT Line 4 of index.txt: has 1 fields/);
    truncateSync(join(ca.newcerts, `${third}.pem`), 3_000_000);
    assert.match(String((await read())[2]), /^ERR_TOO_LARGE Line 3/);
  });

  it('refuses an index that is not there, or too long', async () => {
    const { newcerts } = ca;
    assert.ok(isOpensslDirectory({ index: 1 }));
    assert.ok(!isOpensslDirectory({ certificate: '' }));
    await assert.rejects(readOpensslDirectory({ index: join(folder, 'none'), newcerts }), {
      code: 'ERR_INVALID_INPUT',
    });
    await assert.rejects(readOpensslDirectory({ index: ca.index }), { code: 'ERR_INVALID_INPUT' });
    await assert.rejects(readOpensslDirectory({ index: folder, newcerts }), { code: 'ERR_INVALID_INPUT' });
    writeFileSync(ca.index, 'x\n'.repeat(100_001));
    await assert.rejects(readOpensslDirectory(ca), { code: 'ERR_TOO_LARGE' });
    truncateSync(ca.index, 65 * 1024 * 1024);
    await assert.rejects(readOpensslDirectory(ca), { code: 'ERR_TOO_LARGE' });
  });
});
