import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SinonSpy } from 'sinon';
import { publishToPeers } from '../../lib/publisher/publish-to-peers.ts';
import { readCertificate } from '../../lib/x509/certificate.ts';
import type { PeerEndpointNode } from '../../nodes/peer-endpoint.ts';
import { outgoingPeer } from '../helpers/outgoing-peer.ts';
import { authenticatorNode, endpointNode, flowNode, roleNode, storeNode } from '../helpers/peer-flow.ts';
import { directTask } from '../helpers/publish-task.ts';
import { type Message, type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { type Credential, createTestPki } from '../helpers/test-pki.ts';

describe('incoming-auth node', () => {
  const pki = createTestPki();
  const folder = mkdtempSync(join(tmpdir(), 'incoming-'));
  let flow: RuntimeFlow | undefined;
  const peers: { close(): Promise<void> }[] = [];

  afterEach(async () => {
    await Promise.all(peers.splice(0).map((peer) => peer.close()));
    await flow?.close();
    flow = undefined;
  });

  after(() => {
    rmSync(folder, { recursive: true });
    // The runtime in this process has no user directory.
    rmSync('peer-systems.json', { force: true });
  });

  const baseNodes = () => [
    authenticatorNode('va', pki.vaServer, pki.managementCa),
    storeNode('store', join(folder, 'va.sqlite')),
  ];
  const watchNode = (endpoint = 'endpoint', fields: object = {}) =>
    flowNode('watch', 'peer-incoming-auth', ['out'], { endpoint, ...fields });
  const start = async (fields: object = {}, endpoint = 'endpoint', watch: object = {}): Promise<RuntimeFlow> => {
    flow = await runFlow([
      ...baseNodes(),
      roleNode('role'),
      endpointNode('endpoint', 0, { ...fields }),
      watchNode(endpoint, watch),
    ]);
    return flow;
  };
  const listen = async (): Promise<RuntimeFlow> => {
    const running = await start();
    await running.waitFor(() => (running.node('endpoint') as PeerEndpointNode).port(), 'the endpoint to listen');
    return running;
  };
  const connect = (running: RuntimeFlow, identity: Credential = pki.caClient) => {
    const port = (running.node('endpoint') as PeerEndpointNode).port() ?? 0;
    const peer = outgoingPeer(port, identity, pki.managementCa);
    peers.push(peer);
    return peer.client;
  };
  const event = (running: RuntimeFlow, topic: string): Promise<Message> =>
    running.waitFor(() => running.outputs.find((message) => message['topic'] === topic), `the event ${topic}`);

  it('tells of a first contact, with who it is', async () => {
    const running = await listen();
    await connect(running).ping();
    const { payload } = await event(running, 'first-contact');
    const { id, subjectDN, issuerDN, address } = payload as Record<string, string>;
    assert.equal(id, readCertificate(pki.caClient.certificate).fingerprint);
    assert.deepEqual([subjectDN, issuerDN], ['CN=ca-1,O=Test,C=SE', 'CN=Management CA,O=Test,C=SE']);
    assert.equal(address, '127.0.0.1');
  });

  it('tells with which roles a peer was admitted', async () => {
    const running = await listen();
    await connect(running).ping();
    const { payload, peer } = await event(running, 'admitted');
    assert.equal((payload as { roles: string }).roles, 'the role');
    assert.deepEqual((peer as { roles: string[] }).roles, ['the role']);
  });

  it('tells how many certificates were published', async () => {
    const running = await listen();
    await publishToPeers(
      [pki.caClient.certificatePem, pki.vaServer.certificatePem],
      directTask({ VA: connect(running) }),
    );
    const { payload } = await event(running, 'published');
    const { stored, unchanged, refused } = payload as Record<string, number>;
    assert.deepEqual([stored, unchanged, refused], [2, 0, 0]);
  });

  it('answers any message with a table of plain rows, on the message it came with', async () => {
    const running = await listen();
    await connect(running).ping();
    const { message } = await running.send('watch', { topic: 'mine', payload: '' });
    assert.equal(message?.['topic'], 'mine');
    const rows = message?.['payload'] as Record<string, unknown>[];
    assert.deepEqual(
      rows.map(({ subjectDN, roles, requests, lastOperation }) => [subjectDN, roles, requests, lastOperation]),
      [['CN=ca-1,O=Test,C=SE', 'the role', 1, 'ping']],
    );
    for (const value of Object.values(rows[0] ?? {})) assert.match(typeof value, /^(string|number|boolean)$/);
  });

  it('tells that the roles of a connected peer have changed, and which it had', async () => {
    const nobody = { members: [{ match: 'commonName', value: 'x', issuer: 'CN=X' }] };
    // Of an endpoint that lists several, the runtime renews the role alone.
    const others = [
      roleNode('second', nobody),
      endpointNode('endpoint', 0, { roles: ['role', 'second'] }),
      watchNode(),
    ];
    flow = await runFlow([...baseNodes(), roleNode('role'), ...others]);
    const running = flow;
    await running.waitFor(() => (running.node('endpoint') as PeerEndpointNode).port(), 'the endpoint to listen');
    await connect(running).ping();
    await event(running, 'admitted');
    await running.redeploy([...baseNodes(), roleNode('role', nobody), ...others], 'nodes');
    const { payload } = await event(running, 'role-changed');
    const { roles, cause } = payload as Record<string, string>;
    assert.deepEqual([roles, cause], ['', 'the role']);
  });

  it('tells that a certificate is about to expire', async function () {
    this.timeout(12_000);
    const running = await start({}, 'endpoint', { expiryDays: 60 });
    await running.waitFor(() => (running.node('endpoint') as PeerEndpointNode).port(), 'the endpoint to listen');
    await connect(running).ping();
    const { payload } = await event(running, 'expiring');
    assert.match((payload as { cause: string }).cause, /^\d{4}-\d\d-\d\dT/);
  });

  it('refuses a peer by its fingerprint, admits it again and forgets it', async () => {
    const running = await listen();
    const client = connect(running);
    await client.ping();
    const tableAfter = async (message: object): Promise<readonly Record<string, unknown>[]> => {
      const { message: answer } = await running.send('watch', { ...message });
      return (answer?.['payload'] ?? []) as Record<string, unknown>[];
    };
    const [row = {}] = await tableAfter({});
    const [refused] = await tableAfter({ topic: 'refuse', payload: row });
    assert.equal(refused?.['isBlocked'], true);
    await assert.rejects(client.ping(), { code: 'ERR_NOT_AUTHENTICATED' });
    await running.send('watch', { topic: 'admit', payload: row['id'] });
    assert.ok(await client.ping());
    assert.deepEqual(await tableAfter({ topic: 'forget', payload: row['id'] }), []);
  });

  for (const payload of ['', 'CN=ca-1', 7, null, { id: '<b>' }]) {
    it(`refuses nobody for ${JSON.stringify(payload)}`, async () => {
      const { error } = await (await listen()).send('watch', { topic: 'refuse', payload });
      assert.equal(error?.code, 'ERR_INVALID_INPUT');
    });
  }

  it('answers with an empty table before anybody came', async () => {
    const { message } = await (await listen()).send('watch', {});
    assert.deepEqual(message?.['payload'], []);
  });

  it('shows that the endpoint listens', async () => {
    const running = await listen();
    const status = running.node('watch').status as unknown as SinonSpy;
    await running.waitFor(() => status.args.find(([{ fill, shape }]) => fill === 'green' && shape === 'dot'), 'green');
  });

  it('shows that the endpoint is off, and answers with an empty table', async () => {
    const running = await start({ incoming: false });
    const { message } = await running.send('watch', {});
    assert.deepEqual(message?.['payload'], []);
    const { args } = (running.node('watch').status as unknown as SinonSpy).lastCall;
    assert.deepEqual([args[0].fill, args[0].text], ['grey', 'incoming-auth.status.off']);
  });

  for (const cause of ['expired', 'self-signed', 'untrusted issuer', 'wrong purpose'] as const) {
    it(`tells of a refusal because a certificate is ${cause}`, async () => {
      const running = await listen();
      await assert.rejects(connect(running, pki.strangers()[cause]).ping(), { code: 'ERR_NOT_AUTHENTICATED' });
      const { payload } = await event(running, 'refused');
      assert.match((payload as { cause: string }).cause, new RegExp(cause));
    });
  }

  it('tells of a refusal because no role allows it, and lists it', async () => {
    const running = await listen();
    await assert.rejects(connect(running, pki.nobody()).ping(), { code: 'ERR_NOT_AUTHORIZED' });
    const { payload } = await event(running, 'refused');
    assert.match((payload as { cause: string }).cause, /peerincoming/);
    const { message } = await running.send('watch', {});
    const [row] = (message?.['payload'] ?? []) as Record<string, unknown>[];
    assert.deepEqual([row?.['subjectDN'], row?.['refusals']], ['CN=nobody,O=Test,C=SE', 1]);
  });

  it('fails a message without an endpoint, and says so at the deploy', async () => {
    const running = await start({}, '');
    assert.match(running.logged().join('\n'), /No peer-endpoint is set/);
    assert.equal((await running.send('watch', {})).error?.code, 'ERR_INVALID_CONFIG');
  });

  it('fails a message for an endpoint that is another kind of node', async () => {
    const running = await start({}, 'role');
    assert.equal((await running.send('watch', {})).error?.code, 'ERR_INVALID_CONFIG');
  });

  it('stops following the endpoint when it is closed', async () => {
    const running = await listen();
    const { events } = running.node('endpoint') as PeerEndpointNode;
    assert.equal(events.listenerCount('event'), 1);
    flow = undefined;
    assert.ok((await running.close()) < 1_000);
    assert.equal(events.listenerCount('event') + events.listenerCount('listening') + events.listenerCount('off'), 0);
  });
});
