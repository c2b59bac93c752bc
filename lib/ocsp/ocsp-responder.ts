/**
 * The OCSP responder: bytes of a request in, bytes of a response out, for any transport.
 *
 * Owns counting and telling. Reading, finding, signing and keeping are beside it; HTTP is `ocsp-http.ts`.
 *
 * @see RFC 6960; RFC 9919, its profile for many requests
 */
import { type PeerError, toPeerError } from '../errors.ts';
import type { OcspBinding } from '../keybinding/ocsp-signer.ts';
import { decimalFromInteger } from '../x509/serial-number.ts';
import { AnswerSource, type Outcome } from './answer-source.ts';
import { answerOfError, countAnswer, newCounters, type OcspAnswer, type OcspCounters } from './ocsp-answer.ts';
import { type OcspRequest, readOcspRequest } from './ocsp-request.ts';
import type { OcspResponseStatus } from './ocsp-response.ts';
import { ServedCas } from './served-cas.ts';
import type { StatusStore } from './status-lookup.ts';

/** What a responder works with. */
export interface OcspResponderOptions {
  readonly store: StatusStore;
  /** The bindings of this moment; asked at every request, so keep the array and its objects while nothing changes. */
  readonly bindings: () => readonly OcspBinding[];
  /** Memory for signed answers, bytes; 0 = every answer is signed anew. Default 64 MiB. */
  readonly maxCacheBytes?: number;
  /** Epoch milliseconds. Default: the clock of the machine. */
  readonly clock?: () => number;
  /** Told of every request. Must not throw. */
  readonly onEvent?: (event: OcspEvent) => void;
}

/** One request and how it ended. */
export interface OcspEvent {
  readonly status: OcspResponseStatus;
  /** Name of the binding that answered. */
  readonly binding: string | undefined;
  /** Decimal serial numbers and what was said of them, in the order of the request; empty for an error. */
  readonly certificates: readonly { readonly serialNumber: string; readonly certStatus: string }[];
  readonly isFromCache: boolean;
  /** Why there is no answer; undefined where the status says it all. */
  readonly cause: PeerError | undefined;
}

const DEFAULT_CACHE_BYTES = 64 * 1024 * 1024;

/** Answers for all bindings of a VA from one store. */
export class OcspResponder {
  readonly #source: AnswerSource;
  readonly #counters = newCounters();
  readonly #onEvent: ((event: OcspEvent) => void) | undefined;

  constructor(options: OcspResponderOptions) {
    const { store, bindings, maxCacheBytes = DEFAULT_CACHE_BYTES, clock = Date.now, onEvent } = options;
    const onSigned = (): void => {
      this.#counters.signed += 1;
    };
    this.#source = new AnswerSource({ store, cas: new ServedCas(bindings), clock, maxCacheBytes, onSigned });
    this.#onEvent = onEvent;
  }

  /** How the requests so far have ended, and what is kept. */
  counters(): Readonly<OcspCounters> & { readonly cachedAnswers: number; readonly cachedBytes: number } {
    const { entries, bytes } = this.#source.size();
    return { ...this.#counters, errors: { ...this.#counters.errors }, cachedAnswers: entries, cachedBytes: bytes };
  }

  /** The answer to a request in DER; at once where nothing has to be waited for. Never throws and never rejects. */
  answer(der: Uint8Array): OcspAnswer | Promise<OcspAnswer> {
    this.#counters.requests += 1;
    try {
      const request = readOcspRequest(der);
      const outcome = this.#source.find(request);
      return outcome instanceof Promise ? this.#later(request, outcome) : this.#ended(request, outcome);
    } catch (error) {
      return this.#failed(error);
    }
  }

  async #later(request: OcspRequest, outcome: Promise<Outcome>): Promise<OcspAnswer> {
    try {
      return this.#ended(request, await outcome);
    } catch (error) {
      return this.#failed(error);
    }
  }

  #ended({ certIds }: OcspRequest, { answer, binding, said, isFromCache }: Outcome): OcspAnswer {
    if (isFromCache) this.#counters.cacheHits += 1;
    countAnswer(this.#counters, answer.status, said);
    this.#onEvent?.({
      status: answer.status,
      binding,
      certificates: said.map(({ kind }, index) => ({
        serialNumber: decimalFromInteger(certIds[index]?.serialNumber ?? new Uint8Array(0)),
        certStatus: kind,
      })),
      isFromCache,
      cause: undefined,
    });
    return answer;
  }

  #failed(error: unknown): OcspAnswer {
    const answer = answerOfError(error);
    countAnswer(this.#counters, answer.status, []);
    const cause = toPeerError(error);
    this.#onEvent?.({ status: answer.status, binding: undefined, certificates: [], isFromCache: false, cause });
    return answer;
  }
}
