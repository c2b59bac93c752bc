/**
 * What every own certificate store must do. Each store's test runs this suite on itself.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { CertificateData } from '../../../lib/store/certificate-data.ts';
import { fromColumns, ROW_ITEMS, readRows, toColumns } from '../../../lib/store/certificate-row.ts';
import type { CertificateStore } from '../../../lib/store/certificate-store.ts';
import { readRangesAnswer, readRowsAnswer } from '../../../lib/store/range-comparison.ts';
import { BUCKETS, pick } from '../../../lib/store/range-sums.ts';
import { EVERY_ROW, passesFilter, type RowFilter } from '../../../lib/store/row-filter.ts';
import { ALL_CAS, onlyCas } from '../../../lib/x509/ca-scope.ts';
import { chance, ON_HOLD, REVOKED, row, rowWithBody, stream } from './rows.ts';

/**
 * @param open gives an empty store; the same name, later, gives what was kept under it
 */
export function describeCertificateStore(kind: string, open: (name: string) => Promise<CertificateStore>): void {
  describe(`${kind} as a certificate store`, () => {
    const opened: CertificateStore[] = [];
    let number = 0;

    const openStore = async (name = `store${Date.now()}x${number++}`): Promise<CertificateStore> => {
      const store = await open(name);
      opened.push(store);
      return store;
    };

    afterEach(async () => {
      await Promise.all(opened.splice(0).map((store) => store.close()));
    });

    const write = async (store: CertificateStore, ...rows: readonly CertificateData[]): Promise<string> =>
      (await store.writeRows([stream(...rows)], ALL_CAS)).verdicts;
    const all = (store: CertificateStore): Promise<readonly CertificateData[]> => store.list({ limit: 100_000 });
    const codes = async (store: CertificateStore, ...rows: readonly CertificateData[]): Promise<readonly string[]> =>
      (await store.writeRows([stream(...rows)], ALL_CAS)).refusals.map((refusal) => refusal.code);

    it('gives back what it was given, byte for byte', async () => {
      const store = await openStore();
      const full = rowWithBody(randomBytes(1_234), {
        issuerDN: 'CN=Ünïcode CA 🌍,O=a\\,b',
        subjectDN: '',
        serialNumber: '-12345678901234567890123456789012345678901234567890',
        caFingerprint: 'ab'.repeat(20),
        subjectKeyId: Buffer.from('key id').toString('base64'),
        type: 8,
        tag: 'P',
        crlPartitionIndex: 7,
        certificateProfileId: -1,
        username: 'Jürgen',
        notBefore: -1,
        expireDate: 253_402_300_799_000,
      });
      assert.equal(await write(store, full), 's');
      assert.deepEqual(await store.findByFingerprint(full.fingerprint), full);
    });

    for (const serialNumber of [
      '0',
      '-1',
      '127',
      '128',
      '-128',
      '-129',
      `${2n ** 159n}`,
      `${-(2n ** 320n)}`,
      `${2n ** 640n}`,
    ]) {
      it(`finds by issuer and serial number ${serialNumber.slice(0, 20)}`, async () => {
        const store = await openStore();
        const one = row(1, { serialNumber });
        await write(store, one, row(2, { serialNumber, issuerDN: 'CN=Other' }));
        assert.deepEqual(await store.findBySerialNumber(one.issuerDN, serialNumber), [one]);
      });
    }

    it('finds all certificates of one issuer and serial number, the newest first', async () => {
      const store = await openStore();
      const older = row(1, { serialNumber: '5' });
      const newer = row(2, { serialNumber: '5', updateTime: older.updateTime + 1 });
      await write(store, older, newer);
      assert.deepEqual(await store.findBySerialNumber(older.issuerDN, '5'), [newer, older]);
    });

    it('finds nothing that is not there', async () => {
      const store = await openStore();
      await write(store, row(1));
      assert.equal(await store.findByFingerprint('00'.repeat(20)), undefined);
      assert.deepEqual(await store.findBySerialNumber('CN=Nobody', '1001'), []);
    });

    it('lists in the order of fingerprints, page by page', async () => {
      const store = await openStore();
      const rows = Array.from({ length: 25 }, (_, i) => row(i));
      await write(store, ...rows);
      const seen: string[] = [];
      for (;;) {
        const page = await store.list({ after: seen.at(-1) ?? '', limit: 10 });
        if (page.length === 0) break;
        seen.push(...page.map((each) => each.fingerprint));
      }
      assert.deepEqual(seen, rows.map((each) => each.fingerprint).sort());
    });

    it('counts rows, revoked ones and certificates', async () => {
      const store = await openStore();
      await write(store, row(1), row(2, REVOKED), rowWithBody(randomBytes(9)), row(3, ON_HOLD));
      await write(store, row(3, { updateTime: row(3).updateTime + 9 }), row(1));
      assert.deepEqual(await store.count(), { total: 4, revoked: 1, withCertificate: 1 });
    });

    it('keeps the newer state whatever the order', async () => {
      const older = row(1);
      const newer = row(1, { updateTime: older.updateTime + 1, username: 'new' });
      for (const order of [
        [older, newer],
        [newer, older],
      ]) {
        const store = await openStore();
        for (const each of order) await write(store, each);
        assert.deepEqual(await store.findByFingerprint(older.fingerprint), newer);
      }
    });

    it('says what is new and what changes nothing', async () => {
      const store = await openStore();
      const newer = row(1, { updateTime: row(1).updateTime + 1 });
      assert.equal(await write(store, row(1)), 's');
      assert.equal(await write(store, row(1)), 'u');
      assert.equal(await write(store, newer, row(1), newer, row(2)), 'suus');
    });

    it('never undoes a permanent revocation', async () => {
      const store = await openStore();
      const revoked = row(1, REVOKED);
      await write(store, revoked);
      assert.equal(await write(store, row(1, { updateTime: revoked.updateTime + 1e9 })), 'u');
      assert.equal(await write(store, row(1, { ...ON_HOLD, updateTime: revoked.updateTime + 1e9 })), 'u');
      assert.deepEqual(await store.findByFingerprint(revoked.fingerprint), revoked);
    });

    it('lets a late permanent revocation win over a newer active state', async () => {
      const store = await openStore();
      const revoked = row(1, { ...REVOKED, updateTime: 5 });
      await write(store, row(1));
      assert.equal(await write(store, revoked), 's');
      assert.deepEqual(await store.findByFingerprint(revoked.fingerprint), revoked);
    });

    for (const revocationReason of [8, -1]) {
      it(`takes off hold what comes back with reason ${revocationReason}`, async () => {
        const store = await openStore();
        const back = row(1, { revocationReason, updateTime: row(1).updateTime + 1 });
        await write(store, row(1, ON_HOLD));
        assert.equal(await write(store, back), 's');
        assert.deepEqual(await store.findByFingerprint(back.fingerprint), back);
      });
    }

    it('adds a missing certificate and never takes one away', async () => {
      const store = await openStore();
      const full = rowWithBody(randomBytes(50));
      const bare = { ...full, certificate: null };
      assert.equal(await write(store, bare), 's');
      assert.equal(await write(store, { ...full, updateTime: 1 }), 's');
      assert.equal(await write(store, { ...bare, updateTime: full.updateTime + 1 }), 's');
      assert.deepEqual(await store.findByFingerprint(full.fingerprint), { ...full, updateTime: full.updateTime + 1 });
    });

    it('converges whatever the order, the repetition and the grouping', async function () {
      this.timeout(30_000);
      const random = chance(20_261_123);
      const bodies = Array.from({ length: 6 }, (_, i) => Buffer.alloc(20 + i, i));
      const states = Array.from({ length: 120 }, () => {
        const revoked = [{}, REVOKED, ON_HOLD, { status: 60 }, { ...REVOKED, status: 60 }][random(5)];
        const change = { ...revoked, updateTime: 100 + random(4), username: ['a', 'b', null][random(3)] ?? null };
        const full = rowWithBody(bodies[random(6)] as Buffer, change);
        return random(2) === 0 ? full : { ...full, certificate: null };
      });
      const results = await Promise.all(
        Array.from({ length: 4 }, async () => {
          const store = await openStore();
          const shuffled = [...states, ...states.slice(random(60))].sort(() => random(3) - 1);
          while (shuffled.length > 0) await write(store, ...shuffled.splice(0, 1 + random(20)));
          return all(store);
        }),
      );
      for (const result of results) assert.deepEqual(result, results[0]);
    });

    describe('refuses by itself, without harm to the neighbours,', () => {
      const faults: [string, CertificateData, string][] = [
        [
          'a fingerprint that is not that of the certificate',
          row(1, { certificate: randomBytes(9) }),
          'ERR_INVALID_CERTIFICATE',
        ],
        ['a certificate that is too large', rowWithBody(Buffer.alloc(600_000)), 'ERR_TOO_LARGE'],
        ['a short fingerprint', row(1, { fingerprint: 'abcd' }), 'ERR_MALFORMED_MESSAGE'],
        ['an unknown status', row(1, { status: 21_000 }), 'ERR_MALFORMED_MESSAGE'],
        ['an unknown reason', row(1, { revocationReason: 11 }), 'ERR_MALFORMED_MESSAGE'],
        ['the reason that RFC 5280 leaves out', row(1, { revocationReason: 7 }), 'ERR_MALFORMED_MESSAGE'],
        ['a CRL partition beyond 32 bits', row(1, { crlPartitionIndex: 2 ** 31 }), 'ERR_MALFORMED_MESSAGE'],
        ['a time before all times', row(1, { updateTime: -2 }), 'ERR_MALFORMED_MESSAGE'],
        ['a time after all times', row(1, { expireDate: 9e15 }), 'ERR_MALFORMED_MESSAGE'],
        ['a text with NUL', row(1, { subjectDN: 'CN=a\0b' }), 'ERR_MALFORMED_MESSAGE'],
        ['a text that is too long', row(1, { username: 'x'.repeat(20_000) }), 'ERR_MALFORMED_MESSAGE'],
        ['a negative type', row(1, { type: -1 }), 'ERR_MALFORMED_MESSAGE'],
      ];
      for (const [what, bad, code] of faults) {
        it(what, async () => {
          const store = await openStore();
          assert.deepEqual(await codes(store, row(2), bad, row(3)), [code]);
          assert.equal((await all(store)).length, 2);
        });
      }

      it('a row of a CA that is out of scope', async () => {
        const store = await openStore();
        const foreign = row(1, { issuerDN: 'CN=Other CA' });
        const { verdicts, refusals } = await store.writeRows([stream(row(2), foreign)], onlyCas(['Issuing CA']));
        assert.equal(verdicts, 'sr');
        assert.deepEqual(
          refusals.map(({ index, fingerprint, subjectDN, issuerDN, code }) => [
            index,
            fingerprint,
            subjectDN,
            issuerDN,
            code,
          ]),
          [[1, foreign.fingerprint, foreign.subjectDN, 'CN=Other CA', 'ERR_NOT_AUTHORIZED']],
        );
      });

      it('a row that would take the place of one of another CA', async () => {
        const store = await openStore();
        const theirs = row(1, { issuerDN: 'CN=Other CA' });
        await write(store, theirs);
        const claim = row(1, { ...REVOKED, updateTime: theirs.updateTime + 1 });
        assert.equal((await store.writeRows([stream(claim)], onlyCas(['Issuing CA']))).verdicts, 'r');
        assert.deepEqual(await store.findByFingerprint(theirs.fingerprint), theirs);
      });
    });

    it('writes nothing of a stream it cannot walk', async () => {
      const store = await openStore();
      const good = stream(row(1), row(2));
      const broken = [
        Buffer.concat([good, Buffer.of(0x80 | (ROW_ITEMS - 1))]),
        good.subarray(0, good.length - 1),
        Buffer.concat([Buffer.of(0xff), good]),
        Buffer.from('[]'),
      ];
      for (const bytes of broken)
        await assert.rejects(store.writeRows([bytes], ALL_CAS), { code: 'ERR_MALFORMED_MESSAGE' });
      assert.equal((await store.count()).total, 0);
    });

    it('keeps nothing of a long stream that breaks off behind a CA it did not know', async () => {
      const store = await openStore();
      await write(store, row(1));
      const rows = Array.from({ length: 2_500 }, (_, index) => row(10 + index, { issuerDN: 'CN=New CA' }));
      const bytes = stream(...rows);
      const broken = store.writeRows([bytes.subarray(0, bytes.length - 1)], ALL_CAS);
      const whole = store.writeRows([stream(row(2), row(3, { issuerDN: 'CN=New CA' }))], ALL_CAS);
      await assert.rejects(broken, { code: 'ERR_MALFORMED_MESSAGE' });
      assert.equal((await whole).verdicts, 'ss');
      assert.deepEqual(
        new Set((await all(store)).map((each) => each.fingerprint)),
        new Set([1, 2, 3].map((n) => row(n).fingerprint)),
      );
      assert.equal((await store.count()).total, 3);
    });

    it('reads rows that are split anywhere', async () => {
      const bytes = stream(row(1), row(2), row(3));
      for (const cut of [1, 50, Math.floor(bytes.length / 2), bytes.length - 1]) {
        const store = await openStore();
        const { verdicts } = await store.writeRows([bytes.subarray(0, cut), bytes.subarray(cut)], ALL_CAS);
        assert.equal(verdicts, 'sss');
      }
    });

    it('takes an empty stream', async () => {
      const store = await openStore();
      assert.deepEqual(await store.writeRows([new Uint8Array(0)], ALL_CAS), { verdicts: '', refusals: [] });
    });

    it('serves many calls at once, a broken one among them', async () => {
      const store = await openStore();
      const calls = Array.from({ length: 300 }, (_, i) =>
        store.writeRows([i === 150 ? Buffer.of(0xff) : stream(row(i))], ALL_CAS),
      );
      const results = await Promise.allSettled(calls);
      assert.equal(results.filter((result) => result.status === 'rejected').length, 1);
      assert.equal((await store.count()).total, 299);
    });

    it('keeps everything when it is closed and opened again', async () => {
      const name = `kept${Date.now()}x${number++}`;
      const store = await openStore(name);
      const rows = [row(1), row(2, REVOKED), rowWithBody(randomBytes(90))];
      await write(store, ...rows);
      const before = await all(store);
      await store.close();
      const again = await openStore(name);
      assert.deepEqual(await all(again), before);
      assert.deepEqual(await again.count(), { total: 3, revoked: 1, withCertificate: 1 });
    });

    it('works no more once it is closed', async () => {
      const store = await openStore();
      await store.count();
      await store.close();
      await store.close();
      await assert.rejects(store.count(), { code: 'ERR_STORE_UNAVAILABLE' });
      await assert.rejects(store.writeRows([stream(row(1))], ALL_CAS), { code: 'ERR_STORE_UNAVAILABLE' });
    });

    describe('compares by ranges', () => {
      const filters: [string, RowFilter][] = [
        ['everything', EVERY_ROW],
        ['without certificates', { ...EVERY_ROW, withCertificate: false }],
        ['only revoked', { ...EVERY_ROW, status: 'revoked' }],
        ['only active', { ...EVERY_ROW, status: 'active' }],
        ['of one CA', { ...EVERY_ROW, cas: onlyCas(['Issuing CA']) }],
        ['changed since', { ...EVERY_ROW, changedSince: 1_780_000_000_001 }],
        ['not expired', { ...EVERY_ROW, expiredBefore: 1_790_000_000_000 }],
      ];
      const mixed = (count: number, seed: number): CertificateData[] => {
        const random = chance(seed);
        return Array.from({ length: count }, (_, i) => {
          const change = {
            ...[{}, REVOKED, ON_HOLD][random(3)],
            issuerDN: random(4) === 0 ? 'CN=Other CA' : row(0).issuerDN,
            updateTime: 1_780_000_000_000 + random(3),
            expireDate: 1_780_000_000_000 + random(2) * 20_000_000_000,
          };
          return random(2) === 0 ? row(i, change) : rowWithBody(Buffer.from(`body ${i}`), change);
        });
      };
      const ask = async (a: CertificateStore, b: CertificateStore, filter: RowFilter) => {
        const none = new Uint16Array(0);
        return readRangesAnswer(
          await b.answerRanges((await a.askRanges({ filter, level: 0, parents: none })).body, ALL_CAS),
        );
      };
      const allBuckets = Uint16Array.from({ length: BUCKETS }, (_, bucket) => bucket);

      for (const [what, filter] of filters) {
        it(`${what}: equal when equal, row by row when not`, async () => {
          const [a, b] = [await openStore(), await openStore()];
          const rows = mixed(120, 5);
          await write(a, ...rows);
          await write(b, ...[...rows].reverse());
          const equal = await ask(a, b, filter);
          const meant = rows.filter((each) => passesFilter(toColumns(each), filter));
          assert.deepEqual([equal.bits[0], equal.total], [0, meant.length]);
          const extra = rowWithBody(Buffer.from('extra'), { ...REVOKED, updateTime: 1_780_000_000_009 });
          const extras = [extra, { ...extra, status: 20, revocationReason: -1, revocationDate: -1 }].filter((each) =>
            passesFilter(toColumns(each), filter),
          );
          const [added] = extras;
          assert.ok(added);
          await write(a, added);
          assert.equal((await ask(a, b, filter)).bits[0], 0x80);
          const bucket = pick(allBuckets, await bucketsThatDiffer(a, b, filter));
          assert.deepEqual([...bucket], [Number.parseInt(added.fingerprint.slice(0, 4), 16)]);
          const question = await a.askRows(filter, bucket);
          const { bits } = readRowsAnswer(await b.answerRows(question.body, ALL_CAS));
          const lacking = [
            ...pick(
              Uint16Array.from({ length: question.fingerprints.length / 20 }, (_, i) => i),
              bits,
            ),
          ];
          assert.deepEqual(
            lacking.map((i) => Buffer.from(question.fingerprints.subarray(i * 20, i * 20 + 20)).toString('hex')),
            [added.fingerprint],
          );
          const sent = readRows(
            (
              await a.rowsOf({
                fingerprints: question.fingerprints.subarray((lacking[0] ?? 0) * 20, (lacking[0] ?? 0) * 20 + 20),
                withCertificate: filter.withCertificate,
                maxBytes: 1e6,
              })
            ).rows,
          );
          assert.deepEqual(sent.map(fromColumns), [filter.withCertificate ? added : { ...added, certificate: null }]);
        });
      }

      const bucketsThatDiffer = async (
        a: CertificateStore,
        b: CertificateStore,
        filter: RowFilter,
      ): Promise<Uint8Array> => {
        const parents = Uint16Array.from({ length: BUCKETS / 16 }, (_, i) => i);
        return readRangesAnswer(await b.answerRanges((await a.askRanges({ filter, level: 4, parents })).body, ALL_CAS))
          .bits;
      };

      it('tells which rows only the other side has', async () => {
        const [a, b] = [await openStore(), await openStore()];
        await write(b, row(1));
        const bucket = Uint16Array.of(Number.parseInt(row(1).fingerprint.slice(0, 4), 16));
        const { body } = await a.askRows(EVERY_ROW, bucket);
        const { unasked } = readRowsAnswer(await b.answerRows(body, ALL_CAS));
        assert.equal(Buffer.from(unasked).toString('hex'), row(1).fingerprint);
      });

      it('shows nothing of a CA that is out of scope', async () => {
        const [a, b] = [await openStore(), await openStore()];
        await write(b, row(1), row(2, { issuerDN: 'CN=Other CA' }));
        const { body: question } = await a.askRanges({ filter: EVERY_ROW, level: 0, parents: new Uint16Array(0) });
        assert.equal(readRangesAnswer(await b.answerRanges(question, onlyCas(['Other CA']))).total, 1);
        const { body } = await a.askRows(EVERY_ROW, allBuckets);
        const { unasked } = readRowsAnswer(await b.answerRows(body, onlyCas(['Other CA'])));
        assert.equal(Buffer.from(unasked).toString('hex'), row(2).fingerprint);
      });

      it('keeps its sums right through any writes', async () => {
        const random = chance(99);
        const [a, b] = [await openStore(), await openStore()];
        const states = Array.from({ length: 60 }, () =>
          row(random(20), { updateTime: random(5), ...[{}, REVOKED][random(2)] }),
        );
        for (const state of states) {
          await write(a, state);
          if (random(5) === 0) await ask(a, b, EVERY_ROW);
        }
        await write(b, ...states);
        assert.deepEqual((await ask(a, b, EVERY_ROW)).bits[0], 0);
      });

      it('refuses questions that make no sense', async () => {
        const store = await openStore();
        const { body: sound } = await store.askRanges({ filter: EVERY_ROW, level: 0, parents: new Uint16Array(0) });
        for (const bytes of [
          new Uint8Array(0),
          Buffer.of(0xff),
          sound.subarray(0, sound.length - 1),
          Buffer.concat([sound.subarray(0, -1), Buffer.of(0)]),
        ]) {
          await assert.rejects(
            store.answerRanges(bytes, ALL_CAS).then((answer) => assert.equal(readRangesAnswer(answer).total, -1)),
            undefined,
          );
        }
        await assert.rejects(store.askRanges({ filter: EVERY_ROW, level: 7, parents: new Uint16Array(0) }), {
          code: 'ERR_MALFORMED_MESSAGE',
        });
        await assert.rejects(store.askRanges({ filter: EVERY_ROW, level: 2, parents: Uint16Array.of(16) }), {
          code: 'ERR_MALFORMED_MESSAGE',
        });
      });
    });

    it('gives pages of a subset in order', async () => {
      const store = await openStore();
      const rows = Array.from({ length: 40 }, (_, i) => row(i, i % 2 === 0 ? REVOKED : {}));
      await write(store, ...rows);
      const seen: string[] = [];
      let after: Uint8Array = new Uint8Array(0);
      for (;;) {
        const page = await store.page({ filter: { ...EVERY_ROW, status: 'revoked' }, after, limit: 7, maxBytes: 1e6 });
        if (page.count === 0) break;
        seen.push(...readRows(page.rows).map((each) => Buffer.from(each.fingerprint).toString('hex')));
        after = page.last;
      }
      assert.deepEqual(
        seen,
        rows
          .filter((_, i) => i % 2 === 0)
          .map((each) => each.fingerprint)
          .sort(),
      );
    });
  });
}
