import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { PeerClient } from '../../../lib/pool/peer-client.ts';
import { CrlSender } from '../../../lib/publisher/crl-sender.ts';
import { groupKey, type PublishPeer } from '../../../lib/publisher/peer-group.ts';
import { publishCrlToPeers } from '../../../lib/publisher/publish-crl-to-peers.ts';
import type { PublishMode } from '../../../lib/publisher/publish-report.ts';
import { PublisherQueue } from '../../../lib/publisher/publisher-queue.ts';
import type { QueueMark } from '../../../lib/store/publisher-queue.ts';
import { toPem } from '../../../lib/x509/pem.ts';
import { type CrlTemplate, makeCrl, manyEntries } from '../../helpers/crl-maker.ts';
import { openCrlStore, readCrl, storeCertificates, writeCrl } from '../../helpers/crl-store.ts';
import { outgoingPeer } from '../../helpers/outgoing-peer.ts';
import { publishPeer } from '../../helpers/publish-task.ts';
import { createTestPki, daysFromNow, issueRootCa } from '../../helpers/test-pki.ts';
import { caRole, startTwoPeers, type TwoPeers } from '../../helpers/two-peers.ts';

const CA = issueRootCa('CN=Queue CA,O=Test,C=SE');
const OTHER = issueRootCa('CN=Other CA,O=Test,C=SE');
const DN = 'CN=Queue CA,O=Test,C=SE';
const HOUR_MS = 3_600_000;

describe('CRLs on the publisher queue', () => {
  const pki = createTestPki();
  const peers = new Map<string, PublishPeer>();
  let own: ReturnType<typeof openCrlStore>;
  let atVa: ReturnType<typeof openCrlStore>;
  let va: TwoPeers;
  let opened: { close(): Promise<unknown> }[];

  beforeEach(async () => {
    [own, atVa] = [openCrlStore(), openCrlStore()];
    await storeCertificates(own.store, CA, OTHER);
    va = await startTwoPeers({ pki, store: atVa.store });
    opened = [own, atVa, va];
    peers.clear();
    peers.set('va', publishPeer('VA', va.client));
  });

  afterEach(async () => {
    for (const each of opened.splice(0).reverse()) await each.close();
  });

  const make = (template: Partial<CrlTemplate> = {}): Buffer =>
    makeCrl({ issuer: CA, thisUpdate: daysFromNow(-1), ...template });
  const openQueue = (): PublisherQueue => {
    const queue = new PublisherQueue({ store: own.store, find: (id) => peers.get(id), maxBackOffMs: 60_000 });
    opened.push(queue);
    return queue;
  };
  const publish = (queue: PublisherQueue, input: unknown, mode: PublishMode = 'safe', ids = ['va']) =>
    publishCrlToPeers(input, { groups: ids.map((id) => queue.group(groupKey([id]))), mode, queue });
  const verdictOf = async (...parameters: Parameters<typeof publish>) => {
    const { rows } = await publish(...parameters);
    return rows.map(({ verdict, code }) => (code === '' ? verdict : `${verdict} ${code}`)).join(', ');
  };
  const marks = async (queue: PublisherQueue) => (await queue.list({ state: 'all', after: '', limit: 99 })).marks;
  const until = async (isSo: () => Promise<boolean>): Promise<void> => {
    for (const end = Date.now() + 8_000; !(await isSo()); await delay(10)) assert.ok(Date.now() < end, 'too long');
  };
  const untilEmpty = (queue: PublisherQueue) => until(async () => (await marks(queue)).length === 0);
  /** What became of long PEM in the meantime. */
  const leftovers = () =>
    readdirSync(tmpdir())
      .map((name) => join(tmpdir(), name, 'crl.der'))
      .filter((path) => existsSync(path));
  const numbersAtVa = async () => (await atVa.store.crls.list()).map(({ cRLNumber }) => cRLNumber);
  const goAway = (id = 'va'): void => {
    const nobody = outgoingPeer(9, pki.caClient, pki.managementCa);
    opened.push(nobody);
    peers.set(id, publishPeer('VA', nobody.client));
  };
  const comeBack = (queue: PublisherQueue, client: PeerClient = va.client): void => {
    peers.set('va', publishPeer('VA', client));
    queue.tryAgain();
  };

  it('are at the peer, and in the own store, when a safe publish ends', async () => {
    const queue = openQueue();
    const crl = make({ number: '7', entries: manyEntries(60_000) });
    const { rows, report, failure } = await publish(queue, crl);
    assert.equal(failure, undefined);
    assert.deepEqual([report.stored, report.queued], [1, 0]);
    const [row] = rows;
    assert.deepEqual([row?.peer, row?.issuerDN, row?.cRLNumber, row?.isDelta, row?.code], ['VA', DN, '7', false, '']);
    for (const { store } of [own, atVa]) {
      const found = await store.crls.find({ issuerDN: DN });
      assert.ok(crl.equals(await readCrl(store, found?.fingerprint ?? '')));
    }
    await untilEmpty(queue);
    assert.equal(await verdictOf(queue, crl), 'unchanged');
  });

  it('go out by themselves in the mode queue, from a file or long PEM too', async () => {
    const queue = openQueue();
    const file = join(own.folder, 'x.crl');
    writeFileSync(file, make({ number: '1' }));
    assert.equal(await verdictOf(queue, { file }, 'queue'), 'queued');
    await untilEmpty(queue);
    const pem = toPem(make({ number: '2', entries: manyEntries(60_000) }), 'X509 CRL');
    writeFileSync(file, pem);
    assert.equal(await verdictOf(queue, { file }, 'queue'), 'queued');
    await untilEmpty(queue);
    assert.deepEqual(await numbersAtVa(), ['2']);
    assert.deepEqual(leftovers(), []);
  });

  it('wait for a peer that is away, which then gets the newest only, once', async () => {
    const queue = openQueue();
    goAway();
    assert.equal(await verdictOf(queue, make({ number: '1' })), 'queued ERR_PEER_UNREACHABLE');
    const [first] = await marks(queue);
    for (const number of ['2', '3']) assert.match(await verdictOf(queue, make({ number })), /^queued/);
    const [mark, ...others] = await marks(queue);
    assert.deepEqual(others, []);
    assert.equal(mark?.fingerprint, (await own.store.crls.find({ issuerDN: DN }))?.fingerprint);
    // The peer has been waiting since the first of them.
    assert.equal(mark?.addedAt, first?.addedAt);
    comeBack(queue);
    await untilEmpty(queue);
    assert.deepEqual(await numbersAtVa(), ['3']);
    assert.equal(va.events.filter(({ kind }) => kind === 'published-crl').length, 1);
  });

  it('reach a peer that a later CRL was not published to: it gets the later one', async () => {
    const queue = openQueue();
    goAway();
    goAway('other');
    await publish(queue, make({ number: '1' }), 'queue', ['va', 'other']);
    await publish(queue, make({ number: '2' }), 'queue', ['other']);
    assert.equal((await marks(queue)).length, 2);
    comeBack(queue);
    await until(async () => (await numbersAtVa())[0] === '2');
  });

  it('survive a restart', async () => {
    const before = openQueue();
    goAway();
    await publish(before, make({ number: '1' }), 'queue');
    await before.close();
    peers.set('va', publishPeer('VA', va.client));
    const queue = openQueue();
    await queue.resume();
    await untilEmpty(queue);
    assert.deepEqual(await numbersAtVa(), ['1']);
  });

  it('are given up in the middle when a newer one takes their place, and the peer keeps none of it', async () => {
    const { crl } = await writeCrl(own.store, make({ number: '1', entries: manyEntries(100_000) }));
    const { crls } = own.store;
    const sender = new CrlSender({
      ...crls,
      async read(fingerprint, position) {
        if (position > 0) await writeCrl(own.store, make({ number: '2' }));
        return crls.read(fingerprint, position);
      },
    });
    const mark = { fingerprint: crl.fingerprint } as QueueMark;
    const { signal } = new AbortController();
    assert.deepEqual(await sender.send(va.client, [mark], signal), [{ verdict: 'replaced' }]);
    assert.deepEqual(await numbersAtVa(), []);
    // Once it is known to be replaced, nothing is sent at all.
    assert.deepEqual(await sender.send(va.client, [mark], signal), [{ verdict: 'replaced' }]);
  });

  it('take the full CRL along when a delta CRL finds no base at the peer', async () => {
    const queue = openQueue();
    await writeCrl(own.store, make({ number: '1' }));
    assert.equal(await verdictOf(queue, make({ number: '2', base: '1' })), 'stored');
    assert.deepEqual(await numbersAtVa(), ['1', '2']);
  });

  it('are parked with the cause when the peer refuses them, and go once a newer one comes', async () => {
    const queue = openQueue();
    await writeCrl(atVa.store, make({ number: '9' }));
    assert.equal(await verdictOf(queue, make({ number: '8' })), 'refused ERR_CRL_TOO_OLD');
    await until(async () => ((await marks(queue))[0]?.parkedAt ?? -1) > 0);
    const [status] = await queue.status(['va'], HOUR_MS);
    assert.deepEqual([status?.parked, status?.waiting, status?.lastErrorCode], [1, 0, 'ERR_CRL_TOO_OLD']);
    // It stands in nobody's way.
    assert.equal(await verdictOf(queue, makeCrl({ issuer: OTHER, number: '1' })), 'stored');
    assert.equal(await verdictOf(queue, make({ number: '10', thisUpdate: daysFromNow(0) })), 'stored');
    await untilEmpty(queue);
  });

  it('are parked where this side may not write CRLs, and go by a retry once it may', async () => {
    const queue = openQueue();
    va.server.setRoles([caRole({ '/peerincoming': 'allow', '/peerpublish/writecert': 'allow', '/ca': 'allow' })]);
    assert.equal(await verdictOf(queue, make()), 'refused ERR_NOT_AUTHORIZED');
    va.server.setRoles([caRole()]);
    await delay(100);
    assert.equal(await queue.retry({ peer: 'va', state: 'parked' }), 1);
    await untilEmpty(queue);
    assert.deepEqual(await numbersAtVa(), ['1']);
  });

  it('are refused, and queued for nobody, when the own store does not take them', async () => {
    const queue = openQueue();
    await publish(queue, make({ number: '5' }));
    await untilEmpty(queue);
    const forged = make({ number: '6', signer: OTHER });
    for (const [crl, code] of [
      [make({ number: '4' }), 'ERR_CRL_TOO_OLD'],
      [forged, 'ERR_INVALID_CRL'],
      [make({ number: '9', base: '8' }), 'ERR_CRL_BASE_MISSING'],
      [make({ number: '6', nextUpdate: daysFromNow(-0.5) }), 'ERR_CRL_TOO_OLD'],
    ] as const) {
      const { rows, failure } = await publish(queue, crl);
      assert.deepEqual([rows.length, rows[0]?.peer, rows[0]?.verdict, rows[0]?.code], [1, '', 'refused', code]);
      assert.equal(failure?.code, code);
    }
    assert.deepEqual(await marks(queue), []);
    await own.store.close();
    assert.equal((await publish(queue, make({ number: '7' }))).rows[0]?.verdict, 'failed');
  });

  it('are refused before anything else when the input holds none', async () => {
    const queue = openQueue();
    await assert.rejects(publish(queue, 'text'), { code: 'ERR_INVALID_CRL' });
    await assert.rejects(publish(queue, { file: join(own.folder, 'none') }), { code: 'ERR_INVALID_INPUT' });
  });
});
