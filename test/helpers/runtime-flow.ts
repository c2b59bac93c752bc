/**
 * Flows in a Node-RED runtime inside this process, with the nodes as they are shipped (`npm run build` first):
 * one message in, its answer or its error out.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import type { Node } from 'node-red';
import helper from 'node-red-node-test-helper';
import type { FlowNode } from './node-red.ts';
import { flowNode } from './peer-flow.ts';
import { waitFor } from './wait-for.ts';

/** A message with what nodes put on it. */
export type Message = Record<string, unknown> & { _msgid: string };

/** The error of a message as a Catch node shows it. */
export interface CaughtError {
  readonly code: string;
  readonly message: string;
  readonly source: { readonly id: string };
}

/** What became of a message: what came out, or the error. */
export interface Outcome {
  readonly message?: Message;
  readonly error?: CaughtError;
  /** The message the Catch node got. */
  readonly caught?: Message;
}

const NODE_NAMES = [
  'remote-authenticator',
  'peer-connector',
  'peer-endpoint',
  'certificate-store',
  'peer-role',
  'ping',
  'publish-cert',
  'publish-crl',
  'sync',
  'incoming-auth',
  'peer-overview',
  'validation-authority',
  'ra-request',
  'ra-listener',
];
const require = createRequire(import.meta.url);
const { events } = require('@node-red/util') as { events: EventEmitter };
const TLS_CONFIG = '@node-red/nodes/core/network/05-tls.js';

let started: Promise<void> | undefined;

/** The runtime's settings exist only once its server was started; it ends with the process. */
function startOnce(): Promise<void> {
  // As if an operator had allowed incoming connections in the sidebar.
  helper.init(require.resolve('node-red'), { peerSystems: { incoming: true } } as never);
  started ??= new Promise((resolve) => void helper.startServer(resolve));
  return started;
}

/** A flow that runs. */
export type RuntimeFlow = Awaited<ReturnType<typeof runFlow>>;

/**
 * Runs nodes on one tab `tab`. What is wired to `out` is collected, so are errors and completions of all nodes.
 */
export async function runFlow(nodes: readonly FlowNode[]) {
  await startOnce();
  const loaded = await Promise.all(
    NODE_NAMES.map(async (name) => (await import(`../../dist/nodes/${name}.js`)).default),
  );
  const { flow, credentials } = split(nodes);
  await helper.load([...loaded, require(TLS_CONFIG)], flow as never, credentials as never);
  const outputs: Message[] = [];
  const errors: Message[] = [];
  const completions: Message[] = [];
  const followed = new WeakSet<Node>();
  const collect = (id: string, list: Message[]): void => {
    const node = helper.getNode(id);
    // A deploy may have left it as it was.
    if (followed.has(node)) return;
    followed.add(node);
    node.on('input', (message) => list.push(message as never));
  };
  const collectAll = (): void => {
    collect('out', outputs);
    collect('caught', errors);
    collect('completed', completions);
  };
  collectAll();
  const until = <T>(look: () => T | undefined, what: string, timeoutMs = 8_000): Promise<T> =>
    waitFor({ look, what, timeoutMs, context: () => logged().join('\n') });
  return {
    outputs,
    errors,
    completions,
    waitFor: until,
    node: (id: string): Node => helper.getNode(id),
    /** Gives a message to a node and waits for its answer or its error. */
    send: (id: string, message: Record<string, unknown>): Promise<Outcome> => {
      const _msgid = randomUUID();
      helper.getNode(id).receive({ ...message, _msgid } as never);
      return until(() => outcomeOf(_msgid, outputs, errors), `the outcome of a message to ${id}`);
    },
    /** Deploys other nodes in place of those that run. */
    redeploy: async (next: readonly FlowNode[], type: 'full' | 'nodes' | 'flows'): Promise<void> => {
      const parts = split(next);
      let isStarted = false;
      events.once('flows:started', () => {
        isStarted = true;
      });
      // The helper gives up after 300 ms, which a busy machine may need.
      const deployed = helper.setFlows(parts.flow as never, type, parts.credentials as never);
      await Promise.all([
        deployed.catch((error: Error) => assert.match(error.message, /timeout waiting event/)),
        until(() => isStarted || undefined, `the ${type} deploy`),
      ]);
      collectAll();
    },
    /** Texts of what was logged as error or warning. */
    logged,
    /** Stops all; gives the milliseconds it took. */
    close: async (): Promise<number> => {
      const start = performance.now();
      await helper.unload();
      return performance.now() - start;
    },
  };
}

function split(nodes: readonly FlowNode[]) {
  const frame: FlowNode[] = [
    { id: 'tab', type: 'tab', label: 'test' },
    flowNode('out', 'helper', []),
    flowNode('caught', 'helper', []),
    flowNode('completed', 'helper', []),
    flowNode('catches', 'catch', ['caught'], { scope: null, uncaught: false }),
    flowNode('completes', 'complete', ['completed'], { scope: idsOnTab(nodes) }),
  ];
  const withCredentials = nodes.filter((node) => node['credentials'] !== undefined);
  return {
    flow: [...frame, ...nodes.map(({ credentials, ...node }) => node)],
    credentials: Object.fromEntries(withCredentials.map((node) => [node.id, node['credentials']])),
  };
}

function idsOnTab(nodes: readonly FlowNode[]): readonly string[] {
  return nodes.filter((node) => node['z'] === 'tab').map((node) => node.id);
}

function outcomeOf(id: string, outputs: readonly Message[], errors: readonly Message[]): Outcome | undefined {
  const message = outputs.find(({ _msgid }) => _msgid === id);
  if (message !== undefined) return { message };
  const caught = errors.find(({ _msgid }) => _msgid === id);
  return caught && { caught, error: caught['error'] as CaughtError };
}

function logged(): readonly string[] {
  return helper
    .log()
    .args.map(([entry]) => entry as { level: number; msg: unknown })
    .filter(({ level }) => level <= 30)
    .map(({ msg }) => String(msg));
}
