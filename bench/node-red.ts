/**
 * A real Node-RED runtime in this process with the nodes as they are shipped (`npm run build` first), and
 * nothing besides them that would take time.
 */
import { createRequire } from 'node:module';
import helper from 'node-red-node-test-helper';
import type { FlowNode } from '../test/helpers/node-red.ts';
import { NODE_NAMES } from '../test/helpers/runtime-flow.ts';

/** Loads nodes on a tab `tab` beside a probe `out`; gives the function that finds them. */
export async function startFlow(nodes: readonly FlowNode[]) {
  helper.init(createRequire(import.meta.url).resolve('node-red'));
  // The runtime's settings exist only once its server was started.
  await new Promise<void>((resolve) => void helper.startServer(resolve));
  const types = await Promise.all(NODE_NAMES.map(async (name) => (await import(`../dist/nodes/${name}.js`)).default));
  const credentials = Object.fromEntries(
    nodes.flatMap((node) => (node['credentials'] ? [[node.id, node['credentials']]] : [])),
  );
  const flow = nodes.map(({ credentials: _, ...node }) => node);
  const frame = [
    { id: 'tab', type: 'tab', label: 'bench' },
    { id: 'out', z: 'tab', type: 'helper', wires: [] },
  ];
  await helper.load(types, [...frame, ...flow] as never, credentials as never);
  return (id: string) => helper.getNode(id);
}
