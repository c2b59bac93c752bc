/**
 * What a certificate that TLS has verified says about who holds it; of either side.
 */
import type { X509Certificate } from 'node:crypto';
import { readCertificate } from '../x509/certificate.ts';
import type { PeerIdentity } from './role.ts';

/** A verified peer and how long its certificate holds. */
export interface AuthenticatedPeer extends PeerIdentity {
  /** Epoch milliseconds. */
  readonly notBefore: number;
  /** Epoch milliseconds. */
  readonly expireDate: number;
}

/**
 * The facts that roles and standing are decided by.
 *
 * @param certificate as `getPeerX509Certificate` of a socket gives it, with its issuer
 */
export function authenticatedPeerOf(certificate: X509Certificate): AuthenticatedPeer {
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

function dnsNamesOf(subjectAltName: string | undefined): readonly string[] {
  if (subjectAltName === undefined) return [];
  // A quoted name holds characters that would imitate a separator; such a name is no DNS name.
  return subjectAltName
    .split(', ')
    .filter((name) => name.startsWith('DNS:') && !name.includes('"'))
    .map((name) => name.slice(4));
}
