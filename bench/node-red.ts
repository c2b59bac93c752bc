/**
 * A real Node-RED runtime in this process with the nodes as they are shipped (`npm run build` first).
 */
import { createRequire } from 'node:module';
import helper from 'node-red-node-test-helper';

const NODES = [
  'remote-authenticator',
  'peer-connector',
  'peer-endpoint',
  'certificate-store',
  'peer-role',
  'ping',
  'publish-cert',
  'incoming-auth',
];

/** Loads a flow and gives the function that finds its nodes. */
export async function startFlow(flow: readonly object[], credentials: object) {
  helper.init(createRequire(import.meta.url).resolve('node-red'));
  const nodes = await Promise.all(NODES.map(async (name) => (await import(`../dist/nodes/${name}.js`)).default));
  await helper.load(nodes, [{ id: 'tab', type: 'tab', label: 'bench' }, ...flow] as never, credentials as never);
  return (id: string) => helper.getNode(id);
}

/** A remote authenticator node with a pasted identity. */
export function authenticatorNode(ca: string): object {
  const trust = [{ source: 'pasted', value: ca, serialNumber: '' }];
  return { id: 'authenticator', type: 'peer-remote-authenticator', name: 'identity', source: 'pasted', trust };
}

/** A peer connector node. */
export function connectorNode(url: string, maxConnections: number): object {
  return {
    id: 'connector',
    type: 'peer-connector',
    name: 'VA',
    url,
    authenticator: 'authenticator',
    enabled: true,
    maxConnections,
    connectTimeoutMs: 10_000,
    requestTimeoutMs: 60_000,
    minTlsVersion: 'TLSv1.3',
  };
}
