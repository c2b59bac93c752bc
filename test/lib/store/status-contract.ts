/**
 * What every own certificate store must say of how certificates stand. Each store's test runs this suite on itself.
 */
import assert from 'node:assert/strict';
import type { CertificateData } from '../../../lib/store/certificate-data.ts';
import type { CertificateQuestion } from '../../../lib/store/certificate-status.ts';
import type { CertificateStore } from '../../../lib/store/certificate-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { integerFromDecimal } from '../../../lib/x509/serial-number.ts';
import { ON_HOLD, REVOKED, row, stream } from './rows.ts';

/** Numbers whose bytes end alike, or differ in their sign alone. */
const ALIKE = ['0', '5', '-5', '128', '-128', '255', '-1', `${2n ** 64n + 5n}`, `${2n ** 63n}`, `${-(2n ** 63n)}`];
const LONG = [`${2n ** 159n + 5n}`, `${-(2n ** 159n) + 5n}`, `${2n ** 640n}`];

/** The question about a row. */
export function questionOf({ issuerDN, serialNumber }: CertificateData): CertificateQuestion {
  return { issuerDN, serialNumber: new Uint8Array(integerFromDecimal(serialNumber)) };
}

/**
 * @param open gives an empty store
 */
export function describeStatuses(kind: string, open: (name: string) => Promise<CertificateStore>): void {
  describe(`${kind}, asked how certificates stand,`, () => {
    const opened: CertificateStore[] = [];
    let number = 0;

    const openStore = async (): Promise<CertificateStore> => {
      const store = await open(`status${Date.now()}x${number++}`);
      opened.push(store);
      return store;
    };
    const write = (store: CertificateStore, ...rows: readonly CertificateData[]) =>
      store.writeRows([stream(...rows)], ALL_CAS);
    /** Which rows came, by the time of their change. */
    const timesOf = async (store: CertificateStore, questions: readonly CertificateQuestion[]) =>
      (await store.statusesOf(questions)).map((rows) => rows.map(({ updateTime }) => updateTime).sort());

    afterEach(async () => {
      await Promise.all(opened.splice(0).map((store) => store.close()));
    });

    it('gives all rows of each, in the order asked', async () => {
      const store = await openStore();
      await write(
        store,
        row(1),
        row(2, { ...REVOKED, caFingerprint: 'ab'.repeat(20) }),
        row(3, { ...ON_HOLD, serialNumber: row(2).serialNumber }),
      );
      const [two, none, one, foreign] = await store.statusesOf([
        questionOf(row(2)),
        questionOf(row(9)),
        questionOf(row(1)),
        questionOf(row(1, { issuerDN: 'CN=Other CA' })),
      ]);
      const { updateTime, expireDate } = row(1);
      const times = { updateTime, expireDate };
      assert.deepEqual(one, [{ status: 20, revocationReason: -1, revocationDate: -1, ...times, caFingerprint: null }]);
      assert.deepEqual(
        [...(two ?? [])].sort((a, b) => a.revocationReason - b.revocationReason),
        [
          { ...REVOKED, ...times, caFingerprint: 'ab'.repeat(20) },
          { ...ON_HOLD, ...times, caFingerprint: null },
        ],
      );
      assert.deepEqual([none, foreign], [[], []]);
    });

    it('tells serial numbers apart, beyond 64 bits and below zero too', async () => {
      const store = await openStore();
      const rows = [...ALIKE, ...LONG].map((serialNumber, index) => row(index, { serialNumber, updateTime: index }));
      await write(store, ...rows);
      assert.deepEqual(
        await timesOf(store, rows.map(questionOf)),
        rows.map((_, index) => [index]),
      );
    });

    it('tells issuers apart by every letter of their names', async () => {
      const store = await openStore();
      const names = ['CN=Ünïcode CA 🌍', 'CN=ünïcode CA 🌍', 'CN=Ünïcode CA 🌍 ', '', `CN=${'x'.repeat(5_000)}`];
      const rows = names.map((issuerDN, index) => row(index, { issuerDN, serialNumber: '7', updateTime: index }));
      await write(store, ...rows);
      assert.deepEqual(
        await timesOf(store, rows.map(questionOf)),
        rows.map((_, index) => [index]),
      );
    });

    it('answers the same question as often as it is asked', async () => {
      const store = await openStore();
      await write(store, row(1, { updateTime: 1 }), row(2, { updateTime: 2 }));
      const [one, two, none] = [row(1), row(2), row(3)].map(questionOf) as [
        CertificateQuestion,
        CertificateQuestion,
        CertificateQuestion,
      ];
      assert.deepEqual(await timesOf(store, [one, one, none, two, one, none]), [[1], [1], [], [2], [1], []]);
    });

    it('knows nothing before anything was written, and answers no question with nothing', async () => {
      const store = await openStore();
      assert.deepEqual(await store.statusesOf([questionOf(row(1))]), [[]]);
      assert.deepEqual(await store.statusesOf([]), []);
    });

    it('has no row for what cannot be in it, and the others theirs', async () => {
      const store = await openStore();
      await write(store, row(1, { updateTime: 1 }));
      const { issuerDN, serialNumber } = questionOf(row(1));
      const odd: CertificateQuestion[] = [
        { issuerDN: 'CN=Nobody', serialNumber },
        { issuerDN: `${issuerDN}\0`, serialNumber },
        { issuerDN: '\ud800', serialNumber },
        { issuerDN, serialNumber: new Uint8Array(0) },
        { issuerDN, serialNumber: Uint8Array.of(0, ...serialNumber) },
        { issuerDN, serialNumber: new Uint8Array(5_000).fill(0x7f) },
      ];
      assert.deepEqual(await timesOf(store, [...odd, questionOf(row(1))]), [...odd.map(() => []), [1]]);
    });

    it('gives at most 1,000 rows of one serial number', async () => {
      const store = await openStore();
      await write(store, ...Array.from({ length: 1_002 }, (_, index) => row(index, { serialNumber: '7' })), row(2_000));
      const lengths = (await store.statusesOf([row(0, { serialNumber: '7' }), row(2_000)].map(questionOf))).map(
        ({ length }) => length,
      );
      assert.deepEqual(lengths, [1_000, 1]);
    });

    it('answers thousands at once', async () => {
      const store = await openStore();
      const rows = Array.from({ length: 3_000 }, (_, index) => row(index, { updateTime: index }));
      await write(store, ...rows.filter((_, index) => index % 3 !== 0));
      const batches = await Promise.all(
        Array.from({ length: 6 }, (_, batch) =>
          timesOf(store, rows.slice(batch * 500, batch * 500 + 500).map(questionOf)),
        ),
      );
      assert.deepEqual(
        batches.flat(),
        rows.map((_, index) => (index % 3 === 0 ? [] : [index])),
      );
    });

    it('has seen every write that was acknowledged before', async () => {
      const store = await openStore();
      for (let updateTime = 1; updateTime <= 100; updateTime++) {
        await write(store, row(1, { updateTime }));
        assert.deepEqual(await timesOf(store, [questionOf(row(1))]), [[updateTime]]);
      }
    });

    it('says nothing once it is closed', async () => {
      const store = await openStore();
      await store.close();
      await assert.rejects(store.statusesOf([questionOf(row(1))]), { code: 'ERR_STORE_UNAVAILABLE' });
    });
  });
}
