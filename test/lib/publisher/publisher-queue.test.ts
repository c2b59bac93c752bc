import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { groupKey, type PublishPeer } from '../../../lib/publisher/peer-group.ts';
import type { PublishMode, PublishReport } from '../../../lib/publisher/publish-report.ts';
import type { PublishRules } from '../../../lib/publisher/publish-rules.ts';
import { publishThroughQueue } from '../../../lib/publisher/publish-through-queue.ts';
import { PublisherQueue } from '../../../lib/publisher/publisher-queue.ts';
import type { CertificateData } from '../../../lib/store/certificate-data.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { outgoingPeer } from '../../helpers/outgoing-peer.ts';
import { publishPeer } from '../../helpers/publish-task.ts';
import { createTestPki } from '../../helpers/test-pki.ts';
import { caRole, startTwoPeers, type TwoPeers } from '../../helpers/two-peers.ts';
import { chance, fingerprint, REVOKED, row, rowWithBody, stream } from '../store/rows.ts';

const HOUR_MS = 3_600_000;
const EVERYTHING: PublishRules = { withCertificate: true, onlyRevoked: false };

describe('publisher queue', () => {
  const pki = createTestPki();
  const folder = mkdtempSync(join(tmpdir(), 'publisher-queue-'));
  let number = 0;
  let file: string;
  let store: WorkerStore;
  let vaStore: WorkerStore;
  let va: TwoPeers;
  const peers = new Map<string, PublishPeer>();
  const opened: { close(): Promise<unknown> }[] = [];

  const newStore = (): WorkerStore => {
    file = join(folder, `store-${number++}.sqlite`);
    const made = new WorkerStore({ kind: 'sqlite', file });
    opened.push(made);
    return made;
  };
  const startVa = async (options: Parameters<typeof startTwoPeers>[0] = {}): Promise<TwoPeers> => {
    const started = await startTwoPeers({ pki, ...options });
    opened.push(started);
    return started;
  };
  const openQueue = (options: { readonly maxBackOffMs?: number } = {}): PublisherQueue => {
    const queue = new PublisherQueue({ store, find: (id) => peers.get(id), maxBackOffMs: 60_000, ...options });
    opened.push(queue);
    return queue;
  };

  beforeEach(async () => {
    vaStore = newStore();
    store = newStore();
    va = await startVa({ store: vaStore });
    peers.clear();
    peers.set('va', publishPeer('VA', va.client));
    peers.set('gone', publishPeer('gone', va.connect().client));
  });

  afterEach(async () => {
    for (const each of opened.splice(0).reverse()) await each.close();
  });

  after(() => rmSync(folder, { recursive: true }));

  interface How {
    readonly mode?: PublishMode;
    readonly rules?: PublishRules;
    /** Ids of each group. */
    readonly to?: readonly (readonly string[])[];
  }
  const publish = async (queue: PublisherQueue, rows: readonly CertificateData[], how: How = {}) => {
    const { mode = 'safe', rules = EVERYTHING, to = [['va']] } = how;
    const groups = to.map((ids) => queue.group(groupKey(ids)));
    return (await publishThroughQueue(rows, { groups, rules, mode, queue })).flat();
  };
  const verdicts = async (
    ...parameters: Parameters<typeof publish>
  ): Promise<PublishReport['failures'][number]['verdict'][]> =>
    (await publish(...parameters)).map(({ verdict }) => verdict);
  const status = async (queue: PublisherQueue, key = 'va') => {
    const found = (await queue.status([key], HOUR_MS)).find((each) => each.key === key);
    assert.ok(found);
    return found;
  };
  const untilEmpty = async (queue: PublisherQueue, key = 'va', timeoutMs = 8_000): Promise<void> => {
    for (const end = Date.now() + timeoutMs; (await status(queue, key)).waiting > 0; await delay(5))
      assert.ok(Date.now() < end, JSON.stringify(await status(queue, key)));
  };
  const goAway = (id = 'va'): void => {
    const nobody = outgoingPeer(9, pki.caClient, pki.managementCa);
    opened.push(nobody);
    peers.set(id, publishPeer('VA', nobody.client));
  };

  it('has what it took at the peer when a safe publish ends, and nothing on the queue', async () => {
    const queue = openQueue();
    const rows = [row(1), rowWithBody(Buffer.from('body')), row(2, REVOKED)];
    assert.deepEqual(await verdicts(queue, rows), ['stored', 'stored', 'stored']);
    assert.deepEqual(await vaStore.list({ limit: 9 }), await store.list({ limit: 9 }));
    await untilEmpty(queue);
    assert.deepEqual(await verdicts(queue, rows.slice(0, 1)), ['unchanged']);
  });

  it('answers at once in the mode queue, and publishes by itself', async () => {
    const queue = openQueue();
    assert.deepEqual(await verdicts(queue, [row(1), row(2)], { mode: 'queue' }), ['queued', 'queued']);
    await untilEmpty(queue);
    assert.equal((await vaStore.count()).total, 2);
  });

  it('keeps what a peer that is away has to get, says why, and goes on when it is back', async () => {
    const queue = openQueue();
    goAway();
    const [told] = await publish(queue, [row(1)]);
    assert.deepEqual([told?.verdict, told?.peer, told?.code], ['queued', 'VA', 'ERR_PEER_UNREACHABLE']);
    // While it waits, nobody else has to.
    const begun = performance.now();
    assert.deepEqual(await verdicts(queue, [row(2)]), ['queued']);
    assert.ok(performance.now() - begun < 500);
    const { waiting, lastErrorCode, oldest } = await status(queue);
    assert.deepEqual([waiting, lastErrorCode], [2, 'ERR_PEER_UNREACHABLE']);
    assert.ok(Date.parse(oldest) <= Date.now());
    peers.set('va', publishPeer('VA', va.client));
    queue.tryAgain();
    await untilEmpty(queue);
    assert.equal((await vaStore.count()).total, 2);
    assert.equal((await status(queue)).lastErrorCode, '');
  });

  it('tries at once when anybody succeeds in talking to the peer', async () => {
    const disabled = va.connect();
    await disabled.pool.disable();
    peers.set('va', publishPeer('VA', disabled.client));
    const queue = openQueue();
    const [told] = await publish(queue, [row(1)]);
    assert.equal(told?.code, 'ERR_CONNECTOR_DISABLED');
    await delay(100);
    // Wherever the back-off stands, up to a minute: enabling tells.
    for (let failures = 0; failures < 8; failures++) queue.tryAgain();
    const begun = performance.now();
    disabled.pool.enable();
    await disabled.client.ping();
    await untilEmpty(queue);
    assert.ok(performance.now() - begun < 2_000);
  });

  it('parks what the peer refuses for good, with the cause, and goes on with the neighbours', async () => {
    const limited = await startVa({
      store: vaStore,
      roles: [caRole({ '/peerincoming': 'allow', '/peerpublish': 'allow', '/ca/Issuing CA': 'allow' })],
    });
    peers.set('va', publishPeer('VA', limited.client));
    const queue = openQueue();
    const foreign = row(2, { issuerDN: 'CN=Foreign CA' });
    const rows = await publish(queue, [row(1), foreign, row(3)]);
    assert.deepEqual(
      rows.map(({ verdict, code }) => [verdict, code]),
      [
        ['stored', ''],
        ['refused', 'ERR_NOT_AUTHORIZED'],
        ['stored', ''],
      ],
    );
    await untilEmpty(queue);
    const { marks } = await queue.list({ state: 'parked', after: '', limit: 9 });
    assert.deepEqual(
      marks.map(({ fingerprint: each, lastCode, lastDetail }) => [each, lastCode, /Foreign CA/.test(lastDetail)]),
      [[foreign.fingerprint, 'ERR_NOT_AUTHORIZED', true]],
    );
    assert.equal((await status(queue)).parked, 1);
  });

  it('publishes parked marks when they are asked for after the cause is gone', async () => {
    const strict = await startVa({
      store: vaStore,
      roles: [caRole({ '/peerincoming': 'allow', '/peerpublish': 'allow' })],
    });
    peers.set('va', publishPeer('VA', strict.client));
    const queue = openQueue();
    assert.deepEqual(await verdicts(queue, [row(1), row(2)]), ['refused', 'refused']);
    peers.set('va', publishPeer('VA', va.client));
    assert.equal(await queue.retry({ peer: 'va', state: 'parked', fingerprints: [fingerprint(1)] }), 1);
    await untilEmpty(queue);
    assert.equal((await vaStore.count()).total, 1);
    assert.equal(await queue.empty({ peer: 'va', state: 'parked' }), 1);
    assert.equal((await status(queue)).parked, 0);
  });

  it('passes over marks whose rows are not in the store any more', async () => {
    const queue = openQueue();
    goAway();
    await publish(queue, [row(1), row(2)]);
    const db = new DatabaseSync(file);
    db.exec(`DELETE FROM CertificateData WHERE fingerprint = x'${fingerprint(1)}'`);
    db.close();
    peers.set('va', publishPeer('VA', va.client));
    queue.tryAgain();
    await untilEmpty(queue);
    assert.equal((await vaStore.count()).total, 1);
  });

  it('sends the row as it stands then: many changes are one publish', async () => {
    const queue = openQueue();
    goAway();
    for (let change = 1; change <= 5; change++)
      await publish(queue, [row(1, { updateTime: row(1).updateTime + change, username: `state ${change}` })]);
    peers.set('va', publishPeer('VA', va.client));
    queue.tryAgain();
    await untilEmpty(queue);
    assert.equal((await vaStore.findByFingerprint(fingerprint(1)))?.username, 'state 5');
    assert.equal(va.events.filter(({ kind }) => kind === 'published').length, 1);
  });

  it('goes on by itself after a restart, also for a group that nobody names any more', async () => {
    const queue = openQueue();
    peers.set('vb', peers.get('va') as PublishPeer);
    goAway('va');
    goAway('vb');
    await publish(queue, [row(1)], { to: [['va', 'vb']] });
    await publish(queue, [row(2)]);
    await queue.close();
    await store.close();
    store = new WorkerStore({ kind: 'sqlite', file });
    opened.push(store);
    peers.set('va', publishPeer('VA', va.client));
    const again = openQueue();
    await again.resume();
    await untilEmpty(again);
    await untilEmpty(again, groupKey(['vb', 'va']));
    assert.equal((await vaStore.count()).total, 2);
  });

  it('gives each group to one member, and to the next one when that is away', async () => {
    const otherStore = newStore();
    const other = await startVa({ store: otherStore });
    store = newStore();
    peers.set('vb', publishPeer('VB', other.client));
    const queue = openQueue();
    for (let index = 0; index < 24; index++) await publish(queue, [row(index)], { to: [['va', 'vb']] });
    const counts = [(await vaStore.count()).total, (await otherStore.count()).total];
    assert.equal((counts[0] ?? 0) + (counts[1] ?? 0), 24);
    assert.ok(Math.min(...counts) > 0, `${counts}`);
    goAway('va');
    const rows = await publish(queue, [row(100), row(101)], { to: [['va', 'vb']] });
    assert.deepEqual(
      rows.map(({ verdict, peer }) => [verdict, peer]),
      [
        ['stored', 'VB'],
        ['stored', 'VB'],
      ],
    );
  });

  it('sends only what an only-revoked VA needs, and without the certificate where that is set', async () => {
    const queue = openQueue();
    const rules = { withCertificate: false, onlyRevoked: true };
    const revoked = rowWithBody(Buffer.from('revoked'), REVOKED);
    const ca = rowWithBody(Buffer.from('ca'), { type: 8 });
    assert.deepEqual(await verdicts(queue, [revoked, row(1), ca], { rules }), ['stored', 'skipped', 'stored']);
    assert.equal((await vaStore.findByFingerprint(revoked.fingerprint))?.certificate, null);
    assert.deepEqual(await vaStore.findByFingerprint(ca.fingerprint), ca);
    assert.equal((await store.count()).total, 3);
    await untilEmpty(queue);
  });

  it('delays a row that the peer refuses for now, without harm to its neighbours', async () => {
    const db = new DatabaseSync(join(folder, `store-${number - 2}.sqlite`));
    await vaStore.count();
    const condition = `new.fingerprint = x'${fingerprint(2)}'`;
    db.exec(
      `CREATE TRIGGER faulty BEFORE INSERT ON CertificateData WHEN ${condition} BEGIN SELECT RAISE(ABORT, 'no'); END`,
    );
    const queue = openQueue();
    assert.deepEqual(await verdicts(queue, [row(1), row(2), row(3)]), ['stored', 'refused', 'stored']);
    const { waiting, parked, lastErrorCode } = await status(queue);
    assert.deepEqual([waiting, parked, lastErrorCode], [1, 0, 'ERR_STORE_UNAVAILABLE']);
    db.exec('DROP TRIGGER faulty');
    db.close();
    await untilEmpty(queue);
    assert.equal((await vaStore.count()).total, 3);
  });

  it('finds its way when the peer fails whole requests that are large', async () => {
    const small = await startVa({ store: vaStore, pool: { requestTimeoutMs: 300 } });
    let largest = 0;
    const inner = small.client.publishCertificates.bind(small.client);
    small.client.publishCertificates = (rows, count, signal) => {
      if (count <= 40) return inner(rows, count, signal);
      largest = Math.max(largest, count);
      return inner(Buffer.concat([rows, Buffer.of(0xff)]), count, signal);
    };
    peers.set('va', publishPeer('VA', small.client));
    const queue = openQueue();
    await publish(
      queue,
      Array.from({ length: 300 }, (_, index) => row(index)),
      { mode: 'queue' },
    );
    await untilEmpty(queue);
    assert.ok(largest > 40);
    assert.equal((await vaStore.count()).total, 300);
  });

  it('gathers messages that arrive together into few requests', async () => {
    const queue = openQueue();
    await publish(queue, [row(0)]);
    const all = await Promise.all(Array.from({ length: 1_000 }, (_, index) => publish(queue, [row(index + 1)])));
    assert.ok(all.flat().every(({ verdict }) => verdict === 'stored'));
    const requests = va.events.filter(({ kind }) => kind === 'published').length;
    assert.ok(requests < 60, `${requests} requests`);
  });

  it('says when a peer is out of sync', async () => {
    const queue = openQueue();
    goAway();
    await publish(queue, [row(1)]);
    await delay(30);
    const of = async (limit: number) => (await queue.status(['va'], limit))[0]?.isOutOfSync;
    assert.deepEqual([await of(10), await of(HOUR_MS)], [true, false]);
  });

  it('names a peer that is gone', async () => {
    peers.delete('va');
    const queue = openQueue();
    const [told] = await publish(queue, [row(1)]);
    assert.deepEqual([told?.verdict, told?.code], ['queued', 'ERR_PEER_UNKNOWN']);
    assert.equal((await status(queue)).exists, false);
  });

  it('fails, and queues nothing, when its own store cannot write', async () => {
    const queue = openQueue();
    await store.close();
    const [told] = await publish(queue, [row(1)]);
    assert.deepEqual([told?.verdict, told?.code], ['failed', 'ERR_STORE_UNAVAILABLE']);
  });

  it('goes on by itself when its own disk was full, and loses nothing', async function () {
    this.timeout(30_000);
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk], { stdio: 'pipe' });
    } catch {
      this.skip(); // skipped: no tmpfs
    }
    try {
      store = new WorkerStore({ kind: 'sqlite', file: join(disk, 'ca.sqlite') });
      goAway();
      const queue = openQueue();
      await publish(queue, [row(1), row(2)]);
      const filler = join(disk, 'filler');
      assert.throws(() => {
        for (;;) appendFileSync(filler, Buffer.alloc(64 * 1024));
      });
      const many = Array.from({ length: 2_000 }, (_, index) => row(100 + index));
      assert.deepEqual(new Set((await publish(queue, many)).map(({ code }) => code)), new Set(['ERR_STORE_FULL']));
      peers.set('va', publishPeer('VA', va.client));
      queue.tryAgain();
      rmSync(filler);
      await untilEmpty(queue);
      assert.equal((await vaStore.count()).total, 2);
      await queue.close();
      await store.close();
    } finally {
      execFileSync('umount', ['-l', disk]);
    }
  });

  it('goes on by itself when the file of its store was locked, or away, for a while', async function () {
    this.timeout(30_000);
    goAway();
    const queue = openQueue({ maxBackOffMs: 200 });
    await publish(queue, [row(1)]);
    const db = new DatabaseSync(file);
    db.exec('BEGIN IMMEDIATE');
    peers.set('va', publishPeer('VA', va.client));
    queue.tryAgain();
    // Longer than SQLite waits.
    await delay(6_000);
    assert.equal((await status(queue)).waiting, 1);
    db.exec('COMMIT');
    db.close();
    await untilEmpty(queue);
    assert.equal((await vaStore.count()).total, 1);
    await queue.close();
    await store.close();
    renameSync(file, `${file}.away`);
    mkdirSync(file);
    store = new WorkerStore({ kind: 'sqlite', file });
    opened.push(store);
    const again = openQueue({ maxBackOffMs: 200 });
    assert.equal((await publish(again, [row(2)]))[0]?.code, 'ERR_STORE_UNAVAILABLE');
    again.wake('va');
    await delay(300);
    rmSync(file, { recursive: true });
    renameSync(`${file}.away`, file);
    assert.match((await verdicts(again, [row(2)])).join(), /^(stored|queued)$/);
    await untilEmpty(again);
    assert.equal((await vaStore.count()).total, 2);
  });

  it('closes within a second in the middle of its work and loses nothing', async () => {
    const queue = openQueue();
    const rows = Array.from({ length: 4_000 }, (_, index) => row(index));
    await publish(queue, rows, { mode: 'queue' });
    await delay(20);
    const begun = performance.now();
    await queue.close();
    assert.ok(performance.now() - begun < 1_100);
    const again = openQueue();
    await again.resume();
    await untilEmpty(again);
    assert.equal((await vaStore.count()).total, rows.length);
  });

  it('never lets an older state overtake a newer one, whatever happens in between', async function () {
    this.timeout(30_000);
    const seed = Date.now() % 1_000_000;
    const random = chance(seed);
    const queue = openQueue({ maxBackOffMs: 30 });
    const newest = new Map<number, CertificateData>();
    const under: Promise<unknown>[] = [];
    for (let step = 1; step <= 250; step++) {
      const what = random(10);
      if (what === 0) goAway();
      else if (what === 1) {
        peers.set('va', publishPeer('VA', va.client));
        queue.tryAgain();
      } else {
        const index = random(8);
        const next = row(index, { updateTime: row(index).updateTime + step, username: `step ${step}` });
        newest.set(index, next);
        under.push(publish(queue, [next], { mode: random(2) === 0 ? 'safe' : 'queue' }));
      }
      if (random(3) === 0) await delay(random(6));
    }
    peers.set('va', publishPeer('VA', va.client));
    queue.tryAgain();
    await Promise.all(under);
    await untilEmpty(queue);
    for (const [index, state] of newest)
      assert.deepEqual(await vaStore.findByFingerprint(fingerprint(index)), state, `seed ${seed}`);
  });

  it('lets a thousand refused marks at the head cost the good ones little', async function () {
    this.timeout(60_000);
    const limited = { '/peerincoming': 'allow', '/peerpublish': 'allow', '/ca/Issuing CA': 'allow' } as const;
    const good = Array.from({ length: 5_000 }, (_, index) => row(index));
    const bad = Array.from({ length: 1_000 }, (_, index) => row(10_000 + index, { issuerDN: 'CN=Foreign CA' }));
    const drain = async (rows: readonly CertificateData[]): Promise<number> => {
      const target = newStore();
      const strict = await startVa({ store: target, roles: [caRole(limited)] });
      store = newStore();
      for (let at = 0; at < rows.length; at += 1_000)
        await store.writeRows([stream(...rows.slice(at, at + 1_000))], ALL_CAS, { ...EVERYTHING, peers: ['va'] });
      peers.set('va', publishPeer('VA', strict.client));
      await strict.client.ping();
      const queue = openQueue();
      const begun = performance.now();
      await queue.resume();
      while ((await target.count()).total < good.length) await delay(3);
      const took = performance.now() - begun;
      await untilEmpty(queue);
      assert.equal((await status(queue)).parked, rows.length - good.length);
      await queue.close();
      return took;
    };
    await drain(good);
    const times: [number, number][] = [];
    for (let round = 0; round < 5; round++) times.push([await drain(good), await drain([...bad, ...good])]);
    const [alone = 0, behind = 0] = [0, 1].map(
      (which) => times.map((each) => each[which] ?? 0).sort((a, b) => a - b)[2],
    );
    const ratio = (behind / alone).toFixed(2);
    console.log(
      `      5,000 good ones: ${alone.toFixed(0)} ms, behind 1,000 refused ones ${behind.toFixed(0)} ms: ${ratio}`,
    );
  });
});
