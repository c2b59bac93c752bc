import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { PublishReport, PublishRow } from '../../lib/publisher/publish-report.ts';
import type { PeerQueueStatus } from '../../lib/publisher/publisher-status.ts';
import type { QueueRow } from '../../lib/publisher/queue-command.ts';
import { WorkerStore } from '../../lib/store/worker-store.ts';
import { readCertificate } from '../../lib/x509/certificate.ts';
import { type FlowNode, startNodeRed } from '../helpers/node-red.ts';
import { authenticatorNode, connectorNode, flowNode, storeNode } from '../helpers/peer-flow.ts';
import { type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { type Credential, createTestPki, issue, issueRootCa } from '../helpers/test-pki.ts';
import { startTwoPeers, type TwoPeers } from '../helpers/two-peers.ts';

const NOBODY_URL = 'https://127.0.0.1:9';
const INDEX_TEST = '05a219d835622653192c30eeeee8f01f918b30fb';

describe('publish-cert node with a queue', () => {
  const pki = createTestPki();
  const issuingCa = issueRootCa('CN=Issuing CA,O=Test,C=SE');
  const folder = mkdtempSync(join(tmpdir(), 'publish-queue-'));
  let number = 0;
  let file: string;
  let vaStore: WorkerStore;
  let va: TwoPeers;
  let flow: RuntimeFlow | undefined;

  beforeEach(async () => {
    file = join(folder, `ca-${++number}.sqlite`);
    vaStore = new WorkerStore({ kind: 'sqlite', file: join(folder, `va-${number}.sqlite`) });
    va = await startTwoPeers({ pki, store: vaStore });
  });

  afterEach(async () => {
    await flow?.close();
    flow = undefined;
    await va.close();
    await vaStore.close();
  });

  after(() => rmSync(folder, { recursive: true }));

  let serial = 0;
  const endEntity = (): Credential => issue(issuingCa, { subjectDN: `CN=end entity ${++serial},O=Test` });

  const nodes = (fields: object = {}, connectors: Record<string, string> = { VA: va.url.href }): FlowNode[] => [
    authenticatorNode('ca', pki.caClient, pki.managementCa),
    ...Object.entries(connectors).map(([id, url]) => connectorNode(id, url)),
    storeNode('source', file),
    flowNode('publish', 'peer-publish-cert', [], {
      connectors: Object.keys(connectors),
      mode: 'safe',
      store: 'source',
      wires: [['out'], []],
      ...fields,
    }),
    flowNode('ping', 'peer-ping', ['out'], { connector: Object.keys(connectors)[0] }),
  ];
  const start = async (...parameters: Parameters<typeof nodes>): Promise<RuntimeFlow> => {
    flow = await runFlow(nodes(...parameters));
    return flow;
  };
  const publish = async (running: RuntimeFlow, payload: unknown) => {
    const { message, error } = await running.send('publish', { payload });
    assert.ok(message, error?.message);
    return { rows: message.payload as PublishRow[], report: message.publish as PublishReport };
  };
  const both = { wires: [['out'], ['out']] };
  const ask = async <T>(running: RuntimeFlow, command: Record<string, unknown>): Promise<T> => {
    const { message, error } = await running.send('publish', command);
    assert.ok(message, error?.message);
    return message.payload as T;
  };

  it('publishes safely: on the disk of both sides when the message ends', async () => {
    const credential = endEntity();
    const { report } = await publish(await start(), credential.certificatePem);
    assert.deepEqual([report.stored, report.queued, report.failed], [1, 0, 0]);
    const { fingerprint } = readCertificate(credential.certificate);
    assert.ok(await vaStore.findByFingerprint(fingerprint));
  });

  it('ends as queued when the peer is away, and publishes when it has come', async () => {
    const running = await start({}, { VA: NOBODY_URL });
    const { rows } = await publish(running, endEntity().certificatePem);
    assert.deepEqual(
      rows.map(({ peer, verdict, code }) => [peer, verdict, code]),
      [['the VA', 'queued', 'ERR_PEER_UNREACHABLE']],
    );
    await running.redeploy(nodes(), 'full');
    await running.waitFor(() => va.events.find(({ kind }) => kind === 'published'), 'the certificate');
  });

  it('only queues in the mode queue', async () => {
    const { report } = await publish(await start({ mode: 'queue' }), [endEntity().certificatePem, 'garbage']);
    assert.deepEqual([report.queued, report.refused], [1, 1]);
    await flow?.waitFor(() => va.events.find(({ kind }) => kind === 'published'), 'the certificate');
  });

  it('tells the queue on the second output, and answers commands there', async () => {
    const running = await start(both, { VA: NOBODY_URL });
    await running.send('publish', { payload: [endEntity().certificatePem, endEntity().certificatePem] });
    const told = await running.waitFor(
      () =>
        running.outputs.find(
          ({ topic, payload }) => topic === 'queue' && (payload as PeerQueueStatus[])[0]?.waiting === 2,
        ),
      'the state of the queue',
    );
    const [row] = told.payload as PeerQueueStatus[];
    assert.deepEqual([row?.peer, row?.under1m, row?.lastErrorCode], ['the VA', 2, 'ERR_PEER_UNREACHABLE']);
    const [status] = await ask<PeerQueueStatus[]>(running, { queue: 'status' });
    assert.equal(status?.waiting, 2);
    const [mark] = await ask<QueueRow[]>(running, { queue: 'list', limit: 1 });
    assert.deepEqual([mark?.peer, mark?.kind, mark?.state], ['the VA', 'certificate', 'waiting']);
    assert.equal(await ask(running, { queue: 'retry', fingerprints: mark?.fingerprint }), 1);
    assert.equal(await ask(running, { queue: 'empty' }), 0);
    assert.equal(await ask(running, { queue: 'empty', state: 'all' }), 2);
  });

  for (const [what, command] of Object.entries<Record<string, unknown>>({
    'a command that is none': { queue: 'flush' },
    'a state that is none': { queue: 'list', state: 'lost' },
    'a fingerprint that is none': { queue: 'retry', fingerprints: ['abc'] },
    'a list that is too long': { queue: 'list', limit: 1e6 },
  })) {
    it(`refuses ${what}`, async () => {
      const { error } = await (await start()).send('publish', command);
      assert.equal(error?.code, 'ERR_INVALID_INPUT');
    });
  }

  it('refuses to queue without a store, with groups that name others, and in a way that is none', async () => {
    for (const fields of [{ store: '' }, { groups: 'somebody' }, { mode: 'fast' }, { outOfSyncAfter: 0 }]) {
      const running = await start(fields);
      const { error } = await running.send('publish', { payload: endEntity().certificatePem });
      assert.equal(error?.code, 'ERR_INVALID_CONFIG', JSON.stringify(fields));
      await running.close();
    }
  });

  it('has no queue to ask in the mode direct', async () => {
    const { error } = await (await start({ mode: 'direct' })).send('publish', { queue: 'status' });
    assert.equal(error?.code, 'ERR_INVALID_CONFIG');
  });

  for (const mode of ['direct', 'safe'] as const) {
    it(`passes over what is never published, and what is not for this VA (${mode})`, async () => {
      const running = await start({ mode, onlyRevoked: true, withCertificate: false });
      const indexTest = { fingerprint: INDEX_TEST, issuerDN: 'CN=test', serialNumber: '1', status: 'revoked' };
      const limited = { issuerDN: 'CN=Issuing CA,O=Test,C=SE', serialNumber: '4711', revocationReason: 'superseded' };
      const revoked = endEntity();
      const { rows, report } = await publish(running, [
        endEntity().certificatePem,
        indexTest,
        limited,
        { certificate: revoked.certificatePem, status: 'revoked' },
        { certificate: endEntity().certificatePem, revocationReason: 'removeFromCRL' },
        issuingCa.certificatePem,
      ]);
      assert.deepEqual(
        rows.map(({ verdict }) => verdict),
        ['skipped', 'skipped', 'stored', 'stored', 'stored', 'stored'],
      );
      assert.equal(report.skipped, 2);
      const [entry] = await vaStore.findBySerialNumber(limited.issuerDN, '4711');
      assert.deepEqual([entry?.subjectDN, entry?.status, entry?.certificate], ['CN=limited', 40, null]);
      const { fingerprint } = readCertificate(revoked.certificate);
      assert.equal((await vaStore.findByFingerprint(fingerprint))?.certificate, null);
      const ca = await vaStore.findByFingerprint(readCertificate(issuingCa.certificate).fingerprint);
      assert.notEqual(ca?.certificate, null);
      assert.equal(await vaStore.findByFingerprint(INDEX_TEST), undefined);
    });
  }

  for (const mode of ['direct', 'safe'] as const) {
    it(`gives each group to the member that is there (${mode})`, async () => {
      const connectors = { A: va.url.href, B: NOBODY_URL };
      const running = await start({ mode, groups: 'the A\nthe B' }, connectors);
      const { rows } = await publish(running, [endEntity().certificatePem, endEntity().certificatePem]);
      assert.deepEqual(
        rows.map(({ peer, verdict }) => [peer, verdict]),
        [
          ['the A', 'stored'],
          ['the A', 'stored'],
        ],
      );
    });
  }

  it('tells load balancers which peers are out of sync, for as long as it lives', async function () {
    this.timeout(60_000);
    const nodeRed = await startNodeRed();
    try {
      const tab = { id: 'tab', type: 'tab', label: 'test' };
      const certificate = endEntity().certificatePem;
      const inject = flowNode('inject', 'inject', ['publish'], {
        props: [{ p: 'payload' }],
        payload: certificate,
        payloadType: 'str',
        once: true,
        onceDelay: 0.1,
      });
      const debug = flowNode('out', 'debug', [], {
        active: true,
        tosidebar: true,
        complete: 'payload',
        targetType: 'msg',
      });
      const path = '/peers/va-status';
      const deployed = nodes({ statusPath: path, mode: 'queue' }, { VA: NOBODY_URL });
      await nodeRed.deploy([tab, inject, debug, ...deployed]);
      const get = async (query = ''): Promise<readonly [number, unknown]> => {
        const response = await fetch(`${nodeRed.url}${path}${query}`);
        assert.ok(response.status === 404 || response.headers.get('cache-control') === 'no-store');
        return [response.status, await response.json()];
      };
      await nodeRed.waitForDebug('out', (rows: PublishRow[]) => rows[0]?.verdict === 'queued');
      assert.deepEqual(await get(), [200, []]);
      // The node's own writes come between.
      const db = new DatabaseSync(file, { timeout: 5_000 });
      const longAgo = Date.now() - 2 * 3_600_000;
      db.exec(`UPDATE PublisherQueue SET addedAt = ${longAgo}`);
      const late = [503, [{ peer: 'the VA', oldest: new Date(longAgo).toISOString(), waiting: 1 }]];
      assert.deepEqual(await get(), late);
      assert.deepEqual(await get('?peer=the%20VA'), late);
      assert.deepEqual(await get('?peer=nobody'), [404, []]);
      assert.equal((await fetch(nodeRed.url + path, { method: 'HEAD' })).status, 503);
      db.exec('DELETE FROM PublisherQueue');
      db.close();
      assert.deepEqual(await get(), [200, []]);
      await nodeRed.deploy([tab, ...nodes({ statusPath: 'nowhere' })]);
      assert.equal((await fetch(nodeRed.url + path)).status, 404);
      await nodeRed.waitForLog(/"nowhere" is not a path/);
    } finally {
      await nodeRed.stop();
    }
  });

  it('drains by one drainer, however many nodes use store and peer', async () => {
    const two = flowNode('other', 'peer-publish-cert', ['out'], { connectors: ['VA'], mode: 'safe', store: 'source' });
    flow = await runFlow([...nodes(), two]);
    const many = Array.from({ length: 20 }, () => endEntity().certificatePem);
    const running = flow;
    const ended = await Promise.all(
      many.map((payload, index) => running.send(index % 2 === 0 ? 'publish' : 'other', { payload })),
    );
    assert.ok(ended.every(({ message }) => (message?.publish as PublishReport | undefined)?.stored === 1));
    const told = va.events.filter(({ kind }) => kind === 'published');
    const rows = told.reduce((sum, event) => sum + Number((event as { unchanged?: number }).unchanged ?? 0), 0);
    assert.equal(rows, 0, 'something was published twice');
  });

  it('publishes what waits when a ping succeeds', async () => {
    const running = await start();
    await va.close();
    await publish(running, endEntity().certificatePem);
    va = await startTwoPeers({ pki, store: vaStore, endpoint: { port: Number(va.url.port) } });
    const begun = performance.now();
    await running.send('ping', {});
    await running.waitFor(() => va.events.find(({ kind }) => kind === 'published'), 'the certificate');
    assert.ok(performance.now() - begun < 2_000);
  });

  it('says what is wrong with its store, queues nothing, and works once it is right', async function () {
    this.timeout(30_000);
    const running = await start();
    await publish(running, endEntity().certificatePem);
    const db = new DatabaseSync(file);
    db.exec('BEGIN IMMEDIATE');
    const locked = await running.send('publish', { payload: endEntity().certificatePem });
    assert.equal(locked.error?.code, 'ERR_STORE_UNAVAILABLE');
    db.exec('COMMIT');
    db.close();
    const { report } = await publish(running, endEntity().certificatePem);
    assert.equal(report.stored, 1);
  });

  it('closes at once while the peer is away', async () => {
    const running = await start({}, { VA: NOBODY_URL });
    await publish(running, endEntity().certificatePem);
    assert.ok((await running.close()) < 1_500);
    flow = undefined;
  });
});
