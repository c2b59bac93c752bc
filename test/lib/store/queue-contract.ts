/**
 * What the publisher queue of every own certificate store must do. Each store's test runs this suite on itself.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { CertificateData } from '../../../lib/store/certificate-data.ts';
import type { CertificateStore } from '../../../lib/store/certificate-store.ts';
import type { MarkOrder, MarkSettlement, QueueMark } from '../../../lib/store/publisher-queue.ts';
import { ALL_CAS, onlyCas } from '../../../lib/x509/ca-scope.ts';
import { chance, fingerprint, ON_HOLD, REVOKED, row, rowWithBody, stream } from './rows.ts';

const LATER = { updateTime: row(0).updateTime + 1 } as const;

/**
 * @param open gives an empty store; the same name, later, gives what was kept under it
 */
export function describePublisherQueue(kind: string, open: (name: string) => Promise<CertificateStore>): void {
  describe(`${kind} as a publisher queue`, () => {
    const opened: CertificateStore[] = [];
    let number = 0;

    const openStore = async (name = `queue${Date.now()}x${number++}`): Promise<CertificateStore> => {
      const store = await open(name);
      opened.push(store);
      return store;
    };

    afterEach(async () => {
      await Promise.all(opened.splice(0).map((store) => store.close()));
    });

    const order = (change: Partial<MarkOrder> = {}): MarkOrder => ({
      peers: ['va'],
      withCertificate: true,
      onlyRevoked: false,
      ...change,
    });
    const publish = (store: CertificateStore, rows: readonly CertificateData[], change: Partial<MarkOrder> = {}) =>
      store.writeRows([stream(...rows)], ALL_CAS, order(change));
    const due = async (store: CertificateStore, now = Date.now(), peer = 'va'): Promise<readonly QueueMark[]> =>
      (await store.dueMarks({ peer, kind: 'certificate', now, limit: 1_000 })).marks;
    const settle = (
      store: CertificateStore,
      marks: readonly QueueMark[],
      change: Partial<MarkSettlement>,
      takenAt = Date.now(),
    ): Promise<void> => {
      const settlements = marks.map(({ fingerprint, sequence }) => ({
        fingerprint,
        sequence,
        outcome: 'acknowledged' as const,
        code: '',
        detail: '',
        dueAt: 0,
        ...change,
      }));
      return store.settleMarks({ peer: 'va', kind: 'certificate', settlements, takenAt });
    };
    const summary = async (store: CertificateStore, now = Date.now()) => (await store.queueSummaries(now))[0];

    describe('sets marks with rows', () => {
      it('for each peer, and tells their sequence', async () => {
        const store = await openStore();
        const { verdicts, sequences } = await publish(store, [row(1), row(2)], { peers: ['va', 'vb+vc'] });
        assert.equal(verdicts, 'ss');
        assert.equal(new Set(sequences).size, 2);
        for (const peer of ['va', 'vb+vc']) {
          const marks = await due(store, Date.now(), peer);
          assert.deepEqual(marks.map((mark) => mark.fingerprint).sort(), [fingerprint(1), fingerprint(2)].sort());
          assert.deepEqual(marks.map((mark) => mark.sequence).sort(), [...(sequences ?? [])].sort());
        }
      });

      it('which are unchanged too, because the peer may lack them', async () => {
        const store = await openStore();
        await store.writeRows([stream(row(1))], ALL_CAS);
        assert.equal((await publish(store, [row(1)])).verdicts, 'u');
        assert.equal((await due(store)).length, 1);
      });

      it('but none for those that are refused, and none without an order', async () => {
        const store = await openStore();
        const bad = row(1, { subjectDN: 'CN=a\0b' });
        const { sequences } = await publish(store, [bad, row(2)]);
        assert.equal(sequences?.[0], 0);
        await store.writeRows([stream(row(3, { issuerDN: 'CN=X' }))], onlyCas(['Y']), order());
        assert.equal((await store.writeRows([stream(row(4))], ALL_CAS)).sequences, undefined);
        assert.deepEqual(
          (await due(store)).map((mark) => mark.fingerprint),
          [fingerprint(2)],
        );
      });

      it('never two for one certificate and peer: many changes are one mark', async () => {
        const store = await openStore();
        for (let change = 0; change < 20; change++)
          await publish(store, [row(1, { updateTime: row(1).updateTime + change })]);
        assert.equal((await due(store)).length, 1);
      });

      it('that ask for the certificate once anybody has', async () => {
        const store = await openStore();
        const flags = [false, true, false];
        for (const withCertificate of flags) await publish(store, [row(1)], { withCertificate });
        assert.equal((await due(store))[0]?.withCertificate, true);
      });

      it('whole for CAs, whatever the order says', async () => {
        const store = await openStore();
        const rows = [0, 1, 2, 8].map((type) => row(type, { type }));
        await publish(store, rows, { withCertificate: false, onlyRevoked: false });
        const whole = (await due(store)).filter((mark) => mark.withCertificate).map((mark) => mark.fingerprint);
        assert.deepEqual(whole.sort(), [fingerprint(2), fingerprint(8)].sort());
      });

      it('only for what is or was revoked, and for CAs, when ordered so', async () => {
        const store = await openStore();
        await store.writeRows([stream(row(1, ON_HOLD))], ALL_CAS);
        const rows = [
          row(1, LATER),
          row(2),
          row(3, REVOKED),
          row(4, { revocationReason: 8 }),
          row(5, { type: 8 }),
          row(6, { ...REVOKED, status: 60 }),
          row(7, { status: 60 }),
        ];
        const { sequences = [] } = await publish(store, rows, { onlyRevoked: true });
        assert.deepEqual(
          sequences.map((sequence) => sequence > 0),
          [true, false, true, true, true, true, false],
        );
      });
    });

    describe('keeps marks', () => {
      it('that were set anew while their former state was under way', async () => {
        const store = await openStore();
        await publish(store, [row(1)]);
        const taken = await due(store);
        await publish(store, [row(1, LATER)]);
        await settle(store, taken, {});
        const [mark] = await due(store);
        assert.ok(mark !== undefined && mark.sequence > (taken[0]?.sequence ?? 0));
        await settle(store, [mark], {});
        assert.deepEqual(await due(store), []);
      });

      it('whose predecessor was acknowledged twice', async () => {
        const store = await openStore();
        await publish(store, [row(1)]);
        const taken = await due(store);
        await settle(store, taken, {});
        await publish(store, [row(1, LATER)]);
        for (const outcome of ['acknowledged', 'parked', 'delayed'] as const)
          await settle(store, taken, { outcome, code: 'ERR_INTERNAL', dueAt: Date.now() + 9_999 });
        assert.equal((await due(store)).length, 1);
      });

      it('with the time of their oldest change that was not sent', async () => {
        const store = await openStore();
        await publish(store, [row(1)]);
        const [first] = await due(store);
        await new Promise((resolve) => setTimeout(resolve, 15));
        await publish(store, [row(1, LATER)]);
        assert.equal((await due(store))[0]?.addedAt, first?.addedAt);
        const takenAt = Date.now() - 5;
        await settle(store, [first as QueueMark], {}, takenAt);
        assert.equal((await due(store))[0]?.addedAt, takenAt);
      });

      it('when the store is closed and opened again', async () => {
        const name = `kept${Date.now()}x${number++}`;
        const store = await openStore(name);
        await publish(store, [row(1), row(2)]);
        const before = await due(store);
        await store.close();
        const again = await openStore(name);
        assert.deepEqual(await due(again), before);
        const { sequences } = await publish(again, [row(3)]);
        assert.ok((sequences?.[0] ?? 0) > Math.max(...before.map((mark) => mark.sequence)));
      });
    });

    describe('gives what is due', () => {
      it('the oldest first, and no more than asked for', async () => {
        const store = await openStore();
        for (const index of [5, 3, 9]) await publish(store, [row(index)]);
        const { marks } = await store.dueMarks({ peer: 'va', kind: 'certificate', now: Date.now(), limit: 2 });
        assert.deepEqual(
          marks.map((mark) => mark.fingerprint),
          [fingerprint(5), fingerprint(3)],
        );
      });

      it('of this peer and kind only', async () => {
        const store = await openStore();
        await publish(store, [row(1)]);
        const now = Date.now();
        assert.equal((await store.dueMarks({ peer: 'va', kind: 'crl', now, limit: 9 })).marks.length, 0);
        assert.equal((await store.dueMarks({ peer: 'vb', kind: 'certificate', now, limit: 9 })).marks.length, 0);
      });

      it('delayed ones when their time has come, after those that were never tried', async () => {
        const store = await openStore();
        await publish(store, [row(1)]);
        const now = Date.now();
        await settle(store, await due(store), { outcome: 'delayed', code: 'ERR_OVERLOADED', dueAt: now + 5_000 });
        const none = await store.dueMarks({ peer: 'va', kind: 'certificate', now, limit: 9 });
        assert.deepEqual(none, { marks: [], nextDueAt: now + 5_000 });
        await publish(store, [row(2)]);
        const marks = await due(store, now + 5_000);
        assert.deepEqual(
          marks.map((mark) => [mark.fingerprint, mark.attempts, mark.lastCode]),
          [
            [fingerprint(2), 0, ''],
            [fingerprint(1), 1, 'ERR_OVERLOADED'],
          ],
        );
      });

      it('delayed ones at once when the row changes, or when the clock was put back', async () => {
        const store = await openStore();
        await publish(store, [row(1), row(2)]);
        const now = Date.now();
        const dueAt = now + 86_400_000;
        await settle(store, await due(store), { outcome: 'delayed', code: 'ERR_OVERLOADED', dueAt });
        assert.equal((await due(store, now)).length, 2);
      });

      it('no parked ones, until their row changes or somebody asks', async () => {
        const store = await openStore();
        await publish(store, [row(1), row(2), row(3)]);
        const park = { outcome: 'parked', code: 'ERR_NOT_AUTHORIZED', detail: 'x'.repeat(2_000) } as const;
        await settle(store, await due(store), park);
        assert.deepEqual(await due(store), []);
        await publish(store, [row(1, LATER)]);
        const retry = { peer: 'va', state: 'parked', fingerprints: [fingerprint(2)] } as const;
        assert.equal(await store.retryMarks(retry), 1);
        assert.deepEqual(
          (await due(store)).map((mark) => mark.fingerprint).sort(),
          [fingerprint(1), fingerprint(2)].sort(),
        );
        const { marks } = await store.listMarks({ state: 'parked', after: '', limit: 9 });
        assert.deepEqual([marks[0]?.lastCode, marks[0]?.lastDetail.length], ['ERR_NOT_AUTHORIZED', 500]);
      });
    });

    it('counts by age, and names the oldest', async () => {
      const store = await openStore();
      await publish(store, [row(1), row(2)]);
      const [mark] = await due(store);
      await settle(store, [mark as QueueMark], { outcome: 'parked', code: 'ERR_TOO_LARGE' });
      const ages = [0, 61_000, 601_000, 3_601_000];
      const counts = await Promise.all(ages.map(async (age) => (await summary(store, Date.now() + age))?.byAge));
      assert.deepEqual(counts, [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
      ]);
      const { waiting, parked, oldest, peer } = (await summary(store)) ?? {};
      assert.deepEqual([waiting, parked, peer], [1, 1, 'va']);
      assert.ok(Date.now() - (oldest ?? 0) < 60_000);
    });

    it('lists page by page, every peer or one', async () => {
      const store = await openStore();
      await publish(
        store,
        Array.from({ length: 25 }, (_, i) => row(i)),
        { peers: ['va', 'vb'] },
      );
      const seen: QueueMark[] = [];
      for (let after = ''; ; ) {
        const page = await store.listMarks({ state: 'all', after, limit: 7 });
        seen.push(...page.marks);
        if (page.next === '') break;
        after = page.next;
      }
      assert.equal(new Set(seen.map((mark) => `${mark.peer} ${mark.fingerprint}`)).size, 50);
      assert.equal((await store.listMarks({ peer: 'vb', state: 'waiting', after: '', limit: 100 })).marks.length, 25);
      assert.equal((await store.listMarks({ state: 'parked', after: '', limit: 100 })).marks.length, 0);
    });

    it('empties what waits, what is parked, or all of one peer', async () => {
      const store = await openStore();
      await publish(store, [row(1), row(2), row(3)], { peers: ['va', 'vb'] });
      const [mark] = await due(store);
      await settle(store, [mark as QueueMark], { outcome: 'parked', code: 'ERR_TOO_LARGE' });
      assert.equal(await store.removeMarks({ peer: 'va', state: 'parked' }), 1);
      assert.equal(await store.removeMarks({ peer: 'va', state: 'waiting' }), 2);
      assert.equal(await store.removeMarks({ peer: 'va', state: 'all' }), 0);
      assert.equal((await due(store, Date.now(), 'vb')).length, 3);
      assert.equal((await store.count()).total, 3);
    });

    it('forgets no change whatever the order of changes and acknowledgements', async function () {
      this.timeout(30_000);
      const random = chance(20_261_124);
      const store = await openStore();
      const newest = new Map<string, number>();
      const atPeer = new Map<string, number>();
      const underway: { marks: readonly QueueMark[]; states: ReadonlyMap<string, number> }[] = [];
      for (let step = 0; step < 400; step++) {
        const what = random(5);
        if (what < 2) {
          const index = random(6);
          const state = row(index).updateTime + step;
          newest.set(fingerprint(index), state);
          await publish(store, [row(index, { updateTime: state })]);
        } else if (what === 2) {
          const marks = (await due(store)).slice(0, 1 + random(4));
          underway.push({ marks, states: new Map(newest) });
        } else if (underway.length > 0) {
          const [{ marks, states } = { marks: [], states: new Map() }] = underway.splice(random(underway.length), 1);
          for (const each of marks) {
            const sent = states.get(each.fingerprint) ?? 0;
            // Newest wins at the peer.
            atPeer.set(each.fingerprint, Math.max(sent, atPeer.get(each.fingerprint) ?? 0));
          }
          await settle(store, marks, random(4) === 0 ? { outcome: 'delayed', code: 'ERR_INTERNAL' } : {});
        }
        const marked = new Set((await due(store)).map((mark) => mark.fingerprint));
        for (const [each, state] of newest)
          if (!marked.has(each)) assert.equal(atPeer.get(each), state, `step ${step}: a change of ${each} is lost`);
      }
    });

    it('holds a row and its mark, or neither', async () => {
      const store = await openStore();
      const broken = Buffer.concat([stream(row(1)), Buffer.of(0xff)]);
      await assert.rejects(store.writeRows([broken], ALL_CAS, order()), { code: 'ERR_MALFORMED_MESSAGE' });
      assert.equal((await store.count()).total, 0);
      assert.deepEqual(await due(store), []);
      await publish(store, [rowWithBody(randomBytes(40))]);
      assert.equal((await due(store)).length, (await store.count()).total);
    });
  });
}
