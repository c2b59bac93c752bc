/**
 * Flow node: who comes in at an endpoint, as events and, on request, as a table.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import type { IncomingEvent, IncomingPeer } from '../lib/endpoint/incoming-connections.ts';
import { IncomingWatch } from '../lib/endpoint/incoming-watch.ts';
import { PeerError } from '../lib/errors.ts';
import type { PeerEndpointNode } from './peer-endpoint.ts';
import { type FlowMessage, handleInput } from './shared/handle-input.ts';
import { configNode, numberField } from './shared/node-config.ts';
import { showStatus } from './shared/node-status.ts';

interface IncomingAuthDef extends NodeDef {
  readonly endpoint: string;
  /** Days before the end of a client certificate; 0 = never. */
  readonly expiryDays?: number | string;
  /** Minutes without a sign of a peer; 0 = never. */
  readonly quietMinutes?: number | string;
}

const LOOK_MS = 5_000;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

export default function (RED: NodeAPI): void {
  function PeerIncomingAuth(this: Node, config: IncomingAuthDef): void {
    RED.nodes.createNode(this, config);
    handleInput(this, async (message) => {
      const endpoint = configNode<PeerEndpointNode>(RED, config.endpoint, 'peer-endpoint');
      carryOut(endpoint, message);
      const peers = endpoint.incoming()?.list() ?? [];
      message.payload = peers.map(flatten);
      return message;
    });
    follow(RED, this, config);
  }

  RED.nodes.registerType('peer-incoming-auth', PeerIncomingAuth);
}

/**
 * `msg.topic` `refuse`, `admit` or `forget` is done to the peer that `msg.payload` names by its fingerprint; what else
 * comes only asks for the table.
 *
 * @throws PeerError ERR_INVALID_INPUT when no peer is named
 */
function carryOut(endpoint: PeerEndpointNode, { topic, payload }: FlowMessage): void {
  if (topic !== 'refuse' && topic !== 'admit' && topic !== 'forget') return;
  const named = typeof payload === 'object' && payload !== null ? (payload as { id?: unknown }).id : payload;
  const id = typeof named === 'string' ? named.replaceAll(':', '').toLowerCase() : '';
  if (!/^[0-9a-f]{40}$/.test(id)) {
    throw new PeerError('ERR_INVALID_INPUT', `To ${topic} a peer takes the fingerprint of its certificate`);
  }
  if (topic === 'forget') endpoint.incoming()?.forget(id);
  else endpoint.setBlocked(id, topic === 'refuse');
}

function watchOf({ expiryDays = 14, quietMinutes = 60 }: IncomingAuthDef): IncomingWatch {
  return new IncomingWatch({
    expiryMs: numberField(expiryDays, 'Days before expiry', { min: 0, max: 3_650 }) * DAY_MS,
    quietMs: numberField(quietMinutes, 'Minutes of silence', { min: 0, max: 525_600 }) * MINUTE_MS,
  });
}

function follow(RED: NodeAPI, node: Node, config: IncomingAuthDef): void {
  let endpoint: PeerEndpointNode;
  let watch: IncomingWatch;
  try {
    endpoint = configNode<PeerEndpointNode>(RED, config.endpoint, 'peer-endpoint');
    watch = watchOf(config);
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
  const look = (): void => watch.look(endpoint.incoming()?.list() ?? []).forEach(onEvent);
  const timer = setInterval(look, LOOK_MS);
  endpoint.users[node.id] = node;
  endpoint.events.on('event', onEvent).on('listening', showState).on('off', showState);
  showState();
  node.on('close', () => {
    clearInterval(timer);
    delete endpoint.users[node.id];
    endpoint.events.off('event', onEvent).off('listening', showState).off('off', showState);
  });
}

/** Dashboards show rows of plain values. */
function flatten(peer: IncomingPeer): Record<string, string | number | boolean> {
  return { ...peer, roles: peer.roles.join(', ') };
}
