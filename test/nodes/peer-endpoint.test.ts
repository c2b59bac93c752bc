import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { publishToPeers } from '../../lib/publisher/publish-to-peers.ts';
import type { PeerEndpointNode } from '../../nodes/peer-endpoint.ts';
import type { FlowNode } from '../helpers/node-red.ts';
import { outgoingPeer } from '../helpers/outgoing-peer.ts';
import { authenticatorNode, endpointNode, flowNode, roleNode, storeNode } from '../helpers/peer-flow.ts';
import { directTask } from '../helpers/publish-task.ts';
import { type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { type Credential, createTestPki } from '../helpers/test-pki.ts';

describe('peer-endpoint node', () => {
  const pki = createTestPki();
  const folder = mkdtempSync(join(tmpdir(), 'endpoint-node-'));
  let flow: RuntimeFlow | undefined;
  const peers: { close(): Promise<void> }[] = [];

  afterEach(async () => {
    await Promise.all(peers.splice(0).map((peer) => peer.close()));
    await flow?.close();
    flow = undefined;
  });

  after(() => rmSync(folder, { recursive: true }));

  let stores = 0;
  const nodes = (fields: object = {}, others: readonly FlowNode[] = [roleNode('role')]): FlowNode[] => [
    authenticatorNode('va', pki.vaServer, pki.managementCa),
    storeNode('store', join(folder, `va-${++stores}.sqlite`)),
    ...others,
    endpointNode('endpoint', 0, { ...fields }),
    flowNode('watch', 'peer-incoming-auth', ['out'], { endpoint: 'endpoint' }),
  ];
  const endpointOf = (running: RuntimeFlow): PeerEndpointNode => running.node('endpoint') as PeerEndpointNode;

  const listen = async (fields: object = {}, others?: readonly FlowNode[]): Promise<RuntimeFlow> => {
    flow = await runFlow(nodes(fields, others));
    const running = flow;
    await running.waitFor(() => endpointOf(running).port(), 'the endpoint to listen');
    return flow;
  };
  const connect = (running: RuntimeFlow, identity: Credential = pki.caClient) => {
    const peer = outgoingPeer(endpointOf(running).port() ?? 0, identity, pki.managementCa);
    peers.push(peer);
    return peer.client;
  };

  /** The error that a Catch node gets instead of a listening endpoint. */
  const refusalOf = async (fields: object, others?: readonly FlowNode[]) => {
    flow = await runFlow(nodes(fields, others));
    const running = flow;
    const caught = await running.waitFor(() => running.errors[0], 'an error');
    assert.equal(endpointOf(running).port(), undefined);
    return caught['error'] as { code: string; message: string; source: { id: string } };
  };

  it('is off by default', async () => {
    flow = await runFlow(nodes({ incoming: false }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(endpointOf(flow).port(), undefined);
    assert.equal(endpointOf(flow).incoming(), undefined);
  });

  it('answers pings of a peer that has a role', async () => {
    const client = connect(await listen());
    assert.ok((await client.ping()).roundTripMs > 0);
  });

  it('tells this package and its version', async () => {
    const { software } = await connect(await listen()).capabilities();
    assert.match(software, /^@pki-flows\/node-red-ejbca-peers\/\d+\.\d+\.\d+/);
  });

  it('stores what is published and takes it back from disk after a redeploy', async () => {
    const running = await listen();
    const task = directTask({ VA: connect(running) });
    const first = await publishToPeers(pki.caClient.certificatePem, task);
    assert.equal(first.report.stored, 1);
    const second = await publishToPeers(pki.caClient.certificatePem, task);
    assert.equal(second.report.unchanged, 1);
  });

  it('takes a port given as text, as a variable of the flow gives it', async () => {
    process.env['TEST_PEER_PORT'] = '0';
    const running = await listen({ port: '$' + '{TEST_PEER_PORT}' });
    delete process.env['TEST_PEER_PORT'];
    assert.ok(await connect(running).ping());
  });

  it('stops within a second, with peers connected, and frees its port', async () => {
    const running = await listen();
    await connect(running).ping();
    const port = endpointOf(running).port();
    flow = undefined;
    assert.ok((await running.close()) < 1_000);
    const server = createServer().listen(port, '127.0.0.1');
    await once(server, 'listening');
    server.close();
  });

  describe('after a deploy of changed nodes only', () => {
    const second = roleNode('second', { members: [{ match: 'commonName', value: 'x', issuer: 'CN=X' }] });
    const twoRoles = { roles: ['role', 'second'] };

    it('applies a role that was changed, also when it lists several', async () => {
      const running = await listen(twoRoles, [roleNode('role'), second]);
      const client = connect(running);
      assert.ok(await client.ping());
      stores -= 1;
      const denied = roleNode('role', { rules: [{ path: '/peerincoming', state: 'deny' }] });
      await running.redeploy(nodes(twoRoles, [denied, second]), 'nodes');
      await assert.rejects(client.ping(), { code: 'ERR_NOT_AUTHORIZED' });
    });

    it('stops listening when a role became unusable', async () => {
      const running = await listen(twoRoles, [roleNode('role'), second]);
      stores -= 1;
      const wrong = roleNode('role', { rules: [{ path: '/peerincomming', state: 'allow' }] });
      await running.redeploy(nodes(twoRoles, [wrong, second]), 'nodes');
      await running.waitFor(() => running.errors[0], 'an error');
      assert.equal(endpointOf(running).port(), undefined);
    });
  });

  describe('refuses', () => {
    it('a peer without a role', async () => {
      const client = connect(await listen(), pki.nobody());
      await assert.rejects(client.ping(), { code: 'ERR_NOT_AUTHORIZED' });
    });

    it('everybody when it has no role', async () => {
      const client = connect(await listen({ roles: [] }, []));
      await assert.rejects(client.ping(), { code: 'ERR_NOT_AUTHORIZED' });
    });

    for (const cause of ['expired', 'not yet valid', 'untrusted issuer', 'self-signed', 'wrong purpose'] as const) {
      it(`a certificate that is ${cause}, and says so`, async () => {
        const client = connect(await listen(), pki.strangers()[cause]);
        await assert.rejects(client.ping(), ({ code, message }: { code: string; message: string }) => {
          assert.equal(code, 'ERR_NOT_AUTHENTICATED');
          assert.match(message, new RegExp(cause));
          return true;
        });
      });
    }

    it('certificates when it has no store', async () => {
      const task = directTask({ VA: connect(await listen({ store: '' })) });
      const { failure } = await publishToPeers(pki.caClient.certificatePem, task);
      assert.equal(failure?.code, 'ERR_STORE_UNAVAILABLE');
    });
  });

  describe('does not start', () => {
    it('on a port that is taken', async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const { code, message, source } = await refusalOf({ port });
      server.close();
      assert.equal(code, 'ERR_INVALID_CONFIG');
      assert.match(message, new RegExp(String(port)));
      assert.equal(source.id, 'endpoint');
    });

    it('on an address that is not of this machine', async () => {
      assert.equal((await refusalOf({ host: '192.0.2.1' })).code, 'ERR_INVALID_CONFIG');
    });

    const wrong: Record<string, object> = {
      'with a port that is no number': { port: 'https' },
      'with an empty port': { port: '' },
      'with a port above 65535': { port: 70_000 },
      'with TLS 1.1': { minTlsVersion: 'TLSv1.1' },
      'with a role that does not exist': { roles: ['role', 'gone'] },
      'with a role that is another kind of node': { roles: ['store'] },
      'with a store that does not exist': { store: 'gone' },
      'without an authenticator': { authenticator: '' },
    };
    for (const [name, fields] of Object.entries(wrong)) {
      it(name, async () => {
        assert.equal((await refusalOf(fields)).code, 'ERR_INVALID_CONFIG');
      });
    }

    it('with a role that holds an unknown rule', async () => {
      const role = roleNode('role', { rules: [{ path: '/peerincomming', state: 'allow' }] });
      const { code, message } = await refusalOf({}, [role]);
      assert.equal(code, 'ERR_INVALID_CONFIG');
      assert.match(message, /peerincomming/);
    });

    it('with a key that cannot be read', async () => {
      const files = {
        source: 'pem-files',
        certificateFile: join(folder, 'none.crt'),
        keyFile: join(folder, 'none.key'),
      };
      const broken = { ...authenticatorNode('broken', pki.vaServer, pki.managementCa), ...files };
      const { code } = await refusalOf({ authenticator: 'broken' }, [roleNode('role'), broken]);
      assert.equal(code, 'ERR_IDENTITY_UNREADABLE');
    });
  });
});
