import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { OutgoingRow } from '../../lib/overview/outgoing-row.ts';
import { authenticatorNode, connectorNode, flowNode } from '../helpers/peer-flow.ts';
import { type Message, type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { createTestPki } from '../helpers/test-pki.ts';
import { startTwoPeers, type TwoPeers } from '../helpers/two-peers.ts';

describe('peer-overview node', () => {
  const pki = createTestPki();
  let va: TwoPeers;
  let flow: RuntimeFlow | undefined;

  beforeEach(async () => {
    va = await startTwoPeers({ pki });
  });

  afterEach(async () => {
    await flow?.close();
    flow = undefined;
    await va.close();
  });

  const start = async (fields: object = {}): Promise<RuntimeFlow> => {
    flow = await runFlow([
      authenticatorNode('ca', pki.caClient, pki.managementCa),
      connectorNode('VA', va.url.href),
      connectorNode('gone', 'https://127.0.0.1:9'),
      flowNode('ping', 'peer-ping', [], { connector: 'VA' }),
      flowNode('overview', 'peer-overview', [], { intervalMs: 250, wires: [['out'], []], ...fields }),
    ]);
    return flow;
  };
  const rowsOf = (message: Message | undefined) => message?.['payload'] as readonly OutgoingRow[];

  it('answers with one flat row per connector, on the message it came with', async () => {
    const { message } = await (await start({ intervalMs: 3_600_000 })).send('overview', { mine: 1 });
    assert.deepEqual([message?.['mine'], message?.['topic']], [1, 'outgoing']);
    assert.deepEqual(
      rowsOf(message).map(({ name, state, pingMs }) => [name, state, pingMs]),
      [
        ['the gone', 'stopped', null],
        ['the VA', 'stopped', null],
      ],
    );
  });

  it('tells a change by itself, and nothing while nothing changes', async () => {
    const running = await start();
    await running.waitFor(() => running.outputs[0], 'the first overview');
    await delay(700);
    assert.equal(running.outputs.length, 1);
    running.node('ping').receive({ payload: '' } as never);
    const changed = (message: Message) => rowsOf(message).some(({ pingMs }) => pingMs !== null);
    const row = await running.waitFor(() => running.outputs.find(changed), 'the ping');
    const [peer] = rowsOf(row).filter(({ name }) => name === 'the VA');
    assert.equal(peer?.state, 'running');
    assert.equal(peer?.serverSubjectDN, 'CN=va-1,O=Test,C=SE');
  });

  it('shows a connector that cannot be used instead of failing', async () => {
    const running = await start();
    await running.redeploy(
      [
        connectorNode('VA', 'http://plain.example.com'),
        flowNode('overview', 'peer-overview', ['out'], { intervalMs: 250 }),
      ],
      'full',
    );
    const { message } = await running.send('overview', {});
    assert.equal(rowsOf(message)[0]?.state, 'unusable');
    assert.match(rowsOf(message)[0]?.lastError ?? '', /https/);
  });

  it('says at the deploy that an interval is none, and answers all the same', async () => {
    const running = await start({ intervalMs: 'often' });
    assert.match(running.logged().join('\n'), /Interval must be a whole number/);
    assert.equal(rowsOf((await running.send('overview', {})).message).length, 2);
  });

  it('has nothing to say where there is no peer', async () => {
    flow = await runFlow([flowNode('overview', 'peer-overview', ['out'], { intervalMs: 250 })]);
    assert.deepEqual((await flow.send('overview', {})).message?.['payload'], []);
  });
});
