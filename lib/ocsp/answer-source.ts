/**
 * Finds the answer to a request: among those that were signed before, or by asking the store and signing.
 *
 * An answer that was signed before is used again only as long as the row says the same, the signer is the one that
 * signs now, and the first half of its validity has not passed.
 */

import type { OcspBinding } from '../keybinding/ocsp-signer.ts';
import { AnswerCache, type CacheEntry } from './answer-cache.ts';
import { AnswerSigner, type PreparedSigner, prepareSigner } from './answer-signer.ts';
import {
  type CertStatus,
  certStatusOf,
  certStatusOfAbsent,
  isSameCertStatus,
  rowThatCounts,
  UNKNOWN_CERTIFICATE,
} from './cert-status.ts';
import { cachingOf, ERROR_ANSWERS, type OcspAnswer } from './ocsp-answer.ts';
import type { CertId, OcspRequest } from './ocsp-request.ts';
import type { OcspErrorStatus, ResponseData } from './ocsp-response.ts';
import type { ServedCa, ServedCas } from './served-cas.ts';
import { StatusLookup, type StatusStore } from './status-lookup.ts';

/** How a request ended. */
export interface Outcome {
  readonly answer: OcspAnswer;
  /** The binding that answered; undefined where none did. */
  readonly binding: string | undefined;
  /** In the order of the request; empty for an error. */
  readonly said: readonly CertStatus[];
  /** Whether nothing was signed for it. */
  readonly isFromCache: boolean;
}

/** What an answer source works with. */
export interface AnswerSourceOptions {
  readonly store: StatusStore;
  readonly cas: ServedCas;
  /** Epoch milliseconds. */
  readonly clock: () => number;
  /** Memory for signed answers; 0 = every answer is signed anew. */
  readonly maxCacheBytes: number;
  readonly onSigned: () => void;
}

/** A request, and who answers it. */
interface Task {
  readonly request: OcspRequest;
  readonly binding: OcspBinding;
  readonly by: PreparedSigner;
  /** The CA of each certificate; undefined where this binding does not answer for it. */
  readonly cas: readonly (ServedCa | undefined)[];
  readonly nonce: Uint8Array | undefined;
  readonly now: number;
}

interface Flight {
  readonly changes: number;
  readonly by: PreparedSigner;
  readonly outcome: Promise<Outcome>;
}

/** Signers that are replaced while they sign; after so many the client has to come again. */
const MAX_RESTARTS = 5;

/** Owns the answers that are kept. */
export class AnswerSource {
  readonly #options: AnswerSourceOptions;
  readonly #lookup: StatusLookup;
  readonly #signer = new AnswerSigner();
  readonly #cache: AnswerCache;
  readonly #flights = new Map<string, Flight>();

  constructor(options: AnswerSourceOptions) {
    this.#options = options;
    this.#lookup = new StatusLookup(options.store);
    this.#cache = new AnswerCache(options.maxCacheBytes);
  }

  /** Entries and bytes that are kept. */
  size(): { readonly entries: number; readonly bytes: number } {
    return this.#cache.size();
  }

  /**
   * The outcome of a request; at once where nothing has to be waited for.
   *
   * @throws PeerError what the store, the signer or the limits throw
   */
  find(request: OcspRequest, restarts = 0): Outcome | Promise<Outcome> {
    const task = this.#plan(request);
    if (typeof task === 'string') return refused(task);
    const [certId] = request.certIds;
    const [ca] = task.cas;
    if (certId === undefined || ca === undefined || request.certIds.length > 1) return this.#findAll(task, restarts);
    return this.#findOne(task, { certId, ca, key: latin1(certId.der) }, restarts);
  }

  /** Who answers: the binding of the first CA that any answers for, otherwise the default responder. */
  #plan(request: OcspRequest): Task | OcspErrorStatus {
    const now = this.#options.clock();
    const found = request.certIds.map(({ issuer }) => this.#options.cas.find(issuer, now));
    const binding = found.find((ca) => ca !== undefined)?.binding ?? this.#options.cas.defaultResponder(now);
    if (binding === undefined) return 'unauthorized';
    const { properties } = binding;
    const cas = found.map((ca) => (ca?.binding === binding ? ca : undefined));
    if (properties.nonExisting === 'unauthorized' && cas.includes(undefined)) return 'unauthorized';
    const signer = binding.signer(now);
    if (signer === undefined) return 'tryLater';
    const by = prepareSigner(signer, properties);
    return { request, binding, by, cas, nonce: properties.nonce ? request.nonce : undefined, now };
  }

  #findOne(task: Task, question: Question, restarts: number): Outcome | Promise<Outcome> {
    const { changes } = this.#lookup;
    const entry = this.#entryOf(task, question);
    const known = entry?.changes === changes ? entry : undefined;
    if (known !== undefined && isUsable(known, task)) return reused(task, known);
    const find = (): Promise<Outcome> =>
      known === undefined ? this.#askOne(task, question, restarts) : this.#signOne(task, question, known, restarts);
    if (task.nonce !== undefined) return find();
    const flight = this.#flights.get(question.key);
    if (flight?.by === task.by && flight.changes === changes) return flight.outcome;
    return this.#fly(question.key, { changes, by: task.by, outcome: find() });
  }

  /** The same question, asked again before the answer is there, waits for the same answer. */
  #fly(key: string, flight: Flight): Promise<Outcome> {
    this.#flights.set(key, flight);
    const land = (): void => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    flight.outcome.then(land, land);
    return flight.outcome;
  }

  /** What is kept, if it was made for the same CA under the same properties. */
  #entryOf({ by }: Task, { key, ca }: Pick<Question, 'key' | 'ca'>): CacheEntry | undefined {
    const entry = this.#cache.get(key);
    return entry?.ca === ca && entry.by.properties === by.properties ? entry : undefined;
  }

  async #askOne(task: Task, question: Question, restarts: number): Promise<Outcome> {
    // Read before the store is asked: what changes from now on is not in its answer for sure.
    const { changes } = this.#lookup;
    const status = await this.#statusOf(question.certId, question.ca);
    if (status === undefined) return refused('unauthorized');
    if (!this.#isCurrent(task)) return this.#again(task, restarts);
    const entry = this.#entryOf(task, question);
    if (entry !== undefined && isSameCertStatus(entry.status, status)) {
      entry.changes = changes;
      if (isUsable(entry, task)) return reused(task, entry);
    }
    return this.#signOne(task, question, { status, changes }, restarts);
  }

  async #statusOf({ serialNumber }: CertId, ca: ServedCa | undefined): Promise<CertStatus | undefined> {
    if (ca === undefined) return UNKNOWN_CERTIFICATE;
    // A copy, because a view would take the whole network buffer along to the thread of the store.
    const question = { issuerDN: ca.subjectDN, serialNumber: new Uint8Array(serialNumber) };
    const row = rowThatCounts(await this.#lookup.find(question), ca.strangers);
    return row === undefined ? certStatusOfAbsent(ca.binding.properties.nonExisting) : certStatusOf(row);
  }

  async #signOne(
    task: Task,
    question: Question,
    { status, changes }: Pick<CacheEntry, 'status' | 'changes'>,
    restarts: number,
  ): Promise<Outcome> {
    const answer = await this.#sign(task, [status]);
    if (!this.#isCurrent(task)) return this.#again(task, restarts);
    this.#keep(task, question, { status, changes, answer });
    return outcomeOf(task, answer, [status]);
  }

  /** What was said to one client alone leaves the answer for the others where it is. */
  #keep(
    task: Task,
    { key, ca }: Question,
    made: Pick<CacheEntry, 'status' | 'changes'> & { readonly answer: OcspAnswer },
  ): void {
    const { status, changes, answer } = made;
    const isShared = task.nonce === undefined;
    const entry = this.#entryOf(task, { key, ca });
    if (!isShared && entry !== undefined && isSameCertStatus(entry.status, status)) {
      entry.changes = changes;
      return;
    }
    const freshUntil = freshUntilOf(task.by, answer, status);
    this.#cache.set(key, { ca, status, changes, answer: isShared ? answer : undefined, by: task.by, freshUntil });
  }

  /** Several certificates in one answer, or one of a CA that only the default responder answers for; not kept. */
  async #findAll(task: Task, restarts: number): Promise<Outcome> {
    const { certIds } = task.request;
    const statuses = await Promise.all(certIds.map((certId, index) => this.#statusOf(certId, task.cas[index])));
    const said = statuses.filter((status) => status !== undefined);
    if (said.length < certIds.length) return refused('unauthorized');
    if (!this.#isCurrent(task)) return this.#again(task, restarts);
    const answer = await this.#sign(task, said);
    return this.#isCurrent(task) ? outcomeOf(task, answer, said) : this.#again(task, restarts);
  }

  async #sign(task: Task, said: readonly CertStatus[]): Promise<OcspAnswer> {
    const data = responseDataOf(task, this.#options.clock(), said);
    this.#options.onSigned();
    const der = await this.#signer.sign(task.by, data);
    const { producedAt: thisUpdate, nextUpdate } = data;
    const { maxAgeMs } = task.by.properties;
    const isShared = task.nonce === undefined;
    const caching = isShared ? cachingOf(der, { thisUpdate, nextUpdate, maxAgeMs }) : undefined;
    return { status: 'successful', der, caching };
  }

  /** Whether the signer of this task still signs: no answer of an old one leaves after the switch. */
  #isCurrent({ binding, by }: Task): boolean {
    return binding.signer(this.#options.clock()) === by.signer && binding.properties === by.properties;
  }

  async #again({ request }: Task, restarts: number): Promise<Outcome> {
    return restarts < MAX_RESTARTS ? this.find(request, restarts + 1) : refused('tryLater');
  }
}

interface Question {
  readonly certId: CertId;
  readonly ca: ServedCa;
  /** The CertID as a key. */
  readonly key: string;
}

function responseDataOf(task: Task, now: number, said: readonly CertStatus[]): ResponseData {
  const producedAt = Math.floor(now / 1000) * 1000;
  return {
    responderId: task.by.responderId,
    producedAt,
    nextUpdate: nextUpdateOf(task.by, producedAt),
    responses: said.map((status, index) => ({
      certId: task.request.certIds[index]?.der ?? new Uint8Array(0),
      status,
      archiveCutoff: archiveCutoffOf(status, task.cas[index], now),
    })),
    nonce: task.nonce,
  };
}

/** No answer outlives the certificate that signs it. */
function nextUpdateOf({ properties, expireDate }: PreparedSigner, producedAt: number): number | undefined {
  if (properties.responseValidityMs <= 0) return undefined;
  const last = expireDate === -1 ? Number.MAX_SAFE_INTEGER : expireDate;
  const nextUpdate = Math.min(producedAt + properties.responseValidityMs, last);
  return Math.max(Math.floor(nextUpdate / 1000) * 1000, producedAt + 1000);
}

/** Rows are kept for ever: expired certificates are answered for since the CA exists (RFC 6960 4.4.4). */
function archiveCutoffOf(status: CertStatus, ca: ServedCa | undefined, now: number): number | undefined {
  if (ca === undefined || !status.isKnown || status.expireDate === -1 || status.expireDate >= now) return undefined;
  return ca.notBefore === -1 ? undefined : ca.notBefore;
}

/** Half of the validity, so that a client has time to ask again; and no longer than what is said stays the same. */
function freshUntilOf({ properties }: PreparedSigner, { caching }: OcspAnswer, { expireDate }: CertStatus): number {
  if (caching?.nextUpdate === undefined || properties.responseValidityMs <= 0) return 0;
  const { thisUpdate, nextUpdate } = caching;
  const half = thisUpdate + (nextUpdate - thisUpdate) / 2;
  return expireDate > thisUpdate ? Math.min(half, expireDate) : half;
}

function isUsable({ answer, by, freshUntil }: CacheEntry, task: Task): boolean {
  if (answer?.caching === undefined || task.nonce !== undefined || by !== task.by) return false;
  return task.now >= answer.caching.thisUpdate && task.now < freshUntil;
}

function reused({ binding }: Task, { answer, status }: CacheEntry): Outcome {
  return { answer: answer as OcspAnswer, binding: binding.name, said: [status], isFromCache: true };
}

function outcomeOf({ binding }: Task, answer: OcspAnswer, said: readonly CertStatus[]): Outcome {
  return { answer, binding: binding.name, said, isFromCache: false };
}

function refused(status: OcspErrorStatus): Outcome {
  return { answer: ERROR_ANSWERS[status], binding: undefined, said: [], isFromCache: false };
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
