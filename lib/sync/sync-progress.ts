/**
 * Where a synchronisation is: numbers for people and dashboards.
 */

/** What the run is doing. */
export type SyncPhase = 'comparing' | 'pushing' | 'finished' | 'cancelled' | 'failed';

/** A snapshot. Flat and plain. */
export interface SyncProgress {
  readonly phase: SyncPhase;
  /** 0 to 100. */
  readonly percent: number;
  /** Rows of the subset on this side. */
  readonly total: number;
  /** Rows of which is known whether the peer has them like this. */
  readonly compared: number;
  /** Rows the peer does not have. */
  readonly missing: number;
  /** Rows the peer has in another state. */
  readonly outdated: number;
  /** Rows only the peer has. They are left alone. */
  readonly onlyAtPeer: number;
  /** Rows the peer has taken. */
  readonly pushed: number;
  /** Of the rows sent, those of which the peer had a newer state. */
  readonly newerAtPeer: number;
  readonly failed: number;
  readonly rowsPerSecond: number;
  /** -1 = unknown. */
  readonly secondsRemaining: number;
  /** Requests that compared. */
  readonly roundTrips: number;
  /** Bytes of bodies that compared, both ways. */
  readonly comparedBytes: number;
  /** Bytes of rows sent. */
  readonly pushedBytes: number;
}

type Counters = Pick<
  SyncProgress,
  | 'total'
  | 'compared'
  | 'missing'
  | 'outdated'
  | 'onlyAtPeer'
  | 'pushed'
  | 'newerAtPeer'
  | 'failed'
  | 'roundTrips'
  | 'comparedBytes'
  | 'pushedBytes'
>;

/** Counts and tells, at most four times a second. */
export class SyncMeter {
  readonly counts: { -readonly [K in keyof Counters]: Counters[K] } = {
    total: 0,
    compared: 0,
    missing: 0,
    outdated: 0,
    onlyAtPeer: 0,
    pushed: 0,
    newerAtPeer: 0,
    failed: 0,
    roundTrips: 0,
    comparedBytes: 0,
    pushedBytes: 0,
  };
  phase: SyncPhase = 'comparing';
  /** Share of the work that is done, 0 to 1. */
  share = 0;
  readonly #start: number;
  readonly #now: () => number;
  readonly #onProgress: (progress: SyncProgress) => void;
  #lastTold = Number.NEGATIVE_INFINITY;

  /** @param now milliseconds of a clock that does not jump */
  constructor(onProgress: (progress: SyncProgress) => void, now: () => number = () => performance.now()) {
    this.#onProgress = onProgress;
    this.#now = now;
    this.#start = now();
  }

  progress(): SyncProgress {
    const seconds = (this.#now() - this.#start) / 1_000;
    const sent = this.counts.pushed + this.counts.newerAtPeer + this.counts.failed;
    const share = this.phase === 'finished' ? 1 : Math.min(this.share, 1);
    return {
      phase: this.phase,
      percent: Math.floor(share * 1_000) / 10,
      ...this.counts,
      rowsPerSecond: seconds > 0 ? Math.round(sent / seconds) : 0,
      secondsRemaining: share > 0 && share < 1 ? Math.ceil((seconds / share) * (1 - share)) : share >= 1 ? 0 : -1,
    };
  }

  /** Tells unless it has just told. */
  tell(): void {
    if (this.#now() - this.#lastTold >= MIN_INTERVAL_MS) this.#tellNow();
  }

  /** Tells the last word. */
  end(phase: SyncPhase): SyncProgress {
    this.phase = phase;
    this.#tellNow();
    return this.progress();
  }

  #tellNow(): void {
    this.#lastTold = this.#now();
    this.#onProgress(this.progress());
  }
}

const MIN_INTERVAL_MS = 250;
