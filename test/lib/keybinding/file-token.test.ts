import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { algorithmOf, keyFingerprintOf, TOKEN_KEY_ALGORITHMS } from '../../../lib/keybinding/crypto-token.ts';
import { FileToken, type FileTokenOptions } from '../../../lib/keybinding/file-token.ts';
import { QUICK } from '../../helpers/ocsp-binding.ts';

describe('crypto token in a file', () => {
  let folder: string;
  const fileOf = (): string => join(folder, 'token.p12');
  const open = (options: Partial<FileTokenOptions> = {}): Promise<FileToken> =>
    FileToken.open({ name: 'token', file: fileOf(), passphrase: 'gehört dazu', ...QUICK, ...options });

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'token-'));
  });

  afterEach(() => {
    chmodSync(folder, 0o700);
    rmSync(folder, { recursive: true });
  });

  it('makes its file with the first key, for its owner alone', async () => {
    const token = await open();
    assert.equal(existsSync(fileOf()), false);
    await token.generateKey('P-256');
    assert.equal(statSync(fileOf()).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(folder), ['token.p12']);
  });

  for (const algorithm of TOKEN_KEY_ALGORITHMS) {
    it(`keeps a ${algorithm} key over a restart`, async () => {
      const fingerprint = await (await open()).generateKey(algorithm);
      const key = (await open()).keys().get(fingerprint);
      assert.ok(key);
      assert.equal(keyFingerprintOf(key.publicKey), fingerprint);
      assert.equal(algorithmOf(key.publicKey), algorithm);
    });
  }

  it('is read by openssl pkcs12, all keys of it', async function () {
    if (spawnSync('openssl', ['version']).error !== undefined) {
      console.log('      skipped: no openssl');
      return this.skip();
    }
    const token = await open();
    const fingerprints = [await token.generateKey('P-384'), await token.generateKey('Ed25519')];
    const parameters = ['pkcs12', '-in', fileOf(), '-passin', 'pass:gehört dazu', '-nodes'];
    const { status, stdout, stderr } = spawnSync('openssl', parameters);
    assert.equal(status, 0, stderr.toString());
    const blocks = stdout.toString().match(/-----BEGIN PRIVATE KEY-----[\s\S]+?-----END PRIVATE KEY-----/g) ?? [];
    assert.deepEqual(blocks.map((pem) => keyFingerprintOf(createPrivateKey(pem))).sort(), fingerprints.sort());
    assert.match(stdout.toString(), new RegExp(`friendlyName: ${fingerprints[0]}`));
    const info = spawnSync('openssl', ['pkcs12', '-in', fileOf(), '-passin', 'pass:gehört dazu', '-info', '-noout']);
    assert.match(info.stderr.toString(), /MAC: sha256[\s\S]*AES-256-CBC[\s\S]*hmacWithSHA256/);
  });

  it('asks a guesser for 600,000 rounds per key and 200,000 for the MAC, and leaves the event loop free', async () => {
    let longest = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    const token = await FileToken.open({ name: 'token', file: fileOf(), passphrase: 'secret' });
    await token.generateKey('P-256');
    await FileToken.open({ name: 'token', file: fileOf(), passphrase: 'secret' });
    clearInterval(timer);
    const text = readFileSync(fileOf()).toString('hex');
    assert.ok(text.includes('02030927c0') && text.includes('0203030d40'));
    // A call that blocks for the whole derivation takes several times as long.
    assert.ok(longest < 100, `${longest} ms`);
  });

  it('destroys a key for good', async () => {
    const token = await open();
    const [gone, kept] = [await token.generateKey('P-256'), await token.generateKey('P-256')];
    await token.destroyKey(gone);
    await token.destroyKey(gone);
    assert.deepEqual([...(await open()).keys().keys()], [kept]);
  });

  it('does one change after the other', async () => {
    const token = await open();
    const made = await Promise.all([1, 2, 3, 4].map(() => token.generateKey('P-256')));
    assert.deepEqual([...(await open()).keys().keys()].sort(), made.sort());
  });

  describe('refuses', () => {
    it('an empty passphrase', () => assert.rejects(open({ passphrase: '' }), { code: 'ERR_INVALID_CONFIG' }));

    it('a wrong passphrase, without quoting it', async () => {
      await (await open()).generateKey('P-256');
      await assert.rejects(open({ passphrase: 'hunter2' }), (error: Error & { code: string }) => {
        assert.equal(error.code, 'ERR_WRONG_PASSPHRASE');
        assert.doesNotMatch(error.message, /hunter2/);
        return true;
      });
    });

    it('a file that is damaged anywhere', async () => {
      await (await open()).generateKey('Ed25519');
      const bytes = readFileSync(fileOf());
      for (let at = 0; at < bytes.length; at += 3) {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ 0x10;
        writeFileSync(fileOf(), changed);
        await assert.rejects(
          open(),
          ({ code }: { code: string }) => code === 'ERR_IDENTITY_UNREADABLE' || code === 'ERR_WRONG_PASSPHRASE',
          `byte ${at}`,
        );
      }
    });

    for (const [what, content] of [
      ['an empty file', ''],
      ['a file that is something else', 'garbage'],
      ['half a file', undefined],
    ] as const) {
      it(what, async () => {
        await (await open()).generateKey('P-256');
        const half = readFileSync(fileOf()).subarray(0, 100);
        writeFileSync(fileOf(), content ?? half);
        await assert.rejects(open(), { code: 'ERR_IDENTITY_UNREADABLE' });
      });
    }

    it('a folder', () => assert.rejects(open({ file: folder }), { code: 'ERR_CRYPTO_TOKEN_UNAVAILABLE' }));

    it('a huge file, unread', async () => {
      writeFileSync(fileOf(), Buffer.alloc(5 * 1024 * 1024));
      await assert.rejects(open(), { code: 'ERR_CRYPTO_TOKEN_UNAVAILABLE' });
    });

    it('to write where the folder is gone, and goes on with the keys it has', async () => {
      const token = await open({ file: join(folder, 'none', 'token.p12') });
      await assert.rejects(token.generateKey('P-256'), { code: 'ERR_CRYPTO_TOKEN_UNAVAILABLE' });
      assert.equal(token.keys().size, 0);
    });

    it('to write when the disk does not let it; the former file stays', async () => {
      const token = await open();
      const kept = await token.generateKey('P-256');
      mkdirSync(`${fileOf()}.new`);
      await assert.rejects(token.generateKey('P-256'), { code: 'ERR_CRYPTO_TOKEN_UNAVAILABLE' });
      await assert.rejects(token.destroyKey(kept), { code: 'ERR_CRYPTO_TOKEN_UNAVAILABLE' });
      assert.deepEqual([...(await open()).keys().keys()], [kept]);
    });

    it('to write into a folder that is read-only; the former file stays', async function () {
      if (process.getuid?.() === 0) {
        console.log('      skipped: root may write everywhere');
        return this.skip();
      }
      const token = await open();
      const kept = await token.generateKey('P-256');
      chmodSync(folder, 0o500);
      await assert.rejects(token.generateKey('P-256'), { code: 'ERR_CRYPTO_TOKEN_UNAVAILABLE' });
      await assert.rejects(token.destroyKey(kept), { code: 'ERR_CRYPTO_TOKEN_UNAVAILABLE' });
      assert.deepEqual([...token.keys().keys()], [kept]);
      assert.deepEqual([...(await open()).keys().keys()], [kept]);
    });

    it('to write over what another process has written', async () => {
      const [mine, other] = [await open(), await open()];
      const kept = await other.generateKey('P-256');
      await assert.rejects(mine.generateKey('P-256'), { code: 'ERR_CRYPTO_TOKEN_UNAVAILABLE' });
      assert.deepEqual([...(await open()).keys().keys()], [kept]);
    });
  });
});
