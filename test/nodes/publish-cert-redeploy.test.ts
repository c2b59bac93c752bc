import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Node } from 'node-red';
import type { SinonSpy } from 'sinon';
import type { PublishReport } from '../../lib/publisher/publish-report.ts';
import { WorkerStore } from '../../lib/store/worker-store.ts';
import type { FlowNode } from '../helpers/node-red.ts';
import { authenticatorNode, connectorNode, flowNode } from '../helpers/peer-flow.ts';
import { type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { type Credential, createTestPki, issue, issueRootCa } from '../helpers/test-pki.ts';
import { startTwoPeers, type TwoPeers } from '../helpers/two-peers.ts';

describe('publish-cert node in a redeploy', () => {
  const pki = createTestPki();
  const issuingCa = issueRootCa('CN=Issuing CA,O=Test,C=SE');
  const folder = mkdtempSync(join(tmpdir(), 'redeploy-'));
  const store = new WorkerStore({ kind: 'sqlite', file: join(folder, 'va.sqlite') });
  let va: TwoPeers;
  let flow: RuntimeFlow | undefined;

  before(async () => {
    va = await startTwoPeers({ pki, store });
  });

  afterEach(async () => {
    await flow?.close();
    flow = undefined;
  });

  after(async () => {
    await va.close();
    await store.close();
    rmSync(folder, { recursive: true });
  });

  let serial = 0;
  const endEntity = (): Credential => issue(issuingCa, { subjectDN: `CN=end entity ${++serial},O=Test` });
  const nodes = (maxConnections: number): FlowNode[] => [
    authenticatorNode('ca', pki.caClient, pki.managementCa),
    connectorNode('VA', va.url.href, { maxConnections }),
    flowNode('publish', 'peer-publish-cert', ['out'], { connectors: ['VA'] }),
  ];
  const start = async (): Promise<RuntimeFlow> => {
    flow = await runFlow(nodes(4));
    return flow;
  };

  const MESSAGES = 600;
  const certificates = Array.from({ length: 200 }, () => endEntity().certificatePem);

  for (const type of ['full', 'nodes', 'flows'] as const) {
    it(`of type ${type}, every message is answered or failed, and what ended late is told in the log`, async () => {
      const running = await start();
      const node = running.node('publish');
      for (let i = 0; i < MESSAGES; i++) {
        node.receive({ _msgid: `m${i}`, payload: certificates[i % certificates.length] } as never);
      }
      await running.waitFor(() => running.outputs[20], 'the first answers');
      await running.redeploy(nodes(3), type);
      const ended = (): number => endedAt(node, 'send') + endedAt(node, 'error');
      const isLate = ended() < MESSAGES;
      await running.waitFor(() => (ended() >= MESSAGES ? true : undefined), 'the end of all messages');
      assert.equal(ended(), MESSAGES);
      if (isLate) assert.match(running.logged().join('\n'), /Closed with \d+ messages under way: \d+ done, \d+ failed/);
      const { message } = await running.send('publish', { payload: endEntity().certificatePem });
      assert.equal((message?.publish as PublishReport | undefined)?.stored, 1);
    });
  }

  it('closes within a second, whatever is under way', async () => {
    const running = await start();
    const node = running.node('publish');
    for (const payload of certificates) node.receive({ payload } as never);
    flow = undefined;
    assert.ok((await running.close()) < 1_000);
  });
});

/** How many messages a node has sent on, or failed. */
function endedAt(node: Node, how: 'send' | 'error'): number {
  return (node[how] as unknown as SinonSpy).getCalls().filter((call) => call.thisValue === node).length;
}
