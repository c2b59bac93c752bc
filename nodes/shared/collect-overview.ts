/**
 * Asks the nodes of this Node-RED for the facts of the overview.
 */
import type { Node, NodeAPI } from 'node-red';
import { type Overview, type OverviewFacts, toOverview } from '../../lib/overview/overview.ts';
import type { PeerConnectorNode } from '../peer-connector.ts';
import type { PeerEndpointNode } from '../peer-endpoint.ts';
import type { RenewKeyBindingNode } from '../renew-keybinding.ts';
import type { SyncNode } from '../sync.ts';
import type { ValidationAuthorityNode } from '../validation-authority.ts';

/** A node of a type that takes part in the overview. */
export interface OverviewNodes {
  readonly 'peer-connector': PeerConnectorNode;
  readonly 'peer-endpoint': PeerEndpointNode;
  readonly 'peer-sync': SyncNode;
  readonly 'peer-renew-keybinding': RenewKeyBindingNode;
  readonly 'peer-validation-authority': ValidationAuthorityNode;
}

/** The overview as it is at this moment. */
export function collectOverview(RED: NodeAPI): Overview {
  const lists: { readonly [T in keyof OverviewNodes]: OverviewNodes[T][] } = {
    'peer-connector': [],
    'peer-endpoint': [],
    'peer-sync': [],
    'peer-renew-keybinding': [],
    'peer-validation-authority': [],
  };
  RED.nodes.eachNode(({ id, type }) => {
    if (!Object.hasOwn(lists, type)) return;
    // One that is disabled, or was added and not deployed, does not run.
    const node = RED.nodes.getNode(id) as Node | null;
    if (node !== null && 'overviewFacts' in node) lists[type as keyof OverviewNodes].push(node as never);
  });
  const facts: OverviewFacts = {
    connectors: lists['peer-connector'].map((node) => node.overviewFacts()),
    endpoints: lists['peer-endpoint'].map((node) => node.overviewFacts()),
    syncs: lists['peer-sync'].map((node) => node.overviewFacts()),
    renewers: lists['peer-renew-keybinding'].map((node) => node.overviewFacts()),
    validationAuthorities: lists['peer-validation-authority'].map((node) => node.overviewFacts()),
  };
  return toOverview(facts);
}
