/**
 * A ping node in a real Node-RED, driven message by message.
 */
import { authenticatorNode, connectorNode, flowNode } from '../test/helpers/peer-flow.ts';
import type { TestPki } from '../test/helpers/test-pki.ts';
import { startFlow } from './node-red.ts';

/** One call is one message through the ping node. */
export async function startPingFlow(url: string, pki: TestPki): Promise<{ readonly ping: () => Promise<number> }> {
  const getNode = await startFlow([
    authenticatorNode('ca', pki.caClient, pki.managementCa),
    connectorNode('connector', url, { maxConnections: 1 }),
    flowNode('ping', 'peer-ping', ['out'], { connector: 'connector' }),
  ]);
  let arrived: (payload: number) => void = () => undefined;
  getNode('out').on('input', (message) => arrived(message.payload as number));
  const ping = getNode('ping');
  return {
    ping: () =>
      new Promise<number>((resolve) => {
        arrived = resolve;
        ping.receive({ payload: '' });
      }),
  };
}
