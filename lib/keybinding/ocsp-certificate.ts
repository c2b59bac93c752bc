/**
 * Which certificate a key binding may sign OCSP answers with.
 */
import { type KeyObject, randomBytes, verify, X509Certificate } from 'node:crypto';
import { PeerError } from '../errors.ts';
import { type CertificateFacts, readCertificate } from '../x509/certificate.ts';
import { OCSP_SIGNING, readUsages } from '../x509/certificate-usages.ts';
import { signatureAlgorithmOf } from '../x509/signature-algorithm.ts';
import type { SigningKey } from '../x509/signing-key.ts';

const MAX_CHAIN_LENGTH = 10;

/** What a certificate is judged by. */
export interface OcspCertificateCheck {
  /** DER. */
  readonly certificate: Uint8Array;
  /** The key it must name. */
  readonly key: SigningKey;
  /** DER of the CAs that may have issued it. */
  readonly cas: readonly Uint8Array[];
  /** Epoch milliseconds. */
  readonly now: number;
}

/**
 * Judges a certificate: its key is the given one, one of the CAs issued it directly (RFC 6960 4.2.2.2), it is valid
 * now, it is no CA, it may sign OCSP answers, and a signature made with the key verifies with it.
 *
 * @returns DER of the CA that issued it
 * @throws PeerError ERR_CERTIFICATE_REFUSED saying which of these it is not, ERR_INVALID_CERTIFICATE, what the key throws
 */
export async function checkOcspCertificate({ certificate, key, cas, now }: OcspCertificateCheck): Promise<Uint8Array> {
  const facts = readCertificate(certificate);
  const parsed = parse(certificate);
  if (!parsed.publicKey.equals(key.publicKey)) throw refused(facts, 'is for another key');
  const issuer = cas.find((ca) => isIssuedBy(parsed, ca));
  if (issuer === undefined) throw refused(facts, `was issued by "${facts.issuerDN}", none of the CAs that are served`);
  checkValidity(facts, now);
  checkUsages(facts, certificate);
  if (!(await signsVerifiably(parsed, key))) throw refused(facts, 'does not verify a test answer');
  return issuer;
}

/**
 * The public key that a certificate names.
 *
 * @throws PeerError ERR_INVALID_CERTIFICATE
 */
export function publicKeyOf(certificate: Uint8Array): KeyObject {
  return parse(certificate).publicKey;
}

/**
 * The CA certificates that go with an answer: from the issuing CA upwards, without the root unless it is the issuer
 * itself.
 *
 * @param candidates DER of certificates that may be part of it, in any order
 */
export function chainAbove(issuer: Uint8Array, candidates: readonly Uint8Array[]): readonly Uint8Array[] {
  const chain = [issuer];
  for (let below = issuer; chain.length < MAX_CHAIN_LENGTH; ) {
    if (readCertificate(below).selfIssued) return chain;
    const parsed = parse(below);
    const next = candidates.find((ca) => isIssuedBy(parsed, ca));
    if (next === undefined || readCertificate(next).selfIssued) return chain;
    chain.push(next);
    below = next;
  }
  return chain;
}

function checkValidity(facts: CertificateFacts, now: number): void {
  if (!(facts.expireDate > now)) throw refused(facts, 'has expired');
  if (facts.notBefore < 0 || facts.notBefore > now) throw refused(facts, 'is not yet valid');
}

function checkUsages(facts: CertificateFacts, certificate: Uint8Array): void {
  const { keyUsage, extendedKeyUsage } = readUsages(certificate);
  if (facts.isCa) throw refused(facts, 'is that of a CA');
  if (!extendedKeyUsage?.includes(OCSP_SIGNING)) throw refused(facts, 'has no extended key usage OCSPSigning');
  if (keyUsage !== undefined && !keyUsage.includes('digitalSignature')) {
    throw refused(facts, 'has no key usage digitalSignature');
  }
}

async function signsVerifiably({ publicKey }: X509Certificate, key: SigningKey): Promise<boolean> {
  const sample = randomBytes(64);
  return verify(signatureAlgorithmOf(publicKey).digest, sample, publicKey, await key.sign(sample));
}

/** Fail closed: a key that node:crypto does not know verifies nothing. */
function isIssuedBy(certificate: X509Certificate, ca: Uint8Array): boolean {
  try {
    const parsed = parse(ca);
    return parsed.ca && certificate.checkIssued(parsed) && certificate.verify(parsed.publicKey);
  } catch {
    return false;
  }
}

function parse(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch (cause) {
    throw new PeerError('ERR_INVALID_CERTIFICATE', 'The certificate is not one that signatures are verified with', {
      cause,
    });
  }
}

function refused({ subjectDN, serialNumber }: CertificateFacts, what: string): PeerError {
  return new PeerError('ERR_CERTIFICATE_REFUSED', `The certificate ${serialNumber} of "${subjectDN}" ${what}`);
}
