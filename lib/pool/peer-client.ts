/**
 * The outgoing side of the protocol: one method per operation.
 */

import { PeerError, toPeerError } from '../errors.ts';
import type { KeyBindingFacts } from '../keybinding/key-binding-facts.ts';
import {
  type KeyBindingDelivery,
  type KeyBindingQuestion,
  type KeyBindingRequest,
  type KeyBindingVerdict,
  parseKeyBindingRequest,
  parseKeyBindings,
  parseKeyBindingVerdict,
  printKeyBindingDelivery,
} from '../protocol/key-binding-messages.ts';
import {
  type Capabilities,
  type PublishedCrl,
  parseCapabilities,
  parseJson,
  parsePingAnswer,
  parsePublishedCrl,
  parseWriteResult,
} from '../protocol/messages.ts';
import {
  BASE_PATH,
  CRL_PARTITION_HEADER,
  OPERATIONS,
  type Operation,
  type OperationName,
} from '../protocol/operations.ts';
import { fromProblem } from '../protocol/problem.ts';
import { decodeRaNext, encodeRaCall } from '../protocol/ra-codec.ts';
import type { RaCall, RaNext } from '../protocol/ra-messages.ts';
import type { WriteResult } from '../store/certificate-store.ts';
import type { ConnectionPool, StreamedBody } from './connection-pool.ts';

/** What a ping measured. */
export interface PingResult {
  /** Application to application over the pool, milliseconds with fractions. */
  readonly roundTripMs: number;
  /** Clock of the peer, ISO 8601. */
  readonly serverTime: string;
}

/** How the last ping ended. */
export interface PingRecord {
  /** Of the last ping that was answered; undefined = none was. */
  readonly roundTripMs: number | undefined;
  /** Epoch milliseconds. */
  readonly at: number;
  /** Stable code and sentence; empty = it was answered. */
  readonly code: string;
  readonly detail: string;
}

interface CallOptions {
  readonly body?: Uint8Array | StreamedBody;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

const EMPTY_OBJECT = Buffer.from('{}');

/** Speaks the protocol over a pool. Every method throws what the pool throws, and what the peer answers, as PeerError. */
export class PeerClient {
  readonly #pool: ConnectionPool;
  #lastPing: PingRecord | undefined;

  constructor(pool: ConnectionPool) {
    this.#pool = pool;
  }

  /** Tells when it is worth another try: a request of anybody succeeded, or the pool was reset. @returns ends it */
  onUsable(listener: () => void): () => void {
    return this.#pool.onUsable(listener);
  }

  /** undefined = there was none. */
  get lastPing(): PingRecord | undefined {
    return this.#lastPing;
  }

  async capabilities(signal?: AbortSignal): Promise<Capabilities> {
    return parseCapabilities(await this.#call('capabilities', { signal }));
  }

  /** Measures the round trip over a pooled connection; the first one includes making the connection. */
  async ping(signal?: AbortSignal): Promise<PingResult> {
    const start = performance.now();
    try {
      const answer = await this.#call('ping', { body: EMPTY_OBJECT, signal });
      const roundTripMs = performance.now() - start;
      const { serverTime } = parsePingAnswer(answer);
      this.#lastPing = { roundTripMs, at: Date.now(), code: '', detail: '' };
      return { roundTripMs, serverTime };
    } catch (error) {
      const { code, message } = toPeerError(error);
      this.#lastPing = { roundTripMs: this.#lastPing?.roundTripMs, at: Date.now(), code, detail: message };
      throw error;
    }
  }

  /**
   * Publishes encoded rows (see `certificate-row.ts`).
   *
   * @param count how many rows the bytes hold
   */
  async publishCertificates(rows: Uint8Array, count: number, signal?: AbortSignal): Promise<WriteResult> {
    return parseWriteResult(await this.#call('publishCertificates', { body: rows, signal }), count);
  }

  /** Asks where ranges of fingerprints differ; question and answer as in `range-comparison.ts`. */
  compareRanges(question: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#exchange('compareRanges', { body: question, signal });
  }

  /** Asks which rows of some buckets differ. */
  compareRows(question: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#exchange('compareRows', { body: question, signal });
  }

  /**
   * Publishes a CRL, DER; answers after the peer has it on disk.
   *
   * @param crlPartitionIndex 0 = the main CRL
   */
  async publishCrl(
    body: Uint8Array | StreamedBody,
    crlPartitionIndex: number,
    signal?: AbortSignal,
  ): Promise<PublishedCrl> {
    const headers = { [CRL_PARTITION_HEADER]: String(crlPartitionIndex) };
    return parsePublishedCrl(await this.#call('publishCrl', { body, headers, signal }));
  }

  /** Delivers results to an RA and waits for its next request. */
  async raNext(call: RaCall, signal?: AbortSignal): Promise<RaNext> {
    const answer = await this.#exchange('raNext', { body: encodeRaCall(call), signal });
    return decodeRaNext(answer, call.results.length);
  }

  /** The key bindings of the peer that this side may see. */
  async listKeyBindings(signal?: AbortSignal): Promise<readonly KeyBindingFacts[]> {
    return parseKeyBindings(await this.#call('listKeyBindings', { signal }));
  }

  /** A certificate request for a key binding; asked again, it is the same as long as a next key waits. */
  async requestKeyBindingCertificate(question: KeyBindingQuestion, signal?: AbortSignal): Promise<KeyBindingRequest> {
    const body = Buffer.from(JSON.stringify(question));
    return parseKeyBindingRequest(await this.#call('requestKeyBindingCertificate', { body, signal }));
  }

  /** Brings a certificate; the answer comes when the key binding signs with it. */
  async deliverKeyBindingCertificate(delivery: KeyBindingDelivery, signal?: AbortSignal): Promise<KeyBindingVerdict> {
    const body = Buffer.from(JSON.stringify(printKeyBindingDelivery(delivery)));
    return parseKeyBindingVerdict(await this.#call('deliverKeyBindingCertificate', { body, signal }));
  }

  async #call(name: OperationName, options: CallOptions): Promise<unknown> {
    return parseJson(await this.#exchange(name, options));
  }

  async #exchange(name: OperationName, { body, headers, signal }: CallOptions): Promise<Uint8Array> {
    const operation: Operation = OPERATIONS[name];
    const answer = await this.#pool.request({
      method: operation.method,
      path: BASE_PATH + operation.path,
      ...(operation.requestType !== undefined && { contentType: operation.requestType }),
      ...(headers !== undefined && { headers }),
      ...(body !== undefined && { body }),
      ...(signal !== undefined && { signal }),
    });
    if (answer.status === 200) return answer.body;
    throw fromProblem(tryJson(answer.body), answer.status);
  }
}

/** An answer that is no problem document still has a status worth telling. */
function tryJson(body: Uint8Array): unknown {
  try {
    return parseJson(body);
  } catch (error) {
    if (error instanceof PeerError) return undefined;
    throw error;
  }
}
