/**
 * Asks the nodes of this Node-RED for the facts of the overview.
 */
import type { Node, NodeAPI } from 'node-red';
import { type Overview, type OverviewFacts, toOverview } from '../../lib/overview/overview.ts';
import type { PeerConnectorNode } from '../peer-connector.ts';
import type { PeerEndpointNode } from '../peer-endpoint.ts';
import type { SyncNode } from '../sync.ts';
import type { ValidationAuthorityNode } from '../validation-authority.ts';

/** A node of a type that takes part in the overview. */
export interface OverviewNodes {
  readonly 'peer-connector': PeerConnectorNode;
  readonly 'peer-endpoint': PeerEndpointNode;
  readonly 'peer-sync': SyncNode;
}

/** The overview as it is at this moment. */
export function collectOverview(RED: NodeAPI): Overview {
  const connectors: PeerConnectorNode[] = [];
  const endpoints: PeerEndpointNode[] = [];
  const syncs: SyncNode[] = [];
  const validationAuthorities: ValidationAuthorityNode[] = [];
  const lists: Readonly<Record<string, Node[]>> = {
    'peer-connector': connectors,
    'peer-endpoint': endpoints,
    'peer-sync': syncs,
    'peer-validation-authority': validationAuthorities,
  };
  RED.nodes.eachNode(({ id, type }) => {
    const list = Object.hasOwn(lists, type) ? lists[type] : undefined;
    if (list === undefined) return;
    // One that is disabled, or was added and not deployed, does not run.
    const node = RED.nodes.getNode(id) as Node | null;
    if (node !== null && 'overviewFacts' in node) list.push(node);
  });
  const facts: OverviewFacts = {
    connectors: connectors.map((node) => node.overviewFacts()),
    endpoints: endpoints.map((node) => node.overviewFacts()),
    syncs: syncs.map((node) => node.overviewFacts()),
    validationAuthorities: validationAuthorities.map((node) => node.overviewFacts()),
  };
  return toOverview(facts);
}
