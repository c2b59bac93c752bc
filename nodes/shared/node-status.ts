/**
 * The status under a node: set when it changes, at most four times a second.
 */
import type { Node, NodeStatus } from 'node-red';
import type { PeerError } from '../../lib/errors.ts';

const MIN_INTERVAL_MS = 250;

interface Shown {
  text: string;
  at: number;
  timer: NodeJS.Timeout | undefined;
  next: NodeStatus;
  isClosed: boolean;
}

const shown = new WeakMap<Node, Shown>();

/** Shows a status unless it is there already; the last of many that come quickly is the one that stays. */
export function showStatus(node: Node, status: NodeStatus): void {
  const state = shown.get(node) ?? newState(node);
  state.next = status;
  // A message that ends late must not write over the status of the node that has taken this one's place.
  if (state.isClosed || state.timer !== undefined) return;
  const wait = state.at + MIN_INTERVAL_MS - Date.now();
  if (wait <= 0) return publish(node, state);
  state.timer = setTimeout(() => publish(node, state), wait).unref();
}

/** Shows the short text of an error's code. */
export function showError(node: Node, error: PeerError): void {
  const text = `@pki-flows/node-red-ejbca-peers/peer-connector:peer-connector.error.${error.code}`;
  showStatus(node, { fill: 'red', shape: 'ring', text });
}

function newState(node: Node): Shown {
  const state: Shown = { text: '', at: 0, timer: undefined, next: {}, isClosed: false };
  shown.set(node, state);
  node.on('close', () => {
    state.isClosed = true;
    clearTimeout(state.timer);
  });
  return state;
}

function publish(node: Node, state: Shown): void {
  state.timer = undefined;
  const text = JSON.stringify(state.next);
  if (text === state.text) return;
  state.text = text;
  state.at = Date.now();
  node.status(state.next);
}
