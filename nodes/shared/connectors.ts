/**
 * Which peer connectors a message goes to: those of the dialog, or those the message names.
 */
import type { Node, NodeAPI } from 'node-red';
import { PeerError } from '../../lib/errors.ts';
import type { PeerConnectorNode } from '../peer-connector.ts';
import { onFlowsStarted } from './flows-started.ts';

const TYPE = 'peer-connector';

/** Registers a flow node with the connectors of its dialog, for as long as it lives. */
export function useConnectors(RED: NodeAPI, node: Node, ids: readonly string[]): void {
  const connectors = (): PeerConnectorNode[] => ids.map((id) => RED.nodes.getNode(id)).filter(isConnector);
  const register = (): void => {
    for (const connector of connectors()) connector.users[node.id] = node;
  };
  register();
  // A deploy may renew a connector without renewing the nodes that use it among others.
  onFlowsStarted(RED, node, register);
  node.on('close', () => {
    for (const connector of connectors()) delete connector.users[node.id];
  });
}

/**
 * The connectors for one message.
 *
 * @param named `msg.connector`: name or id, or several; undefined = those of the dialog
 * @throws PeerError ERR_PEER_UNKNOWN
 */
export function connectorsFor(RED: NodeAPI, ids: readonly string[], named: unknown): readonly PeerConnectorNode[] {
  const wanted = named === undefined || named === '' ? ids : Array.isArray(named) ? named : [named];
  if (wanted.length === 0) throw new PeerError('ERR_PEER_UNKNOWN', 'No peer connector is chosen');
  return [...new Set(wanted.map((name) => findConnector(RED, name)))];
}

function findConnector(RED: NodeAPI, name: unknown): PeerConnectorNode {
  const byId = typeof name === 'string' ? RED.nodes.getNode(name) : null;
  if (isConnector(byId)) return byId;
  let found: unknown;
  RED.nodes.eachNode((definition) => {
    if (definition.type === TYPE && definition.name === name && found === undefined) {
      found = RED.nodes.getNode(definition.id);
    }
  });
  if (isConnector(found)) return found;
  throw new PeerError('ERR_PEER_UNKNOWN', `There is no peer connector "${name}", or it is not deployed`);
}

/** Whether it is a deployed peer connector. */
export function isConnector(node: unknown): node is PeerConnectorNode {
  return typeof node === 'object' && node !== null && (node as Node).type === TYPE;
}
