import assert from 'node:assert/strict';
import { verify } from 'node:crypto';
import { createRequire } from 'node:module';
import { algorithmOf, keyFingerprintOf, TOKEN_KEY_ALGORITHMS } from '../../../lib/keybinding/crypto-token.ts';
import { Pkcs11Token, type Pkcs11TokenOptions } from '../../../lib/keybinding/pkcs11-token.ts';
import { signatureAlgorithmOf } from '../../../lib/x509/signature-algorithm.ts';
import type { SigningKey } from '../../../lib/x509/signing-key.ts';
import { makeSoftHsmToken, missingSoftHsm } from '../../helpers/softhsm.ts';

const SAMPLE = Buffer.from('an answer');

describe('crypto token in a PKCS#11 device', () => {
  let device: Pkcs11TokenOptions;
  const opened: Pkcs11Token[] = [];

  const open = async (options: Partial<Pkcs11TokenOptions> = {}): Promise<Pkcs11Token> => {
    const token = await Pkcs11Token.open({ ...device, ...options });
    opened.push(token);
    return token;
  };
  const closeAll = async (): Promise<void> => {
    for (const token of opened.splice(0)) await token.close();
  };
  const reopen = async (): Promise<Pkcs11Token> => {
    await closeAll();
    return open();
  };
  const keyOf = (token: Pkcs11Token, fingerprint: string): SigningKey => {
    const key = token.keys().get(fingerprint);
    assert.ok(key);
    return key;
  };
  const signs = async ({ publicKey, sign }: SigningKey): Promise<boolean> =>
    verify(signatureAlgorithmOf(publicKey).digest, SAMPLE, publicKey, await sign(SAMPLE));
  /** The library of this process, past the token: what an administrator or a failing device does. */
  const behindItsBack = () => {
    const { PKCS11 } = createRequire(import.meta.url)('pkcs11js') as typeof import('pkcs11js');
    const library = new PKCS11();
    library.load(device.library);
    const isDevice = (each: Buffer): boolean => library.C_GetTokenInfo(each).label.trimEnd() === device.slot.value;
    const slot = library.C_GetSlotList(true).find(isDevice);
    assert.ok(slot);
    return { library, slot };
  };

  before(function () {
    if (missingSoftHsm === undefined) return;
    console.log(`      skipped: ${missingSoftHsm}`);
    this.skip();
  });

  beforeEach(() => {
    device = makeSoftHsmToken();
  });

  afterEach(closeAll);

  for (const algorithm of TOKEN_KEY_ALGORITHMS) {
    it(`makes a ${algorithm} key that signs, before and after a restart`, async () => {
      const token = await open();
      const fingerprint = await token.generateKey(algorithm);
      assert.ok(await signs(keyOf(token, fingerprint)));
      const key = keyOf(await reopen(), fingerprint);
      assert.equal(keyFingerprintOf(key.publicKey), fingerprint);
      assert.equal(algorithmOf(key.publicKey), algorithm);
      assert.ok(await signs(key));
    });
  }

  it('never lets a private key out', async () => {
    await (await open()).generateKey('P-256');
    const { library, slot } = behindItsBack();
    const session = library.C_OpenSession(slot, 4);
    library.C_FindObjectsInit(session, [{ type: 0, value: 3 }]);
    const [handle] = library.C_FindObjects(session, 1);
    library.C_FindObjectsFinal(session);
    assert.ok(handle);
    const [sensitive, extractable] = library.C_GetAttributeValue(session, handle, [{ type: 0x103 }, { type: 0x162 }]);
    assert.deepEqual([sensitive?.value, extractable?.value], [Buffer.of(1), Buffer.of(0)]);
    assert.throws(() => library.C_GetAttributeValue(session, handle, [{ type: 0x11 }]), /CKR_ATTRIBUTE_SENSITIVE/);
    library.C_CloseSession(session);
  });

  it('makes many signatures at once, and the event loop goes on', async () => {
    const token = await open();
    const key = keyOf(token, await token.generateKey('P-384'));
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const all = await Promise.all(Array.from({ length: 200 }, () => signs(key)));
    clearInterval(timer);
    assert.ok(all.every(Boolean));
    assert.ok(turns > 1, `${turns} turns`);
  });

  it('destroys a key for good, and leaves the others', async () => {
    const token = await open();
    const [gone, kept] = [await token.generateKey('P-256'), await token.generateKey('P-256')];
    const key = keyOf(token, gone);
    await token.destroyKey(gone);
    await token.destroyKey(gone);
    await assert.rejects(key.sign(SAMPLE), { code: 'ERR_CRYPTO_TOKEN_UNAVAILABLE' });
    assert.deepEqual([...(await reopen()).keys().keys()], [kept]);
  });

  it('shares a device with tokens of other labels, and does not see their keys', async () => {
    const [one, other] = [await open(), await open({ keyLabel: 'ocsp 2' })];
    const [mine, theirs] = [await one.generateKey('P-256'), await other.generateKey('P-256')];
    await one.close();
    assert.ok(await signs(keyOf(other, theirs)), 'it is still logged in');
    assert.deepEqual([...(await open()).keys().keys()], [mine]);
  });

  for (const by of ['id', 'index'] as const) {
    it(`finds its slot by ${by}`, async () => {
      // The library sees a new device when it is opened.
      await reopen();
      await closeAll();
      const { library, slot } = behindItsBack();
      const index = library.C_GetSlotList(true).findIndex((each) => each.equals(slot));
      const value = String(by === 'id' ? slot.readUInt32LE() : index);
      const token = await open({ slot: { by, value } });
      assert.ok(await signs(keyOf(token, await token.generateKey('P-256'))));
    });
  }

  it('opens its sessions again after the device has dropped them', async () => {
    const token = await open();
    const key = keyOf(token, await token.generateKey('P-256'));
    for (let round = 0; round < 3; round++) {
      const { library, slot } = behindItsBack();
      library.C_CloseAllSessions(slot);
      assert.ok(await signs(key));
    }
  });

  describe('refuses', () => {
    it('a wrong authentication code, without quoting it', async () => {
      await assert.rejects(open({ pin: '98761234' }), { code: 'ERR_WRONG_PASSPHRASE', message: /^((?!98761234).)*$/ });
      assert.deepEqual([...(await open()).keys()], []);
    });

    it('a wrong code although somebody is logged in with the right one', async () => {
      await open();
      await assert.rejects(open({ keyLabel: 'ocsp 2', pin: '4321' }), { code: 'ERR_WRONG_PASSPHRASE' });
    });

    it('to be opened twice under one label', async () => {
      const both = await Promise.allSettled([open(), open()]);
      const refused = both.flatMap((each) => (each.status === 'rejected' ? [each.reason.code] : []));
      assert.deepEqual(refused, ['ERR_INVALID_CONFIG']);
    });

    for (const [what, fields, code] of [
      ['a token that is not there', { slot: { by: 'label', value: 'none' } }, 'ERR_CRYPTO_TOKEN_UNAVAILABLE'],
      ['a slot that is not there', { slot: { by: 'index', value: '999' } }, 'ERR_CRYPTO_TOKEN_UNAVAILABLE'],
      ['a slot that is no number', { slot: { by: 'id', value: 'abc' } }, 'ERR_CRYPTO_TOKEN_UNAVAILABLE'],
      ['a library that is not there', { library: '/none/libpkcs11.so' }, 'ERR_CRYPTO_TOKEN_UNAVAILABLE'],
      ['a library that is none', { library: import.meta.filename }, 'ERR_CRYPTO_TOKEN_UNAVAILABLE'],
      ['no library', { library: '' }, 'ERR_INVALID_CONFIG'],
      ['no slot', { slot: { by: 'label', value: '' } }, 'ERR_INVALID_CONFIG'],
      ['no authentication code', { pin: '' }, 'ERR_INVALID_CONFIG'],
      ['no label', { keyLabel: '' }, 'ERR_INVALID_CONFIG'],
    ] as const) {
      it(what, () => assert.rejects(open(fields), { code }));
    }

    it('to sign with a key that somebody else has destroyed', async () => {
      const token = await open();
      const key = keyOf(token, await token.generateKey('P-256'));
      const { library, slot } = behindItsBack();
      const session = library.C_OpenSession(slot, 2 | 4);
      library.C_FindObjectsInit(session, [{ type: 0, value: 3 }]);
      for (const handle of library.C_FindObjects(session, 10)) library.C_DestroyObject(session, handle);
      library.C_FindObjectsFinal(session);
      library.C_CloseSession(session);
      await assert.rejects(key.sign(SAMPLE), { code: 'ERR_CRYPTO_TOKEN_UNAVAILABLE', message: /not in the token/ });
    });

    it('whatever is asked after it was closed', async () => {
      const token = await open();
      const key = keyOf(token, await token.generateKey('P-256'));
      await closeAll();
      for (const late of [key.sign(SAMPLE), token.generateKey('P-256')]) {
        await assert.rejects(late, { code: 'ERR_CRYPTO_TOKEN_UNAVAILABLE' });
      }
    });
  });
});
