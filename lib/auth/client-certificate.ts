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
import type { PeerIdentity } from './role.ts';

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

/** A verified peer and how long its certificate holds. */
export interface AuthenticatedPeer extends PeerIdentity {
  /** Epoch milliseconds. */
  readonly notBefore: number;
  /** Epoch milliseconds. */
  readonly expireDate: number;
}

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
  return { accepted: true, certificate, peer: peerIdentityOf(certificate) };
}

/**
 * What of a certificate roles and the endpoint look at. Says nothing of whether it is trusted.
 *
 * @throws PeerError ERR_INVALID_CERTIFICATE
 */
export function peerIdentityOf(certificate: X509Certificate): AuthenticatedPeer {
  const { fingerprint, subjectDN, issuerDN, serialNumber, notBefore, expireDate } = readCertificate(certificate.raw);
  const issuer = certificate.issuerCertificate?.raw;
  return {
    fingerprint,
    subjectDN,
    issuerDN,
    issuerFingerprint: issuer === undefined ? '' : readCertificate(issuer).fingerprint,
    serialNumber,
    dnsNames: dnsNamesOf(certificate.subjectAltName),
    notBefore,
    expireDate,
  };
}

/** Whether the certificate is within its validity now: a pooled connection outlives its certificate. */
export function validityCause(peer: AuthenticatedPeer, now: number): RefusalCause | undefined {
  if (now < peer.notBefore) return 'not yet valid';
  if (now > peer.expireDate) return 'expired';
  return undefined;
}

function dnsNamesOf(subjectAltName: string | undefined): readonly string[] {
  if (subjectAltName === undefined) return [];
  // A quoted name holds characters that would imitate a separator; such a name is no DNS name.
  return subjectAltName
    .split(', ')
    .filter((name) => name.startsWith('DNS:') && !name.includes('"'))
    .map((name) => name.slice(4));
}
