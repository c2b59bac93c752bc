/**
 * The renewal of remote key bindings in the overview: who can renew those of which peer, and what became of it lately.
 */
import type { RenewalState } from '../renewal/renewal-log.ts';

/** What a node that renews key bindings knows of itself. */
export interface RenewerFacts {
  readonly id: string;
  readonly name: string;
  /** The peer connector of its dialog; empty = none. */
  readonly connectorId: string;
  /** Name of the certificate authority that issues; empty = there is none, so that nothing can be renewed. */
  readonly authority: string;
  readonly renewals: readonly RenewalState[];
}

/** One node that renews the key bindings of a peer: plain values only. */
export interface RenewerRow {
  readonly id: string;
  readonly name: string;
  readonly connectorId: string;
  readonly authority: string;
}

/** The last renewal of one remote key binding by one node: plain values only. */
export interface KeyBindingRenewalRow {
  /** Of the node, the connector and the key binding together. */
  readonly id: string;
  readonly renewerId: string;
  readonly connectorId: string;
  readonly binding: string;
  /** The step that was over last; empty = none yet. */
  readonly step: RenewalState['step'];
  /** Empty while it is under way. */
  readonly outcome: RenewalState['outcome'];
  readonly code: RenewalState['code'];
  readonly detail: string;
  /** ISO 8601. */
  readonly startedAt: string;
  /** ISO 8601; empty while it is under way. */
  readonly endedAt: string;
}

/** Makes the row of a node. */
export function toRenewerRow({ id, name, connectorId, authority }: RenewerFacts): RenewerRow {
  return { id, name, connectorId, authority };
}

/** Makes the rows of the renewals of a node, in the order given. */
export function toKeyBindingRenewalRows({ id: renewerId, renewals }: RenewerFacts): readonly KeyBindingRenewalRow[] {
  return renewals.map(({ connectorId, binding, startedAt, endedAt, ...state }) => ({
    id: `${renewerId} ${connectorId} ${binding}`,
    renewerId,
    connectorId,
    binding,
    ...state,
    startedAt: new Date(startedAt).toISOString(),
    endedAt: endedAt === 0 ? '' : new Date(endedAt).toISOString(),
  }));
}
