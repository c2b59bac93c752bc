import assert from 'node:assert/strict';
import { hash, randomBytes } from 'node:crypto';
import { PeerError } from '../../../lib/errors.ts';
import type { OcspBinding, OcspProperties, OcspSigner } from '../../../lib/keybinding/ocsp-signer.ts';
import { OcspResponder } from '../../../lib/ocsp/ocsp-responder.ts';
import { readCertificate } from '../../../lib/x509/certificate.ts';
import { explicit, octetString } from '../../../lib/x509/der-writer.ts';
import { publicKeyBits } from '../../../lib/x509/public-key-bits.ts';
import { softwareKey } from '../../../lib/x509/signing-key.ts';
import { daysFromNow, issue, issueRootCa } from '../../helpers/test-pki.ts';
import { ON_HOLD, REVOKED, row } from '../store/rows.ts';
import { certId, HASHES, isSignedBy, ocspRequest, readAnswer, statusOf } from './ocsp-messages.ts';
import { CA_NAME, issueSigner, OCSP_KEYS, type OcspSide, openOcspSide, TestBinding, toSigner } from './ocsp-side.ts';

const MALFORMED = 1;
const INTERNAL_ERROR = 2;
const TRY_LATER = 3;
const UNAUTHORIZED = 6;
const HOUR = 3_600_000;

describe('OCSP responder', () => {
  const sides: OcspSide[] = [];
  const open = async (...parameters: Parameters<typeof openOcspSide>): Promise<OcspSide> => {
    const side = await openOcspSide(...parameters);
    sides.push(side);
    return side;
  };
  afterEach(() => Promise.all(sides.splice(0).map((side) => side.close())));

  const ask = async (side: OcspSide, serial: string, nonce?: Uint8Array) =>
    readAnswer(
      await side.ask(ocspRequest([certId(side.ca.certificate, serial)], nonce === undefined ? {} : { nonce })),
    );
  const sayOf = async (side: OcspSide, serial: string) => {
    const [single] = (await ask(side, serial)).singles;
    return [single?.kind, single?.revocationTime, single?.reason];
  };

  describe('says', () => {
    const since = 1_780_000_000_000;
    const table: [string, object, readonly unknown[]][] = [
      ['good of an active certificate', {}, ['good', undefined, undefined]],
      ['good of one whose holder was notified', { status: 21 }, ['good', undefined, undefined]],
      ['good of one that is kept after its expiry', { status: 60 }, ['good', undefined, undefined]],
      ['good of one that is not used yet', { status: 10 }, ['good', undefined, undefined]],
      ...[0, 1, 2, 3, 4, 5, 6, 9, 10].map((reason): [string, object, unknown[]] => [
        `revoked, since when and why, with reason ${reason}`,
        { status: 40, revocationReason: reason, revocationDate: since },
        ['revoked', since, reason],
      ]),
      [
        'revoked of one that was kept after its expiry',
        { status: 60, revocationReason: 1, revocationDate: since },
        ['revoked', since, 1],
      ],
      [
        'revoked without a reason that nobody knows',
        { status: 40, revocationReason: -1, revocationDate: since },
        ['revoked', since, undefined],
      ],
      [
        'revoked since the change where nobody knows since when',
        { status: 40, revocationReason: 4, revocationDate: -1, updateTime: since },
        ['revoked', since, 4],
      ],
    ];
    for (const [what, change, expected] of table) {
      it(what, async () => {
        const side = await open();
        await side.publish(row(1, change));
        assert.deepEqual(await sayOf(side, '1001'), expected);
      });
    }

    it('unknown of a serial number that is not in the store', async () => {
      assert.deepEqual(await sayOf(await open(), '1'), ['unknown', undefined, undefined]);
    });

    it('revoked of two rows where one is revoked for good, otherwise the newest', async () => {
      const side = await open();
      const same = { serialNumber: '77', issuerDN: CA_NAME };
      await side.publish(row(1, { ...same, ...REVOKED, updateTime: 5 }), row(2, { ...same, updateTime: 9 }));
      assert.equal((await sayOf(side, '77'))[0], 'revoked');
      const other = { serialNumber: '78' };
      await side.publish(row(3, { ...other, ...ON_HOLD, updateTime: 5 }), row(4, { ...other, updateTime: 9 }));
      assert.equal((await sayOf(side, '78'))[0], 'good');
    });

    it('on hold, and good again when the hold is lifted', async () => {
      const side = await open();
      await side.publish(row(1));
      assert.equal((await sayOf(side, '1001'))[0], 'good');
      await side.publish(row(1, { ...ON_HOLD, updateTime: 1_780_000_001_000 }));
      assert.deepEqual(await sayOf(side, '1001'), ['revoked', Math.floor(ON_HOLD.revocationDate / 1000) * 1000, 6]);
      await side.publish(row(1, { updateTime: 1_780_000_002_000 }));
      assert.deepEqual(await sayOf(side, '1001'), ['good', undefined, undefined]);
    });

    it('since when it knows of an expired certificate, and only then', async () => {
      const side = await open();
      await side.publish(row(1, { expireDate: side.time.now - 1 }), row(2), row(3, { expireDate: -1 }));
      const notBefore = readCertificate(side.ca.certificate).notBefore;
      assert.equal((await ask(side, '1001')).singles[0]?.archiveCutoff, notBefore);
      assert.equal((await ask(side, '1002')).singles[0]?.archiveCutoff, undefined);
      assert.equal((await ask(side, '1003')).singles[0]?.archiveCutoff, undefined);
    });
  });

  describe('of certificates that are not in the store says', () => {
    const expected: Record<OcspProperties['nonExisting'], unknown[] | number> = {
      good: ['good', undefined, undefined],
      unknown: ['unknown', undefined, undefined],
      revoked: ['revoked', 0, 6],
      unauthorized: UNAUTHORIZED,
    };
    for (const [nonExisting, say] of Object.entries(expected)) {
      it(`what the binding has: ${nonExisting}`, async () => {
        const side = await open({ nonExisting: nonExisting as OcspProperties['nonExisting'] });
        await side.publish(row(1));
        const der = await side.ask(ocspRequest([certId(side.ca.certificate, '5')]));
        if (typeof say === 'number') assert.equal(statusOf(der), say);
        else assert.deepEqual(await sayOf(side, '5'), say);
        assert.equal((await sayOf(side, '1001'))[0], 'good');
      });
    }

    it('that it calls them revoked although they may never have been issued', async () => {
      const side = await open({ nonExisting: 'revoked' });
      await side.publish(row(1, REVOKED));
      const extendedRevoke = '2b0601050507300109';
      assert.ok((await ask(side, '5')).extensions.includes(extendedRevoke));
      assert.ok(!(await ask(side, '1001')).extensions.includes(extendedRevoke));
    });

    it('unauthorized for all where one of several is missing', async () => {
      const side = await open({ nonExisting: 'unauthorized' });
      await side.publish(row(1));
      const ids = ['1001', '5'].map((serial) => certId(side.ca.certificate, serial));
      assert.equal(statusOf(await side.ask(ocspRequest(ids))), UNAUTHORIZED);
    });
  });

  describe('of CAs', () => {
    const stranger = issueRootCa('CN=Stranger');

    it('that none answers for says unauthorized', async () => {
      const side = await open();
      assert.equal(statusOf(await side.ask(ocspRequest([certId(stranger.certificate, '1')]))), UNAUTHORIZED);
    });

    it('says unauthorized when only the name or only the key is right', async () => {
      const side = await open();
      const sameName = issueRootCa(CA_NAME);
      const sameKey = issue('self', { subjectDN: 'CN=Other', ca: true }, () => side.ca.privateKey);
      for (const { certificate } of [sameName, sameKey]) {
        assert.equal(statusOf(await side.ask(ocspRequest([certId(certificate, '1001')]))), UNAUTHORIZED);
      }
    });

    it('that none answers for says unknown as the default responder', async () => {
      for (const nonExisting of ['unknown', 'good', 'revoked'] as const) {
        const side = await open({ isDefaultResponder: true, nonExisting });
        const answer = readAnswer(await side.ask(ocspRequest([certId(stranger.certificate, '1')])));
        assert.equal(answer.singles[0]?.kind, 'unknown');
        assert.ok(isSignedBy(answer, side.signer.certificate));
      }
      const side = await open({ isDefaultResponder: true, nonExisting: 'unauthorized' });
      assert.equal(statusOf(await side.ask(ocspRequest([certId(stranger.certificate, '1')]))), UNAUTHORIZED);
    });

    it('answers for several with one binding, and with the right one of several', async () => {
      const side = await open();
      const second = issueRootCa('CN=Second CA');
      const third = issueRootCa('CN=Third CA');
      const other = new TestBinding([second, third], issueSigner(second));
      side.bindings.push(other);
      await side.publish(row(1), row(2, { issuerDN: 'CN=Second CA' }), row(3, { issuerDN: 'CN=Third CA', ...REVOKED }));
      for (const [ca, serial, kind, signer] of [
        [side.ca, '1001', 'good', side.signer.certificate],
        [second, '1002', 'good', other.current!.certificate],
        [third, '1003', 'revoked', other.current!.certificate],
        [third, '1002', 'unknown', other.current!.certificate],
      ] as const) {
        const answer = readAnswer(await side.ask(ocspRequest([certId(ca.certificate, serial)])));
        assert.equal(answer.singles[0]?.kind, kind);
        assert.ok(isSignedBy(answer, signer));
      }
    });

    it('of one name and two keys tells their certificates apart, where rows name their CA', async () => {
      const side = await open();
      const renewed = issueRootCa(CA_NAME);
      side.binding.served = [side.ca.certificate, renewed.certificate];
      const [first, second] = [side.ca, renewed].map((ca) => readCertificate(ca.certificate).fingerprint);
      await side.publish(
        row(1, { serialNumber: '5', caFingerprint: first as string }),
        row(2, { serialNumber: '5', caFingerprint: second as string, ...REVOKED }),
      );
      const kindOf = async (ca: Uint8Array) =>
        readAnswer(await side.ask(ocspRequest([certId(ca, '5')]))).singles[0]?.kind;
      assert.equal(await kindOf(side.ca.certificate), 'good');
      assert.equal(await kindOf(renewed.certificate), 'revoked');
    });

    it('takes the binding that can sign, where two answer for one', async () => {
      const side = await open();
      const other = new TestBinding([side.ca], issueSigner(side.ca));
      side.bindings.push(other);
      side.binding.current = undefined;
      assert.ok(isSignedBy(await ask(side, '1'), other.current!.certificate));
    });

    it('goes on for the others when one certificate is none', async () => {
      const side = await open();
      side.binding.served = [Buffer.from('no certificate'), side.ca.certificate];
      assert.equal((await sayOf(side, '1'))[0], 'unknown');
    });
  });

  describe('writes', () => {
    for (const algorithm of Object.keys(HASHES) as (keyof typeof HASHES)[]) {
      it(`the CertID as it was asked, with ${algorithm}`, async () => {
        const side = await open();
        await side.publish(row(1));
        for (const parameters of [undefined, new Uint8Array(0)]) {
          const id = certId(side.ca.certificate, '1001', { algorithm, ...(parameters && { parameters }) });
          const [single] = readAnswer(await side.ask(ocspRequest([id]))).singles;
          assert.deepEqual([single?.certId, single?.kind], [Buffer.from(id), 'good']);
        }
      });
    }

    it('the responder by key or by name', async () => {
      const side = await open();
      const { spki, subjectDer } = readCertificate(side.signer.certificate);
      const byKey = explicit(2, octetString(hash('sha1', publicKeyBits(spki), 'buffer')));
      assert.deepEqual((await ask(side, '1')).responderId, Buffer.from(byKey));
      side.binding.properties = { ...side.binding.properties, responderId: 'name' };
      assert.deepEqual((await ask(side, '1')).responderId, Buffer.from(explicit(1, subjectDer)));
    });

    it('times in whole seconds, and the validity of the binding', async () => {
      const side = await open();
      side.time.now = 1_790_000_000_999;
      const answer = await ask(side, '1');
      assert.equal(answer.producedAt, 1_790_000_000_000);
      const [single] = answer.singles;
      assert.deepEqual([single?.thisUpdate, single?.nextUpdate], [1_790_000_000_000, 1_790_000_000_000 + 8 * HOUR]);
    });

    it('no nextUpdate where newer information is always available', async () => {
      const side = await open({ responseValidityMs: 0 });
      assert.equal((await ask(side, '1')).singles[0]?.nextUpdate, undefined);
      await ask(side, '1');
      assert.equal(side.responder.counters().signed, 2);
    });

    it('no nextUpdate beyond the end of the signing certificate', async () => {
      const side = await open();
      const notAfter = daysFromNow(0).getTime() + HOUR;
      side.binding.current = toSigner(issueSigner(side.ca, undefined, { notAfter: new Date(notAfter) }));
      assert.equal((await ask(side, '1')).singles[0]?.nextUpdate, notAfter);
    });

    it('the certificates that the binding wants, and never a root', async () => {
      const side = await open();
      const root = issueRootCa('CN=Root');
      const sub = issue(root, { subjectDN: CA_NAME, ca: true });
      const signer = issueSigner(sub);
      side.binding.current = toSigner(signer, [sub.certificate, root.certificate]);
      side.binding.served = [sub.certificate];
      const certificatesWith = async (change: Partial<OcspProperties>) => {
        side.binding.properties = { ...side.binding.properties, ...change };
        return readAnswer(await side.ask(ocspRequest([certId(sub.certificate, '1')]))).certificates;
      };
      const [first, second] = [signer.certificate, sub.certificate].map((der) => Buffer.from(der));
      assert.deepEqual(await certificatesWith({}), [first]);
      assert.deepEqual(await certificatesWith({ includeChain: true }), [first, second]);
      assert.deepEqual(await certificatesWith({ includeSigningCertificate: false }), []);
    });

    for (const length of [1, 16, 32, 128]) {
      it(`a nonce of ${length} bytes back`, async () => {
        const side = await open();
        const nonce = randomBytes(length);
        assert.deepEqual((await ask(side, '1', nonce)).nonce, nonce);
      });
    }

    it('no nonce where the binding has none', async () => {
      const side = await open({ nonce: false });
      assert.equal((await ask(side, '1', randomBytes(32))).nonce, undefined);
      await ask(side, '1');
      assert.equal(side.responder.counters().signed, 1);
    });

    for (const [kind, makeKey] of Object.entries(OCSP_KEYS)) {
      it(`signatures with ${kind}`, async () => {
        const side = await open({}, makeKey);
        await side.publish(row(1));
        const answer = await ask(side, '1001');
        assert.ok(isSignedBy(answer, side.signer.certificate));
        assert.deepEqual(answer.certificates, [Buffer.from(side.signer.certificate)]);
      });
    }

    it('answers of the CA itself', async () => {
      const side = await open();
      side.binding.current = toSigner(side.ca);
      assert.ok(isSignedBy(await ask(side, '1'), side.ca.certificate));
    });

    it('one answer for many certificates, in their order', async () => {
      const side = await open();
      await side.publish(row(1), row(2, REVOKED));
      const stranger = issueRootCa('CN=Stranger');
      const ids = [
        ...['1001', '1002', '1003'].map((serial) => certId(side.ca.certificate, serial)),
        certId(stranger.certificate, '1001'),
        certId(side.ca.certificate, '1001', { algorithm: 'sha256' }),
      ];
      const { singles } = readAnswer(await side.ask(ocspRequest(ids)));
      assert.deepEqual(
        singles.map((single) => single.kind),
        ['good', 'revoked', 'unknown', 'unknown', 'good'],
      );
      assert.deepEqual(
        singles.map((single) => single.certId),
        ids.map((id) => Buffer.from(id)),
      );
    });
  });

  describe('refuses', () => {
    it('what is no request', async () => {
      const side = await open();
      assert.equal(statusOf(await side.ask(Buffer.from('hello'))), MALFORMED);
      assert.equal(statusOf(await side.ask(new Uint8Array(100_000))), MALFORMED);
      const whole = ocspRequest([certId(side.ca.certificate, '1')], { nonce: randomBytes(8) });
      for (let at = 0; at < whole.length; at++) {
        assert.equal(statusOf(await side.ask(whole.subarray(0, at))), MALFORMED);
      }
    });

    it('for a moment, while the binding cannot sign', async () => {
      const side = await open();
      side.binding.current = undefined;
      assert.equal(statusOf(await side.ask(ocspRequest([certId(side.ca.certificate, '1')]))), TRY_LATER);
    });

    it('for a moment, while the store cannot be read', async () => {
      const side = await open();
      await side.store.close();
      assert.equal(statusOf(await side.ask(ocspRequest([certId(side.ca.certificate, '1')]))), TRY_LATER);
      assert.equal(side.events.at(-1)?.cause?.code, 'ERR_STORE_UNAVAILABLE');
    });

    it('when key and certificate do not belong together', async () => {
      const side = await open();
      side.binding.current = { ...toSigner(issueSigner(side.ca)), key: softwareKey(side.ca.privateKey) };
      assert.equal(statusOf(await side.ask(ocspRequest([certId(side.ca.certificate, '1')]))), INTERNAL_ERROR);
      assert.equal(side.events.at(-1)?.cause?.code, 'ERR_INVALID_CONFIG');
    });

    it('without a word of the cause, whatever fails inside', async () => {
      const side = await open();
      const failing = (error: Error): OcspResponder =>
        new OcspResponder({
          store: side.store,
          bindings: (): readonly OcspBinding[] => {
            throw error;
          },
        });
      const request = ocspRequest([certId(side.ca.certificate, '1')]);
      assert.equal(statusOf((await failing(new Error('secret')).answer(request)).der), INTERNAL_ERROR);
      assert.equal(statusOf((await failing(new PeerError('ERR_STORE_FULL', 'x')).answer(request)).der), TRY_LATER);
    });

    it('new work while too many signatures wait, and answers all others', async () => {
      const side = await open({}, OCSP_KEYS['RSA 2048']);
      const { key, ...signer } = side.binding.current as OcspSigner;
      // No signature ends before all others are refused.
      let release = (): void => undefined;
      const refused = new Promise<void>((resolve) => {
        release = resolve;
      });
      const sign = (data: Uint8Array) => refused.then(() => key.sign(data));
      side.binding.current = { ...signer, key: { ...key, sign } };
      let waiting = 200;
      const requests = Array.from({ length: 1_200 }, async (_, i) => {
        const status = statusOf(await side.ask(ocspRequest([certId(side.ca.certificate, String(i))])));
        if (status === TRY_LATER && --waiting === 0) release();
        return status;
      });
      const statuses = await Promise.all(requests);
      assert.equal(statuses.filter((status) => status === 0).length, 1_000);
      assert.equal(statuses.filter((status) => status === TRY_LATER).length, 200);
    }).timeout(30_000);
  });

  it('counts and tells what it did', async () => {
    const side = await open();
    await side.publish(row(1), row(2, REVOKED));
    await ask(side, '1001');
    await ask(side, '1001');
    await ask(side, '1002');
    await ask(side, '9');
    await side.ask(Buffer.from('x'));
    const { cachedBytes, ...counters } = side.responder.counters();
    assert.ok(cachedBytes > 1_500 && cachedBytes < 10_000);
    assert.deepEqual(counters, {
      requests: 5,
      good: 2,
      revoked: 1,
      unknown: 1,
      errors: { malformedRequest: 1, internalError: 0, tryLater: 0, unauthorized: 0 },
      cacheHits: 1,
      signed: 3,
      cachedAnswers: 3,
    });
    assert.deepEqual(
      side.events.map(({ status, isFromCache, certificates }) => [status, isFromCache, certificates]),
      [
        ['successful', false, [{ serialNumber: '1001', certStatus: 'good' }]],
        ['successful', true, [{ serialNumber: '1001', certStatus: 'good' }]],
        ['successful', false, [{ serialNumber: '1002', certStatus: 'revoked' }]],
        ['successful', false, [{ serialNumber: '9', certStatus: 'unknown' }]],
        ['malformedRequest', false, []],
      ],
    );
    assert.equal(side.events.at(-1)?.cause?.code, 'ERR_MALFORMED_MESSAGE');
  });
});
