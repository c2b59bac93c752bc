/**
 * Tells nodes that flows have started. The runtime warns of more than ten listeners for an event; here one serves all.
 */
import type { Node, NodeAPI } from 'node-red';

const EVENT = 'flows:started';
const workOf = new WeakMap<object, Set<() => void>>();

/** Calls at each start of the flows, for as long as the node lives. */
export function onFlowsStarted(RED: NodeAPI, node: Node, work: () => void): void {
  const all = workOf.get(RED.events) ?? new Set<() => void>();
  if (!workOf.has(RED.events)) {
    workOf.set(RED.events, all);
    RED.events.on(EVENT, () => {
      for (const each of [...all]) each();
    });
  }
  all.add(work);
  node.on('close', () => {
    all.delete(work);
  });
}
