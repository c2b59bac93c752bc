/**
 * The RA side: requests wait here until a CA calls and takes one, and are answered when it calls again.
 *
 * No connection is ever opened towards the CA. A request is handed out once; only one that is marked as
 * repeatable, or that the CA says it never began, is handed out again.
 *
 * @see EJBCA, Peer Systems Operations: serving RA requests
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { PeerError } from '../errors.ts';
import {
  RA_CONTENT_BYTES,
  RA_ID,
  RA_LOST_MS,
  RA_TYPE,
  type RaAnswer,
  type RaCall,
  type RaCaller,
  type RaDesk,
  type RaNext,
  type RaOutcome,
  type RaRequest,
  type RaResult,
} from '../protocol/ra-messages.ts';
import { type KeepOptions, KeptOutcomes } from './kept-outcomes.ts';
import type { ListeningCa } from './listening-ca.ts';
import { ListeningCas } from './listening-cas.ts';
import { checkDetails, digestOf, RaEntry, type RaQuestion } from './ra-entry.ts';
import { WaitingRequests } from './waiting-requests.ts';

/** Limits and times of a queue. */
export interface RaQueueOptions extends KeepOptions {
  /** Requests that may wait for a CA. Default 1000. */
  readonly maxWaiting?: number;
  /** The same for one type, so that none fills the queue alone. Default: as many. */
  readonly maxWaitingPerType?: number;
  /** Largest content of a request and of an answer. Default 1 MB. */
  readonly maxContentBytes?: number;
  /** Milliseconds that a request waits for a CA to come when none is there. Default 3000. */
  readonly graceMs?: number;
  /** Milliseconds of silence after which a CA is taken for gone. Default RA_LOST_MS. */
  readonly lostMs?: number;
}

/** What an overview shows of a queue. */
export interface RaQueueFacts {
  /** Requests that no CA has taken. */
  readonly waiting: number;
  /** Requests that a CA works on. */
  readonly handedOut: number;
  /** Long-hanging connections that wait for work. */
  readonly idleConnections: number;
  /** Subject DN of each CA that listens. */
  readonly cas: readonly string[];
}

const SWEEP_MS = 500;
const MAX_UNFINISHED = 20_000;

/** Brings those who ask and the CAs that call together. */
export class RaQueue implements RaDesk {
  readonly #options: Required<Omit<RaQueueOptions, keyof KeepOptions>>;
  readonly #keepMs: number;
  readonly #outcomes: KeptOutcomes;
  readonly #entries = new Map<string, RaEntry>();
  readonly #waiting = new WaitingRequests();
  readonly #cas = new ListeningCas();
  readonly #timer: NodeJS.Timeout;
  /** Begins the tickets of this run; they need be unique, not secret. */
  readonly #run = randomBytes(4).toString('hex');
  #count = 0;
  #isClosed = false;

  constructor(options: RaQueueOptions = {}) {
    const { keepMs = 300_000, maxWaiting = 1_000 } = options;
    this.#options = {
      maxWaiting,
      maxWaitingPerType: maxWaiting,
      maxContentBytes: RA_CONTENT_BYTES,
      graceMs: 3_000,
      lostMs: RA_LOST_MS,
      ...options,
    };
    this.#keepMs = keepMs;
    this.#outcomes = new KeptOutcomes(options);
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS).unref();
  }

  facts(): RaQueueFacts {
    return {
      waiting: this.#waiting.size,
      handedOut: this.#entries.size - this.#waiting.size,
      idleConnections: this.#cas.idle,
      cas: this.#cas.names(),
    };
  }

  /**
   * Asks whichever CA is listening, and waits for its answer.
   *
   * @throws PeerError ERR_INVALID_INPUT, ERR_TOO_LARGE, ERR_OVERLOADED when too many wait, ERR_RA_NO_CA,
   *   ERR_RA_NOT_STARTED, ERR_RA_NO_ANSWER, ERR_RA_CA_LOST, ERR_CANCELLED, and what the CA answers
   */
  async ask(question: RaQuestion, signal?: AbortSignal): Promise<RaAnswer> {
    if (this.#isClosed) throw stopped();
    signal?.throwIfAborted();
    this.#check(question);
    checkDetails(question);
    const id = question.id ?? randomUUID();
    const before = this.#outcomes.get(id);
    const known = this.#entries.get(id);
    const first = before ?? known;
    if (first !== undefined && first.digest !== digestOf(question)) {
      throw new PeerError('ERR_INVALID_INPUT', `Another request was made under the id "${id}" before`);
    }
    if (before !== undefined) return answerOf(before.outcome);
    const entry = known ?? this.#enter(id, question);
    entry.deadlineAt = Math.max(entry.deadlineAt, Date.now() + question.deadlineMs);
    const outcome = entry.wait({ ms: question.deadlineMs, onPassed: () => this.#missed(entry) }, signal);
    if (known === undefined) this.#place(entry);
    try {
      return await outcome;
    } finally {
      this.#tidy(entry);
    }
  }

  /** Ends a request for all who wait for it. A CA that works on it goes on; nobody else begins. */
  cancel(id: string): boolean {
    const entry = this.#entries.get(id);
    if (entry?.isAwaited !== true) return false;
    entry.settle({ failure: { code: 'ERR_CANCELLED', detail: `The request "${id}" was cancelled` } });
    this.#tidy(entry);
    return true;
  }

  async next(call: RaCall, caller: RaCaller): Promise<RaNext> {
    if (this.#isClosed) throw stopped();
    const ca = this.#cas.callOf(call, caller);
    const verdicts = call.results.map((result) => this.#finish(ca, result)).join('');
    const entry = call.isLeaving ? this.#leave(ca) : await this.#entryFor(ca, call, caller);
    return { verdicts, queued: this.#waiting.size, request: entry && requestOf(entry) };
  }

  release(): void {
    this.#cas.release();
  }

  /** Ends everything: who waits is told ERR_CANCELLED. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.release();
    const failure = { code: 'ERR_CANCELLED', detail: 'The RA was stopped' } as const;
    for (const entry of [...this.#entries.values()]) entry.settle({ failure });
    this.#entries.clear();
  }

  #check({ type, id, content }: RaQuestion): void {
    if (!RA_TYPE.test(type)) throw new PeerError('ERR_INVALID_INPUT', `"${type}" is not a request type`);
    if (id !== undefined && !RA_ID.test(id)) throw new PeerError('ERR_INVALID_INPUT', `"${id}" is not a request id`);
    this.#checkSize(content.body.length, 'request');
  }

  #checkSize(bytes: number, what: string): void {
    const { maxContentBytes } = this.#options;
    if (bytes <= maxContentBytes) return;
    throw new PeerError('ERR_TOO_LARGE', `The ${what} has ${bytes} bytes, more than ${maxContentBytes}`);
  }

  #enter(id: string, question: RaQuestion): RaEntry {
    const { maxWaiting, maxWaitingPerType } = this.#options;
    const isFull = this.#waiting.size >= maxWaiting || this.#waiting.countOf(question.type) >= maxWaitingPerType;
    if (isFull || this.#entries.size >= MAX_UNFINISHED) {
      throw new PeerError('ERR_OVERLOADED', `${this.#waiting.size} requests wait for a CA already`);
    }
    const number = ++this.#count;
    const ticket = this.#run + number.toString(16).padStart(8, '0').slice(-8);
    const entry = new RaEntry(id, question, { number, ticket, askedAt: Date.now() });
    this.#entries.set(id, entry);
    return entry;
  }

  #place(entry: RaEntry): void {
    if (!this.#cas.give(entry)) this.#waiting.add(entry);
  }

  /** The request for a call, at once or as soon as there is one. */
  async #entryFor(ca: ListeningCa, call: RaCall, caller: RaCaller): Promise<RaEntry | undefined> {
    const slot = ca.slotOf(call);
    if (slot === undefined || call.waitMs === 0) return undefined;
    // The same call again: the answer with the request was lost, and the CA has never seen it or knows that it has.
    if (slot.handed !== undefined && this.#entries.get(slot.handed.id) === slot.handed) return slot.handed;
    const entry = this.#waiting.take(call.types);
    if (entry === undefined) return this.#cas.hold(ca, slot, call, caller);
    ca.hand(slot, entry);
    return entry;
  }

  /** Takes a result; the letter of the protocol says what became of it. */
  #finish(ca: ListeningCa, { id, ticket, outcome }: RaResult): string {
    if (this.#outcomes.get(id) !== undefined) return 'r';
    const entry = this.#entries.get(id);
    if (entry?.ticket !== ticket || !entry.handedTo.has(ca.instance)) return 'u';
    const kept = this.#limited(outcome);
    this.#forget(entry);
    this.#outcomes.put(id, entry.digest, kept);
    entry.settle(kept);
    return 'a';
  }

  #limited(outcome: RaOutcome): RaOutcome {
    if ('failure' in outcome) return outcome;
    try {
      this.#checkSize(outcome.answer.content.body.length, 'answer');
      return outcome;
    } catch (error) {
      const { code, message } = error as PeerError;
      return { failure: { code, detail: message } };
    }
  }

  /** The CA stops. It has said of all it began what became of it; the rest it never began. */
  #leave(ca: ListeningCa): undefined {
    this.#cas.remove(ca);
    for (const entry of ca.handed) {
      entry.handedTo.delete(ca.instance);
      if (!entry.isAwaited) this.#forget(entry);
      else if (entry.handedTo.size === 0) this.#place(entry);
    }
  }

  /** The CA is gone without a word. It may have begun what it was handed, so that waits for its return. */
  #lose(ca: ListeningCa): void {
    this.#cas.remove(ca);
    for (const entry of ca.handed) {
      if (entry.question.isRepeatable && entry.isAwaited) this.#place(entry);
      else entry.settle({ failure: lost(entry) });
    }
  }

  #missed(entry: RaEntry): PeerError {
    const { type } = entry.question;
    if (entry.handedTo.size > 0) {
      const now = Date.now();
      const isAlive = [...entry.handedTo].some((instance) => this.#cas.get(instance)?.isSilent(now) === false);
      if (!isAlive) return new PeerError(lost(entry).code, lost(entry).detail);
      return new PeerError('ERR_RA_NO_ANSWER', `The CA did not answer the request "${entry.id}" before its deadline`);
    }
    if (!this.#cas.hasFor(type)) return new PeerError('ERR_RA_NO_CA', `No CA listens for requests of type "${type}"`);
    return new PeerError('ERR_RA_NOT_STARTED', `No CA took the request "${entry.id}" before its deadline`);
  }

  /** Nobody waits for it any more: what nobody has begun, nobody begins. */
  #tidy(entry: RaEntry): void {
    if (entry.isAwaited || this.#entries.get(entry.id) !== entry) return;
    this.#waiting.remove(entry);
    if (entry.handedTo.size === 0) this.#entries.delete(entry.id);
  }

  #forget(entry: RaEntry): void {
    this.#entries.delete(entry.id);
    this.#waiting.remove(entry);
    for (const instance of entry.handedTo) this.#cas.get(instance)?.handed.delete(entry);
  }

  #sweep(): void {
    const now = Date.now();
    const { lostMs, graceMs } = this.#options;
    for (const ca of this.#cas.silentFor(lostMs)) this.#lose(ca);
    for (const entry of this.#waiting.list()) {
      const isLate = now - Math.max(entry.askedAt, this.#cas.lastLeftAt) > graceMs;
      if (!isLate || this.#cas.hasFor(entry.question.type)) continue;
      const { code, message } = this.#missed(entry);
      entry.settle({ failure: { code, detail: message } });
      this.#tidy(entry);
    }
    for (const entry of [...this.#entries.values()]) {
      if (!entry.isAwaited && now > entry.deadlineAt + this.#keepMs) this.#forget(entry);
    }
  }
}

function requestOf({ id, ticket, question, deadlineAt }: RaEntry): RaRequest {
  const { type, administrator, http, content } = question;
  return { id, ticket, type, remainingMs: Math.max(0, deadlineAt - Date.now()), administrator, http, content };
}

function lost({ id }: RaEntry) {
  return { code: 'ERR_RA_CA_LOST', detail: `The CA that took the request "${id}" is gone` } as const;
}

function stopped(): PeerError {
  return new PeerError('ERR_CANCELLED', 'The RA was stopped');
}

function answerOf(outcome: RaOutcome): RaAnswer {
  if ('answer' in outcome) return outcome.answer;
  throw new PeerError(outcome.failure.code, outcome.failure.detail);
}
