/**
 * An OCSP response on its way out, and how the requests so far have ended.
 */
import { hash } from 'node:crypto';
import { toPeerError } from '../errors.ts';
import type { CertStatus } from './cert-status.ts';
import { errorResponse, type OcspErrorStatus, type OcspResponseStatus } from './ocsp-response.ts';

/** A response, and what HTTP caches may do with it. */
export interface OcspAnswer {
  readonly status: OcspResponseStatus;
  readonly der: Uint8Array;
  /** Undefined for errors and for answers that are one client's alone: those with a nonce. */
  readonly caching: AnswerCaching | undefined;
}

/** What the HTTP header of an answer is made of (RFC 9919 7.2). */
export interface AnswerCaching {
  /** Epoch milliseconds. */
  readonly thisUpdate: number;
  /** Epoch milliseconds; undefined = newer information is always available. */
  readonly nextUpdate: number | undefined;
  /** Milliseconds; 0 = no caching. */
  readonly maxAgeMs: number;
  /** With its quotes. */
  readonly etag: string;
  readonly lastModified: string;
  readonly expires: string | undefined;
}

/** What is said to caches about an answer. */
export function cachingOf(
  der: Uint8Array,
  times: Pick<AnswerCaching, 'thisUpdate' | 'nextUpdate' | 'maxAgeMs'>,
): AnswerCaching {
  const { thisUpdate, nextUpdate } = times;
  return {
    ...times,
    etag: `"${hash('sha256', der, 'hex')}"`,
    lastModified: new Date(thisUpdate).toUTCString(),
    expires: nextUpdate === undefined ? undefined : new Date(nextUpdate).toUTCString(),
  };
}

function errorAnswer(status: OcspErrorStatus): OcspAnswer {
  return { status, der: errorResponse(status), caching: undefined };
}

/** The unsigned answers (RFC 6960 2.3). */
export const ERROR_ANSWERS: Readonly<Record<OcspErrorStatus, OcspAnswer>> = {
  malformedRequest: errorAnswer('malformedRequest'),
  internalError: errorAnswer('internalError'),
  tryLater: errorAnswer('tryLater'),
  unauthorized: errorAnswer('unauthorized'),
};

/** The answer to a request that failed; the cause stays on this side. */
export function answerOfError(error: unknown): OcspAnswer {
  const { code, retryable } = toPeerError(error);
  if (code === 'ERR_MALFORMED_MESSAGE' || code === 'ERR_TOO_LARGE') return ERROR_ANSWERS.malformedRequest;
  if (code !== 'ERR_INTERNAL' && retryable) return ERROR_ANSWERS.tryLater;
  return ERROR_ANSWERS.internalError;
}

/** How the requests have ended since the responder began. */
export interface OcspCounters {
  /** All that were taken, well-formed or not. */
  requests: number;
  /** Certificates called good, revoked, unknown; a request may ask about several. */
  good: number;
  revoked: number;
  unknown: number;
  /** Requests by the error they ended with. */
  readonly errors: Record<OcspErrorStatus, number>;
  /** Answers that were signed before. */
  cacheHits: number;
  /** Signatures made. */
  signed: number;
}

/** All zero. */
export function newCounters(): OcspCounters {
  const errors = { malformedRequest: 0, internalError: 0, tryLater: 0, unauthorized: 0 };
  return { requests: 0, good: 0, revoked: 0, unknown: 0, errors, cacheHits: 0, signed: 0 };
}

/** Counts how a request ended. */
export function countAnswer(counters: OcspCounters, status: OcspResponseStatus, said: readonly CertStatus[]): void {
  if (status !== 'successful') counters.errors[status] += 1;
  for (const { kind } of said) counters[kind] += 1;
}
