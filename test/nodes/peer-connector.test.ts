import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import type { PeerConnectorNode } from '../../nodes/peer-connector.ts';
import { authenticatorNode, connectorNode, flowNode } from '../helpers/peer-flow.ts';
import { type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { type Credential, createTestPki, issueRootCa } from '../helpers/test-pki.ts';
import { startTwoPeers, type TwoPeers } from '../helpers/two-peers.ts';

describe('peer-connector node', () => {
  const pki = createTestPki();
  let va: TwoPeers;
  let flow: RuntimeFlow | undefined;

  before(async () => {
    va = await startTwoPeers({ pki });
  });

  afterEach(async () => {
    await flow?.close();
    flow = undefined;
  });

  after(() => va.close());

  interface Setup {
    readonly url?: string;
    readonly fields?: object;
    readonly identity?: Credential;
    readonly trusted?: Credential;
  }

  const start = async ({ url = va.url.href, fields, identity, trusted }: Setup = {}): Promise<RuntimeFlow> => {
    flow = await runFlow([
      authenticatorNode('ca', identity ?? pki.caClient, trusted ?? pki.managementCa),
      connectorNode('VA', url, { ...fields }),
      flowNode('ping', 'peer-ping', ['out'], { connector: 'VA' }),
    ]);
    return flow;
  };
  /** A web server with a certificate that the CA side trusts. */
  const startWeb = async (answer: (response: ServerResponse) => void) => {
    const { certificatePem: cert, keyPem: key } = pki.vaServer;
    const server = createHttpsServer({ cert, key }, (_, response) => answer(response)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const close = (): void => {
      server.close();
      server.closeAllConnections();
    };
    return { url: `https://localhost:${(server.address() as AddressInfo).port}`, close };
  };
  const connectorOf = (running: RuntimeFlow): PeerConnectorNode => running.node('VA') as PeerConnectorNode;

  const refusalOf = async (setup: Setup) => {
    const { error } = await (await start(setup)).send('ping', {});
    assert.ok(error, 'the ping was answered');
    return error;
  };

  it('opens no connection before it is used', async () => {
    const running = await start();
    assert.equal(connectorOf(running).facts().state, 'stopped');
    await running.send('ping', {});
    assert.equal(connectorOf(running).facts().state, 'running');
  });

  it('tells pool numbers, both certificates, protocol and cipher', async () => {
    const running = await start({ fields: { maxConnections: '7' } });
    await running.send('ping', {});
    const { max, inUse, clientCertificate, serverCertificate, protocol } = connectorOf(running).facts();
    assert.deepEqual({ max, inUse, protocol }, { max: 7, inUse: 0, protocol: 'TLSv1.3' });
    assert.equal(clientCertificate?.subjectDN, 'CN=ca-1,O=Test,C=SE');
    assert.equal(serverCertificate?.subjectDN, 'CN=va-1,O=Test,C=SE');
  });

  it('knows the flow nodes that use it, by id', async () => {
    const running = await start();
    assert.deepEqual(Object.keys(connectorOf(running).users), ['ping']);
  });

  it('fills variables of the environment into its URL', async () => {
    process.env['TEST_VA_PORT'] = va.url.port;
    const running = await start({ url: 'https://localhost:{{TEST_VA_PORT}}' });
    delete process.env['TEST_VA_PORT'];
    assert.ok((await running.send('ping', {})).message);
  });

  it('takes its whole URL from a variable of the flow', async () => {
    process.env['TEST_VA_URL'] = va.url.href;
    const running = await start({ url: '$' + '{TEST_VA_URL}' });
    delete process.env['TEST_VA_URL'];
    assert.ok((await running.send('ping', {})).message);
  });

  it('uses new connections after a reset', async () => {
    const running = await start();
    await running.send('ping', {});
    const before = va.server.incoming.list()[0]?.connections ?? 0;
    connectorOf(running).reset();
    assert.ok((await running.send('ping', {})).message);
    await running.waitFor(
      () => ((va.server.incoming.list()[0]?.connections ?? 9) <= before ? true : undefined),
      'the end of the old',
    );
  });

  it('closes its connections within a second, and the peer sees them go', async () => {
    const running = await start();
    await running.send('ping', {});
    flow = undefined;
    assert.ok((await running.close()) < 1_000);
    const count = (): number => va.server.incoming.list()[0]?.connections ?? 0;
    await running.waitFor(() => (count() === 0 ? true : undefined), 'the peer to see the end of all connections');
  });

  it('leaves no timer and no socket behind', async () => {
    const useOnce = async (): Promise<void> => {
      const running = await start();
      await running.send('ping', {});
      flow = undefined;
      await running.close();
      await setTimeout(100);
    };
    // The first use may start what belongs to the runtime.
    await useOnce();
    const before = resources();
    for (let i = 0; i < 3; i++) await useOnce();
    assert.deepEqual(resources(), before);
  });

  it('lets a message wait no longer than its request timeout', async () => {
    const silent = await startWeb(() => undefined);
    const { code } = await refusalOf({ url: silent.url, fields: { requestTimeoutMs: 300 } });
    silent.close();
    assert.equal(code, 'ERR_PEER_TIMEOUT');
  });

  const wrongUrls: Record<string, string> = {
    'is empty': '',
    'is none': 'not a url',
    'is plain http': 'http://localhost:8443/ejbca/peer/v1',
    'is of another scheme': 'ftp://localhost/ejbca/peer/v1',
    'has another path': 'https://localhost:8443/somewhere',
    'has a query': 'https://localhost:8443/ejbca/peer/v1?x=1',
    'holds a password': 'https://user:hunter2@localhost:8443/ejbca/peer/v1',
    'names a variable without a value': 'https://{{NO_SUCH_VARIABLE}}:8443',
    'is an unfinished template': 'https://{{VA_HOST:8443',
    'has no such port': 'https://localhost:99999',
  };
  for (const [name, url] of Object.entries(wrongUrls)) {
    it(`fails every message when its URL ${name}`, async () => {
      const { code, message } = await refusalOf({ url });
      assert.equal(code, 'ERR_INVALID_CONFIG');
      assert.doesNotMatch(message, /hunter2/);
    });
  }

  it('says what is wrong already at the deploy', async () => {
    const running = await start({ url: 'http://localhost:8443' });
    assert.match(running.logged().join('\n'), /is not https/);
  });

  const wrongFields: Record<string, object> = {
    'a maximum of zero': { maxConnections: 0 },
    'a maximum that is no number': { maxConnections: 'many' },
    'a maximum of 1.5': { maxConnections: 1.5 },
    'an empty timeout': { requestTimeoutMs: '' },
    'a timeout of a day': { requestTimeoutMs: 86_400_000 },
    'TLS 1.1': { minTlsVersion: 'TLSv1.1' },
    'no authenticator': { authenticator: '' },
    'an authenticator that is gone': { authenticator: 'gone' },
    'an authenticator that is another kind of node': { authenticator: 'ping' },
  };
  for (const [name, fields] of Object.entries(wrongFields)) {
    it(`fails every message with ${name}`, async () => {
      assert.equal((await refusalOf({ fields })).code, 'ERR_INVALID_CONFIG');
    });
  }

  it('fails every message while it is disabled', async () => {
    assert.equal((await refusalOf({ fields: { enabled: false } })).code, 'ERR_CONNECTOR_DISABLED');
    assert.equal(connectorOf(flow as RuntimeFlow).facts().state, 'disabled');
  });

  it('does not trust a peer of another CA', async () => {
    assert.equal((await refusalOf({ trusted: issueRootCa('CN=Other CA') })).code, 'ERR_PEER_NOT_TRUSTED');
  });

  it('does not trust a peer whose certificate is for another host', async () => {
    const url = va.url.href.replace('localhost', '127.0.0.2');
    assert.match((await refusalOf({ url })).code, /ERR_PEER_(NOT_TRUSTED|UNREACHABLE)/);
  });

  it('does not take the answer of something that is no peer', async () => {
    const web = await startWeb((response) => response.end('<html>'));
    const { code } = await refusalOf({ url: web.url });
    web.close();
    assert.equal(code, 'ERR_MALFORMED_MESSAGE');
  });

  it('does not speak plain http with a peer that does', async () => {
    const web = createServer((_, response) => response.end('{}')).listen(0, '127.0.0.1');
    await once(web, 'listening');
    const { code } = await refusalOf({ url: `https://localhost:${(web.address() as AddressInfo).port}` });
    web.close();
    assert.equal(code, 'ERR_PEER_UNREACHABLE');
  });
});

/** Timers and sockets that keep this process alive. */
function resources(): readonly string[] {
  return process
    .getActiveResourcesInfo()
    .filter((name) => /TCP|TLS|Timeout|FSReq/.test(name))
    .sort();
}
