/**
 * The outgoing half of the overview: what is known of one peer connector, as one flat row.
 *
 * Owns the words of the row; reads facts, asks nobody. Optional facts are shown when they are there.
 *
 * @see EJBCA, Peer Systems Operations, Overview
 */

import type { PoolFacts } from '../pool/connection-pool.ts';
import type { PingRecord } from '../pool/peer-client.ts';
import type { PeerQueueStatus } from '../publisher/publisher-status.ts';
import type { RaWorkerState } from '../ra/ra-worker.ts';
import type { SyncRow } from './sync-row.ts';

/** What a connector knows of itself. */
export interface ConnectorFacts {
  readonly id: string;
  readonly name: string;
  readonly url: string;
  /** Whether its own settings allow it to connect. */
  readonly isConfigured: boolean;
  /** Why it cannot be used at all; empty = it can. */
  readonly configError: string;
  readonly pool: PoolFacts | undefined;
  readonly lastPing: PingRecord | undefined;
  /** Publisher queues with marks for it; one for each store and group. */
  readonly queues: readonly PeerQueueStatus[];
  /** Names of the roles under which requests of the peer are worked on. */
  readonly incomingRoles: readonly string[];
  /** undefined while nobody listens for its requests. */
  readonly ra: RaWorkerState | undefined;
}

/** One connector for people and dashboards: plain values only. */
export interface OutgoingRow {
  readonly id: string;
  readonly name: string;
  readonly url: string;
  readonly state: 'unusable' | 'disabled' | 'stopped' | 'running';
  /** What the dialog of the connector says; a switch of the overview may disable it nevertheless. */
  readonly isConfigured: boolean;
  readonly inUse: number;
  readonly ready: number;
  readonly max: number;
  readonly queued: number;
  /** The newest of: why it cannot be used, why the last ping failed. Empty = nothing known. */
  readonly lastError: string;
  /** Milliseconds of the last ping that was answered; null = none yet. */
  readonly pingMs: number | null;
  /** When the last ping ended, answered or not. ISO 8601; empty = none yet. */
  readonly pingAt: string;
  /** Stable code; empty = the last ping was answered. */
  readonly pingError: string;
  readonly protocol: string;
  readonly cipher: string;
  readonly clientSubjectDN: string;
  /** ISO 8601; empty = unknown. */
  readonly clientExpires: string;
  /** True when a renewed client certificate waits for a reset. */
  readonly identityOutdated: boolean;
  readonly serverSubjectDN: string;
  readonly serverIssuerDN: string;
  /** ISO 8601; empty = unknown. */
  readonly serverExpires: string;
  /** Phase of the newest synchronisation; `idle` = none since the start. */
  readonly syncPhase: SyncRow['phase'];
  readonly syncPercent: number;
  /** True when the peer is known to lack something: an old queue item, or a synchronisation that left differences. */
  readonly outOfSync: boolean;
  /** Marks that wait, over all queues. */
  readonly queueLength: number;
  readonly queueUnder1Minute: number;
  readonly queueUnder10Minutes: number;
  readonly queueUnder60Minutes: number;
  readonly queueOver60Minutes: number;
  /** Since when the oldest waits, ISO 8601; empty = none does. */
  readonly queueOldest: string;
  /** Marks that the peer has refused for good. */
  readonly queueParked: number;
  /** What went wrong last on the way to the peer; empty when the last request went well. */
  readonly queueError: string;
  /** Joined by a comma. */
  readonly incomingRoles: string;
  /** Of the requests of an RA; empty = nobody listens for them. */
  readonly raState: RaWorkerState['state'] | '';
  readonly raWaiting: number;
  readonly raWorking: number;
  readonly raMaximum: number;
  readonly raPerSecond: number;
}

/**
 * Makes the row of a connector.
 *
 * @param syncs the synchronisations with this peer, the newest run first
 */
export function toOutgoingRow(facts: ConnectorFacts, syncs: readonly SyncRow[]): OutgoingRow {
  const { pool, lastPing, queues } = facts;
  const [sync] = syncs;
  return {
    id: facts.id,
    name: facts.name,
    url: facts.url,
    state: pool === undefined ? 'unusable' : pool.state,
    isConfigured: facts.isConfigured,
    inUse: pool?.inUse ?? 0,
    ready: pool?.ready ?? 0,
    max: pool?.max ?? 0,
    queued: pool?.queued ?? 0,
    lastError: facts.configError || (lastPing?.detail ?? ''),
    ...pingOf(lastPing),
    ...certificatesOf(pool),
    syncPhase: sync?.phase ?? 'idle',
    syncPercent: sync?.percent ?? 0,
    outOfSync: queues.some(({ isOutOfSync }) => isOutOfSync) || syncs.some((row) => row.outOfSync),
    ...queueColumns(queues),
    incomingRoles: facts.incomingRoles.join(', '),
    ...raColumns(facts.ra),
  };
}

function pingOf(ping: PingRecord | undefined) {
  return {
    pingMs: ping?.roundTripMs === undefined ? null : Math.round(ping.roundTripMs * 100) / 100,
    pingAt: ping === undefined ? '' : new Date(ping.at).toISOString(),
    pingError: ping?.code ?? '',
  };
}

function certificatesOf(pool: PoolFacts | undefined) {
  return {
    protocol: pool?.protocol ?? '',
    cipher: pool?.cipher ?? '',
    clientSubjectDN: pool?.clientCertificate?.subjectDN ?? '',
    clientExpires: pool?.clientCertificate?.expires ?? '',
    identityOutdated: pool?.identityOutdated ?? false,
    serverSubjectDN: pool?.serverCertificate?.subjectDN ?? '',
    serverIssuerDN: pool?.serverCertificate?.issuerDN ?? '',
    serverExpires: pool?.serverCertificate?.expires ?? '',
  };
}

function queueColumns(queues: readonly PeerQueueStatus[]) {
  const sum = (count: (queue: PeerQueueStatus) => number): number =>
    queues.reduce((total, queue) => total + count(queue), 0);
  const oldest = queues.map((queue) => queue.oldest).filter((time) => time !== '');
  return {
    queueLength: sum(({ waiting }) => waiting),
    queueUnder1Minute: sum(({ under1m }) => under1m),
    queueUnder10Minutes: sum(({ under10m }) => under10m),
    queueUnder60Minutes: sum(({ under60m }) => under60m),
    queueOver60Minutes: sum(({ over60m }) => over60m),
    queueOldest: oldest.sort()[0] ?? '',
    queueParked: sum(({ parked }) => parked),
    queueError: queues.find(({ lastErrorCode }) => lastErrorCode !== '')?.lastErrorCode ?? '',
  };
}

function raColumns(ra: RaWorkerState | undefined) {
  return {
    raState: ra?.state ?? ('' as const),
    raWaiting: ra?.waiting ?? 0,
    raWorking: ra?.working ?? 0,
    raMaximum: ra?.maximum ?? 0,
    raPerSecond: ra?.perSecond ?? 0,
  };
}
