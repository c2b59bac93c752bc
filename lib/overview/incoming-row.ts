/**
 * The incoming half of the overview: endpoints, and who came in at them, as flat rows.
 */
import type { IncomingPeer } from '../endpoint/incoming-connections.ts';

/** What an endpoint knows of itself. */
export interface EndpointFacts {
  readonly id: string;
  readonly name: string;
  /** undefined = nothing listens. */
  readonly port: number | undefined;
  /** What the dialog of the endpoint says; the global switch may close it nevertheless. */
  readonly isConfigured: boolean;
  /** Why it does not listen although it may; empty = no reason known. */
  readonly error: string;
  readonly peers: readonly IncomingPeer[];
}

/** One endpoint. */
export interface EndpointRow {
  readonly id: string;
  readonly name: string;
  readonly state: 'off' | 'listening';
  /** 0 = nothing listens. */
  readonly port: number;
  readonly isConfigured: boolean;
  readonly error: string;
  /** How many peers are remembered. */
  readonly peers: number;
  readonly connections: number;
  readonly requests: number;
  readonly refusals: number;
}

/** One incoming peer at one endpoint: plain values only. What the peer says of itself stands as it came. */
export interface IncomingRow {
  /** Of the endpoint and the peer together. */
  readonly id: string;
  readonly endpointId: string;
  readonly endpoint: string;
  /** Fingerprint of the client certificate; for a client without a readable one, its address. */
  readonly peerId: string;
  readonly subjectDN: string;
  readonly issuerDN: string;
  /** Decimal. */
  readonly serialNumber: string;
  readonly address: string;
  readonly state: 'admitted' | 'refused' | 'blocked' | 'seen';
  /** Names, joined by a comma. */
  readonly roles: string;
  readonly connections: number;
  readonly requests: number;
  readonly refusals: number;
  readonly lastOperation: string;
  /** Cause. */
  readonly lastRefusal: string;
  /** ISO 8601. */
  readonly firstSeen: string;
  /** ISO 8601. */
  readonly lastSeen: string;
  /** When the client certificate expires, ISO 8601; empty = unknown. */
  readonly expires: string;
}

/** Makes the row of an endpoint. */
export function toEndpointRow({ id, name, port, isConfigured, error, peers }: EndpointFacts): EndpointRow {
  const sum = (key: 'connections' | 'requests' | 'refusals'): number =>
    peers.reduce((total, peer) => total + peer[key], 0);
  return {
    id,
    name,
    state: port === undefined ? 'off' : 'listening',
    port: port ?? 0,
    isConfigured,
    error,
    peers: peers.length,
    connections: sum('connections'),
    requests: sum('requests'),
    refusals: sum('refusals'),
  };
}

/** Makes the rows of the peers of an endpoint, in the order given. */
export function toIncomingRows({ id: endpointId, name: endpoint, peers }: EndpointFacts): readonly IncomingRow[] {
  return peers.map((peer) => {
    const { id: peerId, roles, isBlocked, ...rest } = peer;
    const row = { endpointId, endpoint, peerId, ...rest, roles: roles.join(', '), state: stateOf(peer) };
    return { id: `${endpointId} ${peerId}`, ...row };
  });
}

/** The last word counts: whoever was refused after its last operation stands as refused. */
function stateOf({ isBlocked, isRefused, lastOperation }: IncomingPeer): IncomingRow['state'] {
  if (isBlocked) return 'blocked';
  if (isRefused) return 'refused';
  return lastOperation === '' ? 'seen' : 'admitted';
}
