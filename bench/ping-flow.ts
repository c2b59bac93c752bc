/**
 * A real Node-RED in this process with a ping node in it, driven message by message.
 */
import { createRequire } from 'node:module';
import helper from 'node-red-node-test-helper';
import type { TestPki } from '../test/helpers/test-pki.ts';

/** Needs `npm run build`: the nodes are loaded as they are shipped. */
export async function startPingFlow(url: string, pki: TestPki): Promise<{ readonly ping: () => Promise<number> }> {
  helper.init(createRequire(import.meta.url).resolve('node-red'));
  const names = ['remote-authenticator', 'peer-connector', 'ping'];
  const nodes = await Promise.all(names.map(async (name) => (await import(`../dist/nodes/${name}.js`)).default));
  const trust = [{ source: 'pasted', value: pki.managementCa.certificatePem, serialNumber: '' }];
  const flow = [
    { id: 'tab', type: 'tab', label: 'bench' },
    { id: 'auth', type: 'peer-remote-authenticator', name: 'CA', source: 'pasted', trust },
    {
      id: 'va',
      type: 'peer-connector',
      name: 'VA',
      url,
      authenticator: 'auth',
      enabled: true,
      maxConnections: 1,
      connectTimeoutMs: 10_000,
      requestTimeoutMs: 60_000,
      minTlsVersion: 'TLSv1.3',
    },
    { id: 'ping', z: 'tab', type: 'peer-ping', name: '', connector: 'va', wires: [['out']] },
    { id: 'out', z: 'tab', type: 'helper', wires: [] },
  ];
  const credentials = { auth: { certificate: pki.caClient.certificatePem, key: pki.caClient.keyPem } };
  await helper.load(nodes, flow, credentials);
  const pingNode = helper.getNode('ping');
  const out = helper.getNode('out');
  let arrived: (payload: number) => void = () => undefined;
  out.on('input', (message) => arrived(message.payload as number));
  return {
    ping: () =>
      new Promise<number>((resolve) => {
        arrived = resolve;
        pingNode.receive({ payload: '' });
      }),
  };
}
