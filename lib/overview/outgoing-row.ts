/**
 * The outgoing half of the overview: what is known of one peer connector, as one flat row.
 *
 * Owns the words of the row; reads facts, asks nobody. Optional facts are shown when they are there.
 *
 * @see EJBCA, Peer Systems Operations, Overview
 */

import type { PoolFacts } from '../pool/connection-pool.ts';
import type { PingRecord } from '../pool/peer-client.ts';
import type { SyncRow } from './sync-row.ts';

/** How many queued items are how old, and the age of the oldest. */
export interface QueueFacts {
  readonly under1Minute: number;
  readonly under10Minutes: number;
  readonly under60Minutes: number;
  readonly over60Minutes: number;
  /** Seconds; 0 = the queue is empty. */
  readonly oldestSeconds: number;
}

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
  readonly queue?: QueueFacts;
  /** Names of the roles under which requests of the peer are worked on. */
  readonly incomingRoles?: readonly string[];
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
  /** ISO 8601; empty = unknown. */
  readonly serverExpires: string;
  /** Phase of the newest synchronisation; `idle` = none since the start. */
  readonly syncPhase: SyncRow['phase'];
  readonly syncPercent: number;
  /** True when the peer is known to lack something: an old queue item, or a synchronisation that left differences. */
  readonly outOfSync: boolean;
  readonly queueLength?: number;
  readonly queueUnder1Minute?: number;
  readonly queueUnder10Minutes?: number;
  readonly queueUnder60Minutes?: number;
  readonly queueOver60Minutes?: number;
  /** Seconds. */
  readonly queueOldestSeconds?: number;
  /** Joined by a comma. */
  readonly incomingRoles?: string;
}

/** A queue item older than this makes a peer out of sync: EJBCA's VA status time constraint. Seconds. */
const MAX_QUEUE_AGE_SECONDS = 600;

/**
 * Makes the row of a connector.
 *
 * @param syncs the synchronisations with this peer, the newest run first
 */
export function toOutgoingRow(facts: ConnectorFacts, syncs: readonly SyncRow[]): OutgoingRow {
  const { pool, lastPing, queue } = facts;
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
    outOfSync: (queue?.oldestSeconds ?? 0) > MAX_QUEUE_AGE_SECONDS || syncs.some((row) => row.outOfSync),
    ...(queue !== undefined && queueColumns(queue)),
    ...(facts.incomingRoles !== undefined && { incomingRoles: facts.incomingRoles.join(', ') }),
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
    serverExpires: pool?.serverCertificate?.expires ?? '',
  };
}

function queueColumns({ under1Minute, under10Minutes, under60Minutes, over60Minutes, oldestSeconds }: QueueFacts) {
  return {
    queueLength: under1Minute + under10Minutes + under60Minutes + over60Minutes,
    queueUnder1Minute: under1Minute,
    queueUnder10Minutes: under10Minutes,
    queueUnder60Minutes: under60Minutes,
    queueOver60Minutes: over60Minutes,
    queueOldestSeconds: oldestSeconds,
  };
}
