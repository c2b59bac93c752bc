/**
 * What CA and RA tell each other in the operation `raNext`, and who answers it.
 *
 * The CA calls with the results of finished requests and takes the next request in the same call; the
 * RA holds the call open until it has one: a long-hanging connection.
 *
 * @see EJBCA, Peer Systems Operations: serving RA requests
 */
import type { RuleState } from '../auth/role.ts';
import type { PeerErrorCode } from '../errors.ts';

/** Longest that an RA holds a call open, milliseconds; also a heart-beat of a CA that waits. */
export const RA_WAIT_MS = 10_000;
/** A CA that works on requests calls at least this often, milliseconds. */
export const RA_HEARTBEAT_MS = 3_000;
/** A CA that was silent for so long is taken for gone, milliseconds. */
export const RA_LOST_MS = 15_000;
/** Largest content of a request or an answer, bytes. */
export const RA_MAX_CONTENT_BYTES = 4 * 1024 * 1024;
/** Largest content unless somebody says otherwise, bytes. */
export const RA_CONTENT_BYTES = 1024 * 1024;

/** Ids come from callers and go into logs. */
export const RA_ID = /^[\w.:-]{1,64}$/;
/** Request types become parts of access rules. */
export const RA_TYPE = /^[A-Za-z][\w.-]{0,63}$/;

/** Whether an answer may have this status: one below 200 does not end a request (RFC 9110 section 15.2). */
export function isStatusCode(code: number): boolean {
  return Number.isInteger(code) && code >= 200 && code <= 599;
}

/** Bytes, text or JSON, so that it comes out as it went in. */
export interface RaContent {
  readonly kind: 'bytes' | 'text' | 'json';
  readonly body: Uint8Array;
}

/** Who asks at the RA. */
export interface RaAdministrator {
  readonly subjectDN: string;
  /** PEM; empty = none. */
  readonly certificate: string;
  /** What the RA allows; at the CA never more than what the RA itself may. */
  readonly rules: Readonly<Record<string, RuleState>>;
}

/** The HTTP request behind a request, where there is one. */
export interface RaHttpRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly params: Readonly<Record<string, string>>;
}

/** One request on its way from the RA to the CA. */
export interface RaRequest {
  readonly id: string;
  /** Goes back with the result, so that none that was meant for another request under the same id is taken. 16 hexadecimal digits. */
  readonly ticket: string;
  readonly type: string;
  /** Milliseconds to the deadline: the clocks of the two sides need not agree. */
  readonly remainingMs: number;
  readonly administrator: RaAdministrator | undefined;
  readonly http: RaHttpRequest | undefined;
  readonly content: RaContent;
}

/** A cookie as Express takes it; null clears it. `expires` is a Date. */
export interface RaCookie {
  readonly value: string | null;
  readonly options: Readonly<Record<string, unknown>>;
}

/** What the flow of the CA answered. */
export interface RaAnswer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly cookies: Readonly<Record<string, RaCookie>>;
  readonly content: RaContent;
}

/** Why there is no answer. */
export interface RaFailure {
  readonly code: PeerErrorCode;
  readonly detail: string;
}

/** What became of one request. */
export type RaOutcome = { readonly answer: RaAnswer } | { readonly failure: RaFailure };

/** The outcome of a request, by its id and ticket. */
export interface RaResult {
  readonly id: string;
  readonly ticket: string;
  readonly outcome: RaOutcome;
}

/** What a CA says when it calls. */
export interface RaCall {
  /** Names this run of the CA; random, so that nobody else can deliver in its name. 32 hexadecimal digits. */
  readonly instance: string;
  /** Which of its long-hanging connections calls. */
  readonly slot: number;
  /** Counts the calls of a slot; the same number again repeats a call whose answer was lost. */
  readonly sequence: number;
  /** The CA stops: what it was handed and has no result for, it never began. */
  readonly isLeaving: boolean;
  /** Milliseconds that the RA may hold the call open; 0 = no request is wanted. */
  readonly waitMs: number;
  /** Request types taken; empty = all. */
  readonly types: readonly string[];
  readonly results: readonly RaResult[];
}

/** What the RA says to it. */
export interface RaNext {
  /** One letter per result: `a` accepted, `r` repeated, `u` nobody asked. All of them need not be sent again. */
  readonly verdicts: string;
  /** Requests that wait at the RA now. */
  readonly queued: number;
  readonly request: RaRequest | undefined;
}

/** The CA behind a call. */
export interface RaCaller {
  readonly subjectDN: string;
  /** Calls back when the connection closes; gives the function that ends it. */
  onDisconnect(listener: () => void): () => void;
}

/** Who answers the calls of CAs at an endpoint. */
export interface RaDesk {
  /** @throws PeerError ERR_CANCELLED when the RA stops */
  next(call: RaCall, caller: RaCaller): Promise<RaNext>;
  /** Ends all calls that wait; they come again and are judged anew. */
  release(): void;
}
