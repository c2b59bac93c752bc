/**
 * The CA side: long-hanging connections to one RA over which requests are fetched and their results delivered.
 *
 * Idle, it keeps the minimum of connections; when all are in use it adds more, up to the maximum, and
 * gives them up again when they find nothing to do. Every connection makes one call after the other:
 * deliver the result, take the next request.
 *
 * @see EJBCA, Peer Systems Operations: minimum and maximum parallel requests
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type PeerError, toPeerError } from '../errors.ts';
import { backOff } from '../pool/back-off.ts';
import type { PeerClient } from '../pool/peer-client.ts';
import { RA_HEARTBEAT_MS, RA_WAIT_MS, type RaNext, type RaResult } from '../protocol/ra-messages.ts';
import { RaExecution, type RaExecutionOptions } from './ra-execution.ts';
import type { WorkerCounts } from './worker-statistics.ts';

/** Settings of a worker. */
export interface RaWorkerOptions extends RaExecutionOptions {
  readonly client: Pick<PeerClient, 'raNext'>;
  /** Connections that wait when there is nothing to do. Default 2. */
  readonly minimum?: number;
  /** Most requests that are worked on at once. Default 10. */
  readonly maximum?: number;
  /** Request types taken, asked at every call; empty = all. */
  readonly types?: () => readonly string[];
  /** Milliseconds that a call may wait at the RA. Default RA_WAIT_MS. */
  readonly waitMs?: number;
  /** Told whenever the state may have changed. */
  readonly onChange?: () => void;
}

/** What an overview shows of a worker. */
export interface RaWorkerState extends WorkerCounts {
  /** `unreachable`: the last call of every connection failed. `busy`: no more can be taken. */
  readonly state: 'idle' | 'working' | 'busy' | 'unreachable' | 'stopped';
  /** Connections that wait for a request. */
  readonly waiting: number;
  /** Requests that are being worked on. */
  readonly working: number;
  readonly minimum: number;
  readonly maximum: number;
  /** Answers per second over the last ten seconds. */
  readonly perSecond: number;
  /** Of the last call that failed; undefined while all is well. */
  readonly lastError: PeerError | undefined;
}

/** One long-hanging connection. */
interface Slot {
  readonly number: number;
  activity: 'waiting' | 'working' | 'failing';
  /** What the RA has not acknowledged. */
  results: readonly RaResult[];
  ended: Promise<void>;
}

/** Calls outside of the slots: signs of life, and the farewell. */
/** Milliseconds between tries while the RA cannot be reached. */
const FIRST_PAUSE_MS = 200;
const LAST_PAUSE_MS = 5_000;
const HEARTBEAT_SLOT = 0;
/** Stopping must not take long; what the RA has not heard by then it finds out by silence. */
const FAREWELL_MS = 700;

/** What is wrong with a message itself, not with the way. */
const CONTENT_CODES: ReadonlySet<string> = new Set(['ERR_TOO_LARGE', 'ERR_MALFORMED_MESSAGE']);

/** Works for one RA until it is closed. */
export class RaWorker {
  readonly #options: RaWorkerOptions & { readonly minimum: number; readonly maximum: number; readonly waitMs: number };
  readonly #instance = randomBytes(16).toString('hex');
  readonly #execution: RaExecution;
  readonly #slots = new Map<number, Slot>();
  readonly #closing = new AbortController();
  readonly #heartbeat: NodeJS.Timeout;
  #sequence = 0;
  #lastError: PeerError | undefined;

  constructor(options: RaWorkerOptions) {
    const { minimum = 2, maximum = 10, waitMs = RA_WAIT_MS } = options;
    this.#options = { ...options, minimum, maximum: Math.max(minimum, maximum), waitMs };
    this.#execution = new RaExecution(options);
    this.#heartbeat = setInterval(() => void this.#beat(), RA_HEARTBEAT_MS).unref();
    this.#grow(minimum);
  }

  state(): RaWorkerState {
    const { minimum, maximum } = this.#options;
    const waiting = this.#count('waiting');
    const working = this.#count('working');
    const { statistics } = this.#execution;
    return {
      state: this.#stateOf(waiting, working),
      waiting,
      working,
      minimum,
      maximum,
      perSecond: statistics.rate(),
      lastError: this.#lastError,
      ...statistics.counts(),
    };
  }

  /** Stops within a second. Requests under way end by name, and the RA is told what was never begun. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    clearInterval(this.#heartbeat);
    this.#closing.abort(new Error('The worker was closed'));
    this.#execution.stop();
    const slots = [...this.#slots.values()];
    await Promise.all(slots.map(({ ended }) => ended));
    const results = slots.flatMap((slot) => slot.results);
    this.#options.onChange?.();
    await this.#farewell(results).catch(() => undefined);
  }

  #stateOf(waiting: number, working: number): RaWorkerState['state'] {
    if (this.#closing.signal.aborted) return 'stopped';
    if (working >= this.#options.maximum) return 'busy';
    if (working > 0) return 'working';
    return waiting > 0 ? 'idle' : 'unreachable';
  }

  #count(activity: Slot['activity']): number {
    return [...this.#slots.values()].filter((slot) => slot.activity === activity).length;
  }

  #grow(count: number): void {
    for (let number = 1; count > 0 && this.#slots.size < this.#options.maximum; number++) {
      if (this.#slots.has(number)) continue;
      const slot: Slot = { number, activity: 'waiting', results: [], ended: Promise.resolve() };
      this.#slots.set(number, slot);
      slot.ended = this.#run(slot);
      count -= 1;
    }
  }

  async #run(slot: Slot): Promise<void> {
    while (!this.#closing.signal.aborted) {
      const next = await this.#callUntilAnswered(slot);
      if (next === undefined) break;
      slot.results = [];
      if (next.request !== undefined) {
        this.#become(slot, 'working');
        this.#grow(Math.max(next.queued, this.#count('waiting') === 0 ? 1 : 0));
        const { id, ticket } = next.request;
        slot.results = [{ id, ticket, outcome: await this.#execution.execute(next.request) }];
      } else if (this.#slots.size > this.#options.minimum) break;
    }
    // One that is closed keeps its results for the farewell.
    if (!this.#closing.signal.aborted) this.#slots.delete(slot.number);
    this.#options.onChange?.();
  }

  /** The same call again and again, so that no request and no result is lost; undefined when this side closes. */
  async #callUntilAnswered(slot: Slot): Promise<RaNext | undefined> {
    let sequence = ++this.#sequence;
    let failures = 0;
    // A slot that delivers still counts as working: it takes the next request only with the answer.
    if (slot.results.length === 0) this.#become(slot, 'waiting');
    for (;;) {
      if (this.#closing.signal.aborted) return undefined;
      try {
        const next = await this.#call(slot, sequence);
        this.#lastError = undefined;
        return next;
      } catch (error) {
        if (this.#closing.signal.aborted) return undefined;
        this.#lastError = toPeerError(error);
        if (CONTENT_CODES.has(this.#lastError.code)) {
          // The same again would fail again: neither the result nor the request behind the answer is tried twice.
          sequence = ++this.#sequence;
          slot.results = slot.results.map((result) => undeliverable(result, this.#lastError as PeerError));
        }
        this.#become(slot, 'failing');
        failures += 1;
        const pause = backOff(failures, { firstMs: FIRST_PAUSE_MS, maxMs: LAST_PAUSE_MS });
        await delay(pause, undefined, { signal: this.#closing.signal, ref: false }).catch(() => undefined);
      }
    }
  }

  #call(slot: Slot, sequence: number): Promise<RaNext> {
    const { client, types, waitMs } = this.#options;
    const call = { instance: this.#instance, slot: slot.number, sequence, isLeaving: false, waitMs };
    const pending = client.raNext({ ...call, types: types?.() ?? [], results: slot.results }, this.#closing.signal);
    if (slot.activity !== 'waiting') this.#become(slot, 'waiting');
    return pending;
  }

  /** Tells the RA that this side lives although all its connections are busy. */
  async #beat(): Promise<void> {
    if (this.#execution.running === 0) return;
    await this.#say(false, [], this.#closing.signal).catch((error: unknown) => {
      this.#lastError ??= toPeerError(error);
    });
  }

  async #farewell(results: readonly RaResult[]): Promise<void> {
    await this.#say(true, results, AbortSignal.timeout(FAREWELL_MS));
  }

  async #say(isLeaving: boolean, results: readonly RaResult[], signal: AbortSignal): Promise<void> {
    const call = { instance: this.#instance, slot: HEARTBEAT_SLOT, sequence: ++this.#sequence, isLeaving, waitMs: 0 };
    await this.#options.client.raNext({ ...call, types: this.#options.types?.() ?? [], results }, signal);
  }

  #become(slot: Slot, activity: Slot['activity']): void {
    if (slot.activity === activity) return;
    slot.activity = activity;
    this.#options.onChange?.();
  }
}

function undeliverable({ id, ticket }: RaResult, { code, message }: PeerError): RaResult {
  return { id, ticket, outcome: { failure: { code, detail: message } } };
}
