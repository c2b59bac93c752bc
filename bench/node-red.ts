/**
 * A real Node-RED runtime in this process with the package as it is shipped (`npm run build` first), without editor,
 * spies or anything else that would take time.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Node } from 'node-red';
import { type FlowNode, PACKAGE_ROOT } from '../test/helpers/node-red.ts';

interface Runtime {
  init(server: unknown, settings: object): void;
  start(): Promise<void>;
  readonly nodes: { getNode(id: string): Node | null };
}

const RED = createRequire(import.meta.url)('node-red') as Runtime;

/** Runs nodes on a tab `tab` beside a probe `out`; gives the function that finds them. */
export async function startFlow(nodes: readonly FlowNode[]): Promise<(id: string) => Node> {
  const userDir = mkdtempSync(join(tmpdir(), 'bench-node-red-'));
  const tab = { id: 'tab', type: 'tab', label: 'bench' };
  const probe = { id: 'out', z: 'tab', type: 'switch', name: '', property: 'payload', rules: [], wires: [] };
  const flows = [tab, probe, ...nodes.map(({ credentials: _, ...node }) => node)];
  const secrets = Object.fromEntries(
    nodes.flatMap((node) => (node['credentials'] ? [[node.id, node['credentials']]] : [])),
  );
  writeFileSync(join(userDir, 'flows.json'), JSON.stringify(flows));
  writeFileSync(join(userDir, 'flows_cred.json'), JSON.stringify(secrets), { mode: 0o600 });
  RED.init(createServer(), {
    userDir,
    flowFile: 'flows.json',
    nodesDir: [PACKAGE_ROOT],
    httpAdminRoot: false,
    httpNodeRoot: false,
    credentialSecret: false,
    telemetry: { enabled: false },
    peerSystems: { incoming: true },
    logging: { console: { level: 'error' } },
  });
  await RED.start();
  // Flows start in the background.
  while (RED.nodes.getNode('out') === null) await new Promise((resolve) => setTimeout(resolve, 20));
  return (id) => RED.nodes.getNode(id) as Node;
}
