/**
 * PeerError ⇄ problem document (RFC 9457), so that a failure at the peer reads the same in the flow here.
 */
import { failureOf, isPeerErrorCode, PeerError, type PeerErrorCode, toPeerError } from '../errors.ts';

/** A problem document with the stable `code` as extension member (RFC 9457 §3.2). */
export interface Problem {
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: PeerErrorCode;
}

/** Failures of this side's own machinery: the peer learns the code, not the details. */
const INWARD_CODES: readonly PeerErrorCode[] = [
  'ERR_INTERNAL',
  'ERR_INVALID_CONFIG',
  'ERR_IDENTITY_UNREADABLE',
  'ERR_WRONG_PASSPHRASE',
  'ERR_STORE_UNAVAILABLE',
  'ERR_STORE_FULL',
  'ERR_STORE_NOT_A_DATABASE',
  'ERR_CRYPTO_TOKEN_UNAVAILABLE',
];

/** The document a peer is told. Details of what is wrong on this side stay on this side. */
export function toProblem(error: unknown): Problem {
  const { code, message } = toPeerError(error);
  const { status, title } = failureOf(code);
  return { title, status, detail: INWARD_CODES.includes(code) ? title : message, code };
}

const MAX_DETAIL_LENGTH = 1_000;

/** The error a problem document speaks of; anything else becomes one that names the HTTP status. */
export function fromProblem(value: unknown, status: number): PeerError {
  const { code, detail } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  if (!isPeerErrorCode(code)) {
    return new PeerError(
      'ERR_MALFORMED_MESSAGE',
      `The peer answered with HTTP status ${status}, which is no answer of this protocol`,
    );
  }
  const text = typeof detail === 'string' ? detail.slice(0, MAX_DETAIL_LENGTH) : failureOf(code).title;
  return new PeerError(code, text);
}
