/**
 * A VA in a Node-RED of its own: an endpoint with a store, and a debug node `shown` that shows who comes in.
 */
import { type FlowNode, freePort, type NodeRed, startNodeRed } from './node-red.ts';
import { authenticatorNode, endpointNode, flowNode, roleNode, storeNode } from './peer-flow.ts';
import type { TestPki } from './test-pki.ts';

/** Starts it and waits until the endpoint listens. */
export async function startVa(
  pki: TestPki,
  { version, storeFile }: { readonly version: 4 | 5; readonly storeFile: string },
): Promise<{ readonly va: NodeRed; readonly port: number }> {
  const port = await freePort();
  const va = await startNodeRed({ version });
  await va.deploy(vaFlow(pki, port, storeFile));
  await va.waitFor(() => va.statuses.get('watch')?.find(({ fill }) => fill === 'green'), 'the endpoint to listen');
  return { va, port };
}

function vaFlow(pki: TestPki, port: number, storeFile: string): FlowNode[] {
  return [
    { id: 'tab', type: 'tab', label: 'VA' },
    authenticatorNode('va', pki.vaServer, pki.managementCa),
    storeNode('store', storeFile),
    roleNode('role'),
    endpointNode('endpoint', port),
    flowNode('watch', 'peer-incoming-auth', ['shown'], { endpoint: 'endpoint' }),
    flowNode('shown', 'debug', [], { active: true, tosidebar: true, complete: 'payload', targetType: 'msg' }),
  ];
}
