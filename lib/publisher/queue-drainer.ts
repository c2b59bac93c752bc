/**
 * Empties the publisher queue of one peer and kind: one request after the other, oldest marks first.
 *
 * A mark leaves the queue when the peer has acknowledged what it spoke of, is parked when the peer refuses it for good,
 * and is delayed when it may go better later. While the peer as a whole does not answer, the drainer waits, longer each
 * time, until somebody succeeds in talking to it. Marks are in the store, so it may be stopped at any moment.
 */
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { failureOf, type PeerError, type PeerErrorCode, toPeerError } from '../errors.ts';
import { backOff } from '../pool/back-off.ts';
import {
  MAX_DELAY_MS,
  type MarkSettlement,
  type PublisherQueueStore,
  type QueueMark,
} from '../store/publisher-queue.ts';
import { FreshMarks } from './fresh-marks.ts';
import type { DrainOutcome, MarkSender, SendOutcome } from './mark-sender.ts';
import type { PeerGroup } from './peer-group.ts';

/** The last thing that went wrong. */
export interface DrainFailure {
  readonly code: PeerErrorCode;
  readonly detail: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** Where a drainer works, and how it waits. */
export interface DrainerOptions {
  readonly store: Pick<PublisherQueueStore, 'dueMarks' | 'settleMarks'>;
  readonly group: PeerGroup;
  readonly sender: MarkSender;
  /** Longest wait before the peer is tried again, with one mark, milliseconds. Default 3000. */
  readonly maxBackOffMs?: number;
  /** Gives 0 to 1. */
  readonly random?: () => number;
  /** After the queue or the last failure has changed. */
  readonly onChange?: () => void;
}

/** Somebody else may write to the same store; so it is looked at now and then. */
const LOOK_AGAIN_MS = 60_000;
const CLOSE_MS = 1_000;
const FIRST_BACK_OFF_MS = 500;

/**
 * What a peer says to, or of, a whole request because of what is in it, rather than because of who asks. Fewer marks
 * may pass, and the last one that does not is delayed alone.
 */
const BLAMED_ON_CONTENT: ReadonlySet<PeerErrorCode> = new Set<PeerErrorCode>([
  'ERR_INTERNAL',
  'ERR_INVALID_CERTIFICATE',
  'ERR_INVALID_INPUT',
  'ERR_MALFORMED_MESSAGE',
  'ERR_PEER_TIMEOUT',
  'ERR_TOO_LARGE',
  'ERR_TOO_SLOW',
]);

/** Runs from its making until it is closed. */
export class QueueDrainer {
  readonly #options: Required<DrainerOptions>;
  readonly #fresh = new FreshMarks();
  readonly #closing = new AbortController();
  readonly #done: Promise<void>;
  #limit: number;
  #failures = 0;
  #isStalled = false;
  #isFreshTurn = true;
  #isRoused = false;
  #rouse: (() => void) | undefined;
  #lastFailure: DrainFailure | undefined;

  constructor(options: DrainerOptions) {
    this.#options = { maxBackOffMs: 3_000, random: Math.random, onChange: () => undefined, ...options };
    this.#limit = options.sender.maxMarks;
    this.#done = this.#run();
  }

  /** What went wrong last, until a request succeeds. */
  get lastFailure(): DrainFailure | undefined {
    return this.#lastFailure;
  }

  /** Whether it waits because the peer cannot be reached. */
  get isStalled(): boolean {
    return this.#isStalled;
  }

  /**
   * Sends a mark that was put on the queue right now before older ones.
   *
   * @returns what the peer says; `queued` at once while it cannot be reached
   */
  sendNow(fresh: Pick<QueueMark, 'fingerprint' | 'sequence' | 'withCertificate'>): Promise<DrainOutcome> {
    if (this.#isStalled || this.#closing.signal.aborted || this.#fresh.isFull) return Promise.resolve(this.#queued());
    const { group, sender } = this.#options;
    const outcome = this.#fresh.add({ peer: group.key, kind: sender.kind, ...fresh });
    this.wake();
    return outcome;
  }

  /** Looks at the queue at once, unless it waits for the peer. */
  wake(): void {
    if (this.#isStalled) return;
    this.#isRoused = true;
    this.#rouse?.();
  }

  /** Tries the peer at once. */
  tryAgain(): void {
    this.#isRoused = true;
    this.#rouse?.();
  }

  /** Stops within a second; what is under way stays on the queue. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('The queue was closed'));
    this.#fresh.settleAll(this.#queued());
    this.#rouse?.();
    await Promise.race([this.#done, delay(CLOSE_MS, undefined, { ref: false })]);
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        await this.#round();
      } catch (error) {
        // The store is out of reach.
        await this.#stall(toPeerError(error));
      }
    }
  }

  async #round(): Promise<void> {
    this.#isRoused = false;
    // Messages that are here already travel together.
    if (this.#fresh.size > 0) await nextTurn();
    const takenAt = Date.now();
    const { marks, nextDueAt } = await this.#take(takenAt);
    if (marks.length === 0) {
      const untilDue = nextDueAt === -1 ? LOOK_AGAIN_MS : nextDueAt - takenAt;
      return this.#pause(Math.min(LOOK_AGAIN_MS, Math.max(1, untilDue)));
    }
    const { group, sender } = this.#options;
    const { signal } = this.#closing;
    let name = group.name;
    let outcomes: readonly (SendOutcome | undefined)[];
    try {
      outcomes = await group.call((peer) => {
        name = peer.name;
        return sender.send(peer.client(), marks, signal);
      });
    } catch (error) {
      if (!signal.aborted) await this.#failed(toPeerError(error), marks, takenAt);
      return;
    }
    this.#failures = 0;
    this.#limit = Math.min(sender.maxMarks, this.#limit * 2);
    this.#lastFailure = undefined;
    await this.#settle(marks, outcomes, { name, takenAt });
  }

  /** New marks and those that wait take turns. */
  async #take(now: number): Promise<{ readonly marks: readonly QueueMark[]; readonly nextDueAt: number }> {
    const { store, group, sender } = this.#options;
    const isFreshTurn = this.#isFreshTurn && this.#fresh.size > 0;
    this.#isFreshTurn = !isFreshTurn;
    if (isFreshTurn) return { marks: this.#fresh.first(this.#limit), nextDueAt: -1 };
    return store.dueMarks({ peer: group.key, kind: sender.kind, now, limit: this.#limit });
  }

  async #settle(
    marks: readonly QueueMark[],
    outcomes: readonly (SendOutcome | undefined)[],
    { name, takenAt }: { readonly name: string; readonly takenAt: number },
  ): Promise<void> {
    const settlements: MarkSettlement[] = [];
    for (const [index, mark] of marks.entries()) {
      const outcome = outcomes[index];
      if (outcome === undefined) continue;
      settlements.push(this.#settlementOf(mark, outcome));
      this.#fresh.settle(mark, { ...toldOf(outcome), peer: name });
    }
    await this.#write(settlements, takenAt);
  }

  #settlementOf(mark: QueueMark, outcome: SendOutcome): MarkSettlement {
    const { fingerprint, sequence } = mark;
    const settlement = { fingerprint, sequence, code: '', detail: '', dueAt: 0 };
    if (outcome.verdict !== 'refused') return { ...settlement, outcome: 'acknowledged' };
    const { code = 'ERR_INTERNAL', detail = '' } = outcome;
    this.#lastFailure = { code, detail, at: Date.now() };
    if (!failureOf(code).retryable) return { ...settlement, outcome: 'parked', code, detail };
    return { ...settlement, outcome: 'delayed', code, detail, dueAt: this.#dueAgain(mark) };
  }

  /** A mark that failed alone must not stand in the way of others. */
  #dueAgain({ attempts }: QueueMark): number {
    const limits = { firstMs: FIRST_BACK_OFF_MS * 2, maxMs: MAX_DELAY_MS };
    return Date.now() + backOff(attempts + 1, limits, this.#options.random);
  }

  /** The request as a whole: fewer at a time from now on, and a pause. */
  async #failed(error: PeerError, marks: readonly QueueMark[], takenAt: number): Promise<void> {
    const { code, message: detail } = error;
    const isBlamed = BLAMED_ON_CONTENT.has(code);
    const isAlone = marks.length === 1;
    this.#limit = Math.max(1, Math.floor(marks.length / 2));
    const settlements = marks.map((mark) => {
      const { fingerprint, sequence } = mark;
      const dueAt = isBlamed && isAlone ? this.#dueAgain(mark) : 0;
      return { fingerprint, sequence, outcome: 'delayed', code, detail, dueAt } as const;
    });
    // When the store is out of reach too, the next round tells.
    await this.#write(settlements, takenAt).catch(() => undefined);
    const isSplit = isBlamed && !isAlone && !error.retryable;
    if (!isSplit) await this.#stall(error);
  }

  async #write(settlements: readonly MarkSettlement[], takenAt: number): Promise<void> {
    const { store, group, sender, onChange } = this.#options;
    await store.settleMarks({ peer: group.key, kind: sender.kind, settlements, takenAt });
    onChange();
  }

  /** Waits until it is worth another try; nobody waits for an answer meanwhile. */
  async #stall(error: PeerError): Promise<void> {
    const { group, maxBackOffMs, random, onChange } = this.#options;
    this.#failures += 1;
    this.#lastFailure = { code: error.code, detail: error.message, at: Date.now() };
    this.#isStalled = true;
    this.#isRoused = false;
    this.#fresh.settleAll(this.#queued(error));
    onChange();
    const end = group.onUsable(() => this.tryAgain());
    await this.#pause(backOff(this.#failures, { firstMs: FIRST_BACK_OFF_MS, maxMs: maxBackOffMs }, random));
    end();
    this.#isStalled = false;
  }

  /** Until it is roused; what roused it since the round began counts too. */
  #pause(ms: number): Promise<void> {
    if (this.#isRoused || this.#closing.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#rouse = undefined;
        resolve();
      };
      const timer = setTimeout(end, ms).unref();
      this.#rouse = end;
    });
  }

  #queued(cause: { readonly code: PeerErrorCode; readonly message: string } | undefined = undefined): DrainOutcome {
    const { code, detail } = cause === undefined ? (this.#lastFailure ?? {}) : { ...cause, detail: cause.message };
    const peer = this.#options.group.name;
    return { verdict: 'queued', peer, ...(code !== undefined && { code }), ...(detail !== undefined && { detail }) };
  }
}

/** What those who wait for a mark are told. */
function toldOf(outcome: SendOutcome): Omit<DrainOutcome, 'peer'> {
  if (outcome.verdict === 'gone') return { verdict: 'unchanged' };
  if (outcome.verdict === 'replaced') return { verdict: 'queued' };
  return outcome;
}
