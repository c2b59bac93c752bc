/**
 * A ping node in a real Node-RED, driven message by message.
 */
import type { TestPki } from '../test/helpers/test-pki.ts';
import { authenticatorNode, connectorNode, startFlow } from './node-red.ts';

/** One call is one message through the ping node. */
export async function startPingFlow(url: string, pki: TestPki): Promise<{ readonly ping: () => Promise<number> }> {
  const { certificatePem: certificate, keyPem: key } = pki.caClient;
  const getNode = await startFlow(
    [
      authenticatorNode(pki.managementCa.certificatePem),
      connectorNode(url, 1),
      { id: 'ping', z: 'tab', type: 'peer-ping', name: '', connector: 'connector', wires: [['out']] },
      { id: 'out', z: 'tab', type: 'helper', wires: [] },
    ],
    { authenticator: { certificate, key } },
  );
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
