/**
 * The endpoint's own verdict on a client certificate.
 *
 * Node's `rejectUnauthorized` resets the connection and keeps the reason to itself, so the
 * endpoint lets the handshake finish, judges here and closes. Fail closed: only a socket that
 * OpenSSL verified without any finding is accepted.
 */
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { readCertificate } from '../x509/certificate.ts';
import { type AuthenticatedPeer, authenticatedPeerOf } from './authenticated-peer.ts';

/** Why a client certificate is not accepted. */
export type RefusalCause =
  | 'no certificate'
  | 'expired'
  | 'not yet valid'
  | 'revoked'
  | 'not in the certificate store'
  | 'blocked by the operator'
  | 'self-signed'
  | 'untrusted issuer'
  | 'wrong purpose'
  | 'not verified';

/** OpenSSL's verify results as Node names them. */
const CAUSES: Readonly<Record<string, RefusalCause>> = {
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not yet valid',
  CERT_REVOKED: 'revoked',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'untrusted issuer',
  UNABLE_TO_GET_ISSUER_CERT: 'untrusted issuer',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'untrusted issuer',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'untrusted issuer',
  CERT_SIGNATURE_FAILURE: 'untrusted issuer',
  CERT_UNTRUSTED: 'untrusted issuer',
  INVALID_CA: 'untrusted issuer',
  INVALID_PURPOSE: 'wrong purpose',
  CERT_REJECTED: 'wrong purpose',
};

/** Accepted with its facts, or refused with the cause and, for the log, who it claimed to be. */
export type ClientVerdict =
  | { readonly accepted: true; readonly peer: AuthenticatedPeer; readonly certificate: X509Certificate }
  | { readonly accepted: false; readonly cause: RefusalCause; readonly subjectDN: string };

/** Judges the client certificate of a socket whose handshake is complete. */
export function judgeClientCertificate(socket: TLSSocket): ClientVerdict {
  const certificate = socket.getPeerX509Certificate();
  // Without a certificate Node reports UNABLE_TO_GET_ISSUER_CERT, so absence is looked for first.
  if (certificate === undefined) return { accepted: false, cause: 'no certificate', subjectDN: '' };
  const facts = readCertificate(certificate.raw);
  if (socket.authorized !== true) {
    const code = String((socket.authorizationError as { code?: string } | null)?.code ?? socket.authorizationError);
    return { accepted: false, cause: CAUSES[code] ?? 'not verified', subjectDN: facts.subjectDN };
  }
  return { accepted: true, certificate, peer: authenticatedPeerOf(certificate) };
}

/** Whether the certificate is within its validity now: a pooled connection outlives its certificate. */
export function validityCause(peer: AuthenticatedPeer, now: number): RefusalCause | undefined {
  if (now < peer.notBefore) return 'not yet valid';
  if (now > peer.expireDate) return 'expired';
  return undefined;
}
