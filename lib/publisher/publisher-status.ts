/**
 * The publisher queue in numbers for people, dashboards and load balancers.
 *
 * @see EJBCA, Monitoring of VAs
 */
import type { QueueSummary } from '../store/publisher-queue.ts';
import type { DrainFailure } from './queue-drainer.ts';

/** The queue of one peer. Flat, for tables. */
export interface PeerQueueStatus {
  /** Name of the connector, or names of a group. */
  readonly peer: string;
  readonly waiting: number;
  /** Waiting for less than a minute. */
  readonly under1m: number;
  /** 1 to 10 minutes. */
  readonly under10m: number;
  /** 10 to 60 minutes. */
  readonly under60m: number;
  readonly over60m: number;
  /** Since when the oldest waits, ISO 8601; empty = none does. */
  readonly oldest: string;
  /** Refused for good, left alone. */
  readonly parked: number;
  /** What went wrong last; empty when the last request went well. */
  readonly lastErrorCode: string;
  readonly lastErrorDetail: string;
  /** ISO 8601; empty = never. */
  readonly lastErrorAt: string;
  /** Whether the oldest has waited for too long. */
  readonly isOutOfSync: boolean;
  /** Whether the connector, or a member of the group, is there. */
  readonly exists: boolean;
  /** Ids of connectors as they stand in the queue. */
  readonly key: string;
}

interface PeerFacts {
  readonly peer: string;
  readonly name: string;
  readonly exists: boolean;
  readonly failure: DrainFailure | undefined;
}

/** @param summary undefined = the peer has no marks */
export function statusOf(
  summary: QueueSummary | undefined,
  { peer, name, exists, failure }: PeerFacts,
  { now, outOfSyncAfterMs }: { readonly now: number; readonly outOfSyncAfterMs: number },
): PeerQueueStatus {
  const { waiting, parked, oldest, byAge } = summary ?? NOTHING;
  return {
    peer: name,
    waiting,
    under1m: byAge[0],
    under10m: byAge[1],
    under60m: byAge[2],
    over60m: byAge[3],
    oldest: oldest === -1 ? '' : new Date(oldest).toISOString(),
    parked,
    lastErrorCode: failure?.code ?? '',
    lastErrorDetail: failure?.detail ?? '',
    lastErrorAt: failure === undefined ? '' : new Date(failure.at).toISOString(),
    isOutOfSync: oldest !== -1 && now - oldest > outOfSyncAfterMs,
    exists,
    key: peer,
  };
}

const NOTHING = { waiting: 0, parked: 0, oldest: -1, byAge: [0, 0, 0, 0] } as const;

/** What a load balancer is told: HTTP status and JSON. */
export interface StatusAnswer {
  /** 200 = all in sync, 503 = some are not, 404 = the one asked for is not known. */
  readonly status: 200 | 404 | 503;
  /** Those that are out of sync; empty = none. No details of failures: whoever asks is not known. */
  readonly body: readonly Pick<PeerQueueStatus, 'peer' | 'oldest' | 'waiting'>[];
}

/**
 * The answer of the status endpoint. Peers whose connectors are gone are no VAs any more and are left out.
 *
 * @param peer only this one, by name; undefined = all
 */
export function statusAnswer(statuses: readonly PeerQueueStatus[], peer?: string): StatusAnswer {
  const asked = statuses.filter((each) => each.exists && (peer === undefined || each.peer === peer));
  if (peer !== undefined && asked.length === 0) return { status: 404, body: [] };
  const body = asked
    .filter(({ isOutOfSync }) => isOutOfSync)
    .map((each) => ({ peer: each.peer, oldest: each.oldest, waiting: each.waiting }));
  return { status: body.length === 0 ? 200 : 503, body };
}
