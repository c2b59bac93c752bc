/**
 * Flow node: who comes in at an endpoint, as events and, on request, as a table.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import type { IncomingEvent, IncomingPeer } from '../lib/endpoint/incoming-connections.ts';
import type { PeerEndpointNode } from './peer-endpoint.ts';
import { handleInput } from './shared/handle-input.ts';
import { configNode } from './shared/node-config.ts';
import { showStatus } from './shared/node-status.ts';

interface IncomingAuthDef extends NodeDef {
  readonly endpoint: string;
}

export default function (RED: NodeAPI): void {
  function PeerIncomingAuth(this: Node, config: IncomingAuthDef): void {
    RED.nodes.createNode(this, config);
    handleInput(this, async (message) => {
      const endpoint = configNode<PeerEndpointNode>(RED, config.endpoint, 'peer-endpoint');
      const peers = endpoint.incoming()?.list() ?? [];
      message.payload = peers.map(flatten);
      return message;
    });
    follow(RED, this, config.endpoint);
  }

  RED.nodes.registerType('peer-incoming-auth', PeerIncomingAuth);
}

function follow(RED: NodeAPI, node: Node, id: string): void {
  let endpoint: PeerEndpointNode;
  try {
    endpoint = configNode<PeerEndpointNode>(RED, id, 'peer-endpoint');
  } catch (error) {
    return node.error((error as Error).message);
  }
  const showState = (): void => {
    const port = endpoint.port();
    if (port === undefined) showStatus(node, { fill: 'grey', shape: 'ring', text: 'incoming-auth.status.off' });
    else showStatus(node, { fill: 'green', shape: 'dot', text: RED._('incoming-auth.status.listening', { port }) });
  };
  const onEvent = (event: IncomingEvent): void => {
    const { peer, ...rest } = event;
    node.send({ topic: event.kind, payload: { ...rest, ...flatten(peer) }, peer } as never);
  };
  endpoint.users[node.id] = node;
  endpoint.events.on('event', onEvent).on('listening', showState).on('off', showState);
  showState();
  node.on('close', () => {
    delete endpoint.users[node.id];
    endpoint.events.off('event', onEvent).off('listening', showState).off('off', showState);
  });
}

/** Dashboards show rows of plain values. */
function flatten(peer: IncomingPeer): Record<string, string | number | boolean> {
  return { ...peer, roles: peer.roles.join(', ') };
}
