/**
 * Has a certificate issued that somebody asks for at an RA, as far as the rights of the request go.
 */
import { X509Certificate } from 'node:crypto';
import { authorize } from '../auth/authorize.ts';
import type { CertificateAuthority } from '../authority/certificate-authority.ts';
import { PeerError } from '../errors.ts';
import { type CertificateRequest, REQUEST_LABEL, readCertificateRequest } from '../x509/certificate-request.ts';
import { commonNameOf } from '../x509/distinguished-name.ts';
import { readPemBlock } from '../x509/pem.ts';
import { payloadOf } from './flow-content.ts';
import type { RaTask } from './ra-execution.ts';

/** Types of requests that end in a certificate. */
export const ENROLMENT_TYPES: readonly string[] = ['enrol', 'renew'];

/**
 * Issues for the PKCS#10 request that is the content: DER, PEM, or JSON with it as `certificateRequest`.
 *
 * @param peer name of the connector
 * @returns DER: the certificate, then what else belongs to its chain
 * @throws PeerError ERR_INVALID_INPUT, ERR_INVALID_CERTIFICATE, ERR_NOT_AUTHORIZED for the CA, ERR_NOT_ISSUED and what
 *   the way to the CA throws
 */
export async function enrol(
  { request, rights, signal }: RaTask,
  authority: CertificateAuthority,
  peer: string,
): Promise<readonly Uint8Array[]> {
  const name = authority.caName?.() ?? '';
  authorize([{ name: rights.ra, members: [], rules: rights.rules }], [name === '' ? '/ca' : `/ca/${name}`]);
  const certificateRequest = requestIn(payloadOf(request.content));
  const asked = readCertificateRequest(certificateRequest);
  const { subjectDN } = asked;
  const order = { purpose: 'endEntity', peer, issuerDN: '', certificateRequest, subjectDN } as const;
  const certificates = await authority.issue({ ...order, name: commonNameOf(subjectDN) ?? subjectDN }, signal);
  checkKey(certificates[0], asked);
  return certificates;
}

function requestIn(payload: unknown): Uint8Array {
  const value = (payload as { readonly certificateRequest?: unknown } | null)?.certificateRequest ?? payload;
  if (typeof value === 'string') return readPemBlock(value, REQUEST_LABEL);
  if (value instanceof Uint8Array) {
    const text = Buffer.from(value).toString('latin1');
    return text.includes('-----BEGIN ') ? readPemBlock(text, REQUEST_LABEL) : value;
  }
  throw new PeerError('ERR_INVALID_INPUT', 'The request holds no certificate request (PKCS#10)');
}

/** Whoever issues: nobody gets a certificate for another key. */
function checkKey(certificate: Uint8Array | undefined, { publicKey }: CertificateRequest): void {
  if (certificate === undefined) throw new PeerError('ERR_NOT_ISSUED', 'The CA gave no certificate');
  if (new X509Certificate(certificate).publicKey.equals(publicKey)) return;
  throw new PeerError('ERR_NOT_ISSUED', 'The CA gave a certificate for another key');
}
