/**
 * The overview of this side: everything an operator sees of peers, as plain rows.
 *
 * One shape for the sidebar, the overview node, the metrics and the tests; nobody else formats facts.
 *
 * @see EJBCA, Peer Systems Operations, Overview
 */
import {
  type EndpointFacts,
  type EndpointRow,
  type IncomingRow,
  toEndpointRow,
  toIncomingRows,
} from './incoming-row.ts';
import { type ConnectorFacts, type OutgoingRow, toOutgoingRow } from './outgoing-row.ts';
import {
  type KeyBindingRenewalRow,
  type RenewerFacts,
  type RenewerRow,
  toKeyBindingRenewalRows,
  toRenewerRow,
} from './renewal-row.ts';
import { type SyncFacts, type SyncRow, toSyncRow } from './sync-row.ts';
import {
  type KeyBindingRow,
  toKeyBindingRows,
  toValidationAuthorityRow,
  type ValidationAuthorityFacts,
  type ValidationAuthorityRow,
} from './validation-authority-row.ts';

/** What the parts of this side know. */
export interface OverviewFacts {
  readonly connectors: readonly ConnectorFacts[];
  readonly syncs: readonly SyncFacts[];
  readonly endpoints: readonly EndpointFacts[];
  readonly validationAuthorities: readonly ValidationAuthorityFacts[];
  readonly renewers: readonly RenewerFacts[];
}

/** The sections of the overview. A further section is a further list of rows with an `id`. */
export interface Overview {
  readonly outgoing: readonly OutgoingRow[];
  readonly syncs: readonly SyncRow[];
  readonly endpoints: readonly EndpointRow[];
  /** The peer seen last first. */
  readonly incoming: readonly IncomingRow[];
  readonly validationAuthorities: readonly ValidationAuthorityRow[];
  /** Those of the validation authorities. */
  readonly keyBindings: readonly KeyBindingRow[];
  readonly renewers: readonly RenewerRow[];
  /** Of the key bindings of peers; the one begun last at the end. */
  readonly renewals: readonly KeyBindingRenewalRow[];
}

/** Most incoming peers in an overview, over all endpoints; those seen longest ago are left out. */
export const MAX_INCOMING_ROWS = 2_000;

/** Makes the overview of all facts. */
export function toOverview(facts: OverviewFacts): Overview {
  const { connectors, syncs, endpoints, validationAuthorities, renewers } = facts;
  const syncRows = syncs.map(toSyncRow).sort((a, b) => b.startedAt.localeCompare(a.startedAt));
  const syncsWith = (id: string): readonly SyncRow[] => syncRows.filter(({ connectorId }) => connectorId === id);
  return {
    outgoing: byName(connectors.map((connector) => toOutgoingRow(connector, syncsWith(connector.id)))),
    syncs: byName(syncRows),
    endpoints: byName(endpoints.map(toEndpointRow)),
    incoming: newestFirst(endpoints.map(toIncomingRows)),
    validationAuthorities: byName(validationAuthorities.map(toValidationAuthorityRow)),
    keyBindings: byName(validationAuthorities.flatMap(toKeyBindingRows)),
    renewers: byName(renewers.map(toRenewerRow)),
    renewals: renewers.flatMap(toKeyBindingRenewalRows).sort((a, b) => a.startedAt.localeCompare(b.startedAt)),
  };
}

function byName<T extends { readonly name: string; readonly id: string }>(rows: readonly T[]): readonly T[] {
  return [...rows].sort((a, b) => a.name.localeCompare(b.name) || a.id.localeCompare(b.id));
}

function newestFirst(lists: readonly (readonly IncomingRow[])[]): readonly IncomingRow[] {
  // Each list is in that order already, and one endpoint is what most have.
  const [only = []] = lists;
  const rows = lists.length <= 1 ? only : lists.flat().sort((a, b) => (a.lastSeen < b.lastSeen ? 1 : -1));
  return rows.slice(0, MAX_INCOMING_ROWS);
}
