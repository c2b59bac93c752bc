/**
 * The one table of failures and the one error class.
 *
 * A code exists only where a caller or an operator does something different because of it.
 * Codes are stable: flows match on them, peers exchange them (RFC 9457 problem documents),
 * and `docs/errors.md` is tested against this table.
 */

interface Failure {
  /** HTTP status when the failure is told to a peer. */
  readonly status: number;
  /** Constant title of the problem document. */
  readonly title: string;
  /** True where the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;
}

const FAILURES = {
  ERR_INVALID_INPUT: { status: 400, title: 'The input is not usable', retryable: false },
  ERR_INVALID_CERTIFICATE: { status: 400, title: 'The certificate is not readable', retryable: false },
  ERR_INVALID_CRL: { status: 400, title: 'The CRL is not usable', retryable: false },
  ERR_CRL_TOO_OLD: { status: 409, title: 'The CRL has expired or is older than the one that stands', retryable: false },
  ERR_CRL_BASE_MISSING: { status: 409, title: 'The CRL that the delta CRL builds on is not stored', retryable: true },
  ERR_INVALID_CONFIG: { status: 500, title: 'The configuration is not usable', retryable: false },
  ERR_IDENTITY_UNREADABLE: { status: 500, title: 'The certificate or private key cannot be read', retryable: false },
  ERR_WRONG_PASSPHRASE: { status: 500, title: 'The passphrase is wrong', retryable: false },
  ERR_CONNECTOR_DISABLED: { status: 503, title: 'The peer connector is disabled', retryable: false },
  ERR_PEER_UNKNOWN: { status: 404, title: 'No such peer connector', retryable: false },
  ERR_PEER_UNREACHABLE: { status: 502, title: 'The peer cannot be reached', retryable: true },
  ERR_PEER_NOT_TRUSTED: { status: 502, title: 'The certificate of the peer is not trusted', retryable: false },
  ERR_PEER_TIMEOUT: { status: 504, title: 'The peer did not answer in time', retryable: true },
  ERR_POOL_QUEUE_FULL: { status: 503, title: 'Too many requests are waiting for a connection', retryable: true },
  ERR_NOT_AUTHENTICATED: { status: 401, title: 'The client certificate is not accepted', retryable: false },
  ERR_NOT_AUTHORIZED: { status: 403, title: 'Not authorized', retryable: false },
  ERR_UNKNOWN_OPERATION: { status: 404, title: 'No such operation', retryable: false },
  ERR_MALFORMED_MESSAGE: { status: 400, title: 'The message is malformed', retryable: false },
  ERR_TOO_LARGE: { status: 413, title: 'The message is too large', retryable: false },
  ERR_TOO_SLOW: { status: 408, title: 'The message did not arrive in time', retryable: true },
  ERR_STORE_UNAVAILABLE: { status: 503, title: 'The certificate store cannot be used', retryable: true },
  ERR_STORE_FULL: { status: 507, title: 'The disk of the certificate store is full', retryable: true },
  ERR_STORE_NOT_A_DATABASE: { status: 500, title: 'The store file is not a certificate store', retryable: false },
  ERR_KEY_BINDING_UNKNOWN: { status: 404, title: 'No such key binding', retryable: false },
  ERR_CRYPTO_TOKEN_UNAVAILABLE: { status: 503, title: 'The crypto token cannot be used', retryable: true },
  ERR_CERTIFICATE_REFUSED: { status: 422, title: 'The key binding does not take the certificate', retryable: false },
  ERR_NOT_ISSUED: { status: 502, title: 'The CA did not issue the certificate', retryable: false },
  ERR_OVERLOADED: { status: 503, title: 'Too much work at once', retryable: true },
  ERR_TASK_RUNNING: { status: 409, title: 'The task is running already', retryable: false },
  ERR_CANCELLED: { status: 499, title: 'The task was cancelled', retryable: false },
  ERR_RA_NO_CA: { status: 503, title: 'No CA is listening for such requests', retryable: true },
  ERR_RA_NOT_STARTED: { status: 504, title: 'No CA took the request before its deadline', retryable: true },
  ERR_RA_NO_ANSWER: { status: 504, title: 'The CA did not answer the request before its deadline', retryable: true },
  ERR_RA_CA_LOST: { status: 502, title: 'The CA that took the request is gone', retryable: true },
  ERR_INTERNAL: { status: 500, title: 'Internal error', retryable: true },
} as const satisfies Record<string, Failure>;

/** One of the stable failure codes. */
export type PeerErrorCode = keyof typeof FAILURES;

/** All codes, in the order of the table. */
export const PEER_ERROR_CODES = Object.keys(FAILURES) as readonly PeerErrorCode[];

/** HTTP status, title and retryability of a code. */
export function failureOf(code: PeerErrorCode): Failure {
  return FAILURES[code];
}

/** Whether a value is one of the codes of this table. */
export function isPeerErrorCode(value: unknown): value is PeerErrorCode {
  return typeof value === 'string' && Object.hasOwn(FAILURES, value);
}

/**
 * The error of this package: a stable `code` and a sentence with the value that was wrong.
 *
 * The message never holds a secret. `cause` keeps the original error and stays on this side.
 */
export class PeerError extends Error {
  readonly code: PeerErrorCode;

  constructor(code: PeerErrorCode, detail: string, options?: { readonly cause?: unknown }) {
    super(detail, options);
    this.name = 'PeerError';
    this.code = code;
  }

  /** Whether the same call may succeed later without anybody changing anything. */
  get retryable(): boolean {
    return FAILURES[this.code].retryable;
  }
}

/** Gives a `PeerError` as it is; anything else becomes one with the given code and the original as `cause`. */
export function toPeerError(error: unknown, code: PeerErrorCode = 'ERR_INTERNAL'): PeerError {
  if (error instanceof PeerError) return error;
  return new PeerError(code, error instanceof Error ? error.message : String(error), { cause: error });
}
