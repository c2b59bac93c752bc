/**
 * What went wrong with a connection, as a PeerError: which side's certificate, the network, or time.
 */
import { PeerError, type PeerErrorCode } from '../errors.ts';

const CODES: Readonly<Record<string, PeerErrorCode>> = {
  ERR_TLS_CERT_ALTNAME_INVALID: 'ERR_PEER_NOT_TRUSTED',
  CERT_HAS_EXPIRED: 'ERR_PEER_NOT_TRUSTED',
  CERT_NOT_YET_VALID: 'ERR_PEER_NOT_TRUSTED',
  CERT_REVOKED: 'ERR_PEER_NOT_TRUSTED',
  CERT_UNTRUSTED: 'ERR_PEER_NOT_TRUSTED',
  CERT_REJECTED: 'ERR_PEER_NOT_TRUSTED',
  CERT_SIGNATURE_FAILURE: 'ERR_PEER_NOT_TRUSTED',
  INVALID_CA: 'ERR_PEER_NOT_TRUSTED',
  INVALID_PURPOSE: 'ERR_PEER_NOT_TRUSTED',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'ERR_PEER_NOT_TRUSTED',
  SELF_SIGNED_CERT_IN_CHAIN: 'ERR_PEER_NOT_TRUSTED',
  UNABLE_TO_GET_ISSUER_CERT: 'ERR_PEER_NOT_TRUSTED',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'ERR_PEER_NOT_TRUSTED',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'ERR_PEER_NOT_TRUSTED',
  UND_ERR_HEADERS_TIMEOUT: 'ERR_PEER_TIMEOUT',
  UND_ERR_BODY_TIMEOUT: 'ERR_PEER_TIMEOUT',
  UND_ERR_RES_EXCEEDED_MAX_SIZE: 'ERR_MALFORMED_MESSAGE',
};

/** Codes of a connection that broke: the request may or may not have been carried out. */
const BROKEN = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/** Whether a kept-alive connection broke, so that the same request on another one may go through. */
export function isBrokenConnection(error: unknown): boolean {
  return BROKEN.has(codeOf(error));
}

/** @param host shown in the sentence */
export function toConnectionFailure(error: unknown, host: string): PeerError {
  if (error instanceof PeerError) return error;
  const code = codeOf(error);
  const peerCode = CODES[code] ?? 'ERR_PEER_UNREACHABLE';
  const reason = code === '' ? messageOf(error) : `${code}: ${messageOf(error)}`;
  const sentence =
    peerCode === 'ERR_PEER_NOT_TRUSTED' ? `The certificate of ${host} is not trusted` : `No answer from ${host}`;
  return new PeerError(peerCode, `${sentence} (${reason})`, { cause: error });
}

function codeOf(error: unknown): string {
  const { code, errors } = error as { code?: unknown; errors?: readonly unknown[] };
  if (typeof code === 'string') return code;
  // Several addresses were tried: the first says why.
  return errors?.[0] === undefined ? '' : codeOf(errors[0]);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
