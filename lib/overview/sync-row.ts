/**
 * One synchronisation in the overview: what runs, or how the last run ended.
 */
import type { SyncPhase, SyncProgress } from '../sync/sync-progress.ts';

/** What a sync node knows of itself. */
export interface SyncFacts {
  readonly id: string;
  readonly name: string;
  readonly connectorId: string;
  readonly isRunning: boolean;
  readonly isDryRun: boolean;
  /** Of the run under way or the last one; undefined = none since the start. */
  readonly progress: SyncProgress | undefined;
  /** Epoch milliseconds of the begin of that run; 0 = none. */
  readonly startedAt: number;
  /** Why the last run ended early; empty = it did not. */
  readonly error: string;
  readonly hasReport: boolean;
}

/** One synchronisation for people and dashboards: plain values only. */
export interface SyncRow {
  readonly id: string;
  readonly name: string;
  readonly connectorId: string;
  readonly phase: SyncPhase | 'idle';
  readonly isRunning: boolean;
  readonly isDryRun: boolean;
  readonly percent: number;
  readonly total: number;
  readonly missing: number;
  readonly outdated: number;
  readonly pushed: number;
  readonly failed: number;
  /** -1 = unknown. */
  readonly secondsRemaining: number;
  /** ISO 8601; empty = never. */
  readonly startedAt: string;
  readonly error: string;
  readonly hasReport: boolean;
  /** True when the last run ended and the peer still lacks rows, or may do so. */
  readonly outOfSync: boolean;
}

/** Makes the row of a sync node. */
export function toSyncRow(facts: SyncFacts): SyncRow {
  const { id, name, connectorId, isRunning, isDryRun, progress, startedAt, error, hasReport } = facts;
  return {
    id,
    name,
    connectorId,
    phase: progress?.phase ?? 'idle',
    isRunning,
    isDryRun,
    percent: progress?.percent ?? 0,
    total: progress?.total ?? 0,
    missing: progress?.missing ?? 0,
    outdated: progress?.outdated ?? 0,
    pushed: progress?.pushed ?? 0,
    failed: progress?.failed ?? 0,
    secondsRemaining: progress?.secondsRemaining ?? -1,
    startedAt: startedAt === 0 ? '' : new Date(startedAt).toISOString(),
    error,
    hasReport,
    outOfSync: leavesDifferences(facts),
  };
}

/** A run that failed may have left differences; a dry run has left what it found. */
function leavesDifferences({ isRunning, isDryRun, progress, error }: SyncFacts): boolean {
  if (isRunning) return false;
  if (error !== '') return true;
  if (progress === undefined) return false;
  const found = progress.missing + progress.outdated;
  return isDryRun ? found > 0 : progress.failed > 0;
}
