import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import sinon from 'sinon';
import { authenticatorNode, connectorNode, flowNode } from '../helpers/peer-flow.ts';
import { type CaughtError, type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { createTestPki, issueRootCa } from '../helpers/test-pki.ts';
import { startTwoPeers, type TwoPeers } from '../helpers/two-peers.ts';

const UNUSED_PORT_URL = 'https://127.0.0.1:9';

describe('ping node', () => {
  const pki = createTestPki();
  let peers: TwoPeers;
  let flow: RuntimeFlow | undefined;

  before(async () => {
    peers = await startTwoPeers({ pki });
  });

  afterEach(async () => {
    await flow?.close();
    flow = undefined;
    sinon.restore();
  });

  after(() => peers.close());

  const start = async (connector: object = {}, node: object = {}, url = peers.url.href): Promise<RuntimeFlow> => {
    flow = await runFlow([
      authenticatorNode('ca', pki.caClient, pki.managementCa),
      connectorNode('VA', url, { ...connector }),
      flowNode('ping', 'peer-ping', ['out'], { connector: 'VA', ...node }),
    ]);
    return flow;
  };

  const errorOf = async (running: RuntimeFlow, message: object = {}): Promise<CaughtError> => {
    const { error } = await running.send('ping', { ...message });
    assert.ok(error, 'the ping was answered');
    return error;
  };

  it('gives the round trip in milliseconds as payload and details beside it', async () => {
    const { send } = await start();
    const { message } = await send('ping', { payload: 'now' });
    assert.ok(typeof message?.payload === 'number' && message.payload > 0 && message.payload < 5_000);
    const { peer, url, serverTime, at } = message.ping as Record<string, string>;
    assert.deepEqual({ peer, url }, { peer: 'the VA', url: peers.url.href });
    assert.ok(Math.abs(Date.parse(serverTime ?? '') - Date.parse(at ?? '')) < 5_000);
  });

  it('reuses the message: what other nodes put on it stays, live objects too', async () => {
    const { send } = await start();
    const res = { end: () => 'alive' };
    const { message } = await send('ping', { topic: 'a', parts: { id: 1 }, res });
    assert.equal(message?.topic, 'a');
    assert.deepEqual(message?.parts, { id: 1 });
    assert.equal(message?.res, res);
  });

  it('completes each message once', async () => {
    const { send, waitFor, completions, errors } = await start();
    for (let i = 0; i < 3; i++) await send('ping', {});
    await waitFor(() => completions[2], 'three completions');
    assert.equal(new Set(completions.map(({ _msgid }) => _msgid)).size, 3);
    assert.equal(completions.length + errors.length, 3);
  });

  it('pings the peer that the message names, by name or by id', async () => {
    const { send } = await start({ name: 'the VA' }, { connector: '' });
    const byName = await send('ping', { connector: 'the VA' });
    const byId = await send('ping', { connector: 'VA' });
    for (const { message } of [byName, byId])
      assert.equal((message?.ping as { peer: string } | undefined)?.peer, 'the VA');
  });

  it('names a connector without a name by its id', async () => {
    const { send } = await start({ name: '' });
    const { message } = await send('ping', {});
    assert.equal((message?.ping as { peer: string } | undefined)?.peer, 'VA');
  });

  it('shows the round trip as its status', async () => {
    const running = await start();
    const { message } = await running.send('ping', {});
    const status = running.node('ping').status as unknown as sinon.SinonSpy;
    assert.deepEqual(status.lastCall.args, [{ fill: 'green', shape: 'dot', text: `${message?.payload} ms` }]);
  });

  it('shows at most four statuses a second, the last one in the end', async () => {
    const { showStatus } = await import(new URL('../../dist/nodes/shared/node-status.js', import.meta.url).href);
    const node = (await start()).node('ping');
    const status = node.status as unknown as sinon.SinonSpy;
    const clock = sinon.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
    clock.tick(1_000);
    for (let i = 0; i < 1_000; i++) {
      showStatus(node, { text: `${i} ms` });
      clock.tick(1);
    }
    clock.tick(1_000);
    assert.ok(status.callCount >= 4 && status.callCount <= 5, `${status.callCount} statuses`);
    assert.deepEqual(status.lastCall.args, [{ text: '999 ms' }]);
  });

  it('shows a status that did not change only once', async () => {
    const { showStatus } = await import(new URL('../../dist/nodes/shared/node-status.js', import.meta.url).href);
    const node = (await start()).node('ping');
    const clock = sinon.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
    for (let i = 0; i < 10; i++) {
      showStatus(node, { text: 'the same' });
      clock.tick(300);
    }
    assert.equal((node.status as unknown as sinon.SinonSpy).callCount, 1);
  });

  it('fails without a connector', async () => {
    assert.equal((await errorOf(await start({}, { connector: '' }))).code, 'ERR_PEER_UNKNOWN');
  });

  it('fails for a peer that does not exist, and says which', async () => {
    const { code, message } = await errorOf(await start(), { connector: 'VA 7' });
    assert.equal(code, 'ERR_PEER_UNKNOWN');
    assert.match(message, /VA 7/);
  });

  it('fails for a connector that is none', async () => {
    assert.equal((await errorOf(await start(), { connector: 'ca' })).code, 'ERR_PEER_UNKNOWN');
    assert.equal((await errorOf(flow as RuntimeFlow, { connector: { id: 'VA' } })).code, 'ERR_PEER_UNKNOWN');
  });

  it('fails where nobody listens', async () => {
    assert.equal((await errorOf(await start({}, {}, UNUSED_PORT_URL))).code, 'ERR_PEER_UNREACHABLE');
  });

  it('fails at a peer that accepts the connection and stays silent', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as { port: number };
    const running = await start({ connectTimeoutMs: 200 }, {}, `https://127.0.0.1:${port}`);
    const { code } = await errorOf(running);
    silent.close();
    assert.ok(code === 'ERR_PEER_UNREACHABLE' || code === 'ERR_PEER_TIMEOUT', code);
  });

  it('fails at a peer whose certificate is not trusted', async () => {
    flow = await runFlow([
      authenticatorNode('ca', pki.caClient, issueRootCa('CN=Somebody else')),
      connectorNode('VA', peers.url.href),
      flowNode('ping', 'peer-ping', ['out'], { connector: 'VA' }),
    ]);
    assert.equal((await errorOf(flow)).code, 'ERR_PEER_NOT_TRUSTED');
  });

  it('hands on why the peer refuses: no role', async () => {
    flow = await runFlow([
      authenticatorNode('ca', pki.nobody(), pki.managementCa),
      connectorNode('VA', peers.url.href),
      flowNode('ping', 'peer-ping', ['out'], { connector: 'VA' }),
    ]);
    const { code, message } = await errorOf(flow);
    assert.equal(code, 'ERR_NOT_AUTHORIZED');
    assert.match(message, /peerincoming/);
  });

  it('hands on why the peer refuses: an expired certificate', async () => {
    flow = await runFlow([
      authenticatorNode('ca', pki.strangers().expired, pki.managementCa),
      connectorNode('VA', peers.url.href),
      flowNode('ping', 'peer-ping', ['out'], { connector: 'VA' }),
    ]);
    const { code, message } = await errorOf(flow);
    assert.equal(code, 'ERR_NOT_AUTHENTICATED');
    assert.match(message, /expired/);
  });

  it('shows an error as the text of its code', async () => {
    const running = await start({}, {}, UNUSED_PORT_URL);
    await errorOf(running);
    const status = running.node('ping').status as unknown as sinon.SinonSpy;
    assert.deepEqual(
      { fill: status.lastCall.args[0].fill, key: status.lastCall.args[0].text.split('.').at(-1) },
      { fill: 'red', key: 'ERR_PEER_UNREACHABLE' },
    );
  });

  it('calls an error done once, and not as complete', async () => {
    const running = await start({}, {}, UNUSED_PORT_URL);
    await errorOf(running);
    await errorOf(running);
    assert.equal(running.errors.length, 2);
    assert.equal(running.completions.length, 0);
  });
});
