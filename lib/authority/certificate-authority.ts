/**
 * Who issues certificates: a local CA key, an EJBCA over REST, or the flow. To who orders they are all the same.
 */
import { renderStrictly } from '../pool/strict-template.ts';

/** What is to be issued. */
export interface IssueOrder {
  /** A signer of OCSP answers, or a certificate that an RA asks for. */
  readonly purpose: 'ocspSigner' | 'endEntity';
  /** Name of the connector. */
  readonly peer: string;
  /** Of the key binding, or of the end entity. */
  readonly name: string;
  /** The CA that must issue, in EJBCA's form; empty = whichever it is. */
  readonly issuerDN: string;
  /** DER, PKCS#10; its proof of possession was verified. */
  readonly certificateRequest: Uint8Array;
  /** Subject of the request, in EJBCA's form. */
  readonly subjectDN: string;
}

/** Issues certificates. */
export interface CertificateAuthority {
  /** Name of the CA as access rules have it, `/ca/[name]`; undefined = not known beforehand. */
  caName?(): string;
  /**
   * @returns DER: the certificate, then what else belongs to its chain
   * @throws PeerError ERR_NOT_ISSUED with the answer of the CA, ERR_PEER_TIMEOUT when it did not answer in time,
   *   ERR_INVALID_CONFIG, and what the way to the CA throws
   */
  issue(order: IssueOrder, signal: AbortSignal): Promise<readonly Uint8Array[]>;
}

/**
 * Renders a template over an order: `{{peer}}`, `{{name}}`, `{{subjectDN}}`.
 *
 * @param escapeValue for values in double braces; three braces leave them as they are
 * @throws PeerError ERR_INVALID_CONFIG
 */
export function renderForOrder(
  template: string,
  { peer, name, subjectDN }: IssueOrder,
  what: string,
  escapeValue?: (value: string) => string,
): string {
  const values = new Map([
    ['peer', peer],
    ['name', name],
    ['subjectDN', subjectDN],
  ]);
  return renderStrictly(template, {
    values: (key) => values.get(key),
    what,
    ...(escapeValue && { escape: escapeValue }),
  });
}
