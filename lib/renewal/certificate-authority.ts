/**
 * Who issues in a renewal: a local CA key, an EJBCA over REST, or the flow. To a renewal they are all the same.
 */
import type { KeyBindingFacts } from '../keybinding/key-binding-facts.ts';
import { renderStrictly } from '../pool/strict-template.ts';

/** What is to be issued. */
export interface IssueOrder {
  /** Name of the connector. */
  readonly peer: string;
  /** The key binding as the peer shows it. */
  readonly binding: KeyBindingFacts;
  /** DER, PKCS#10; its proof of possession was verified. */
  readonly certificateRequest: Uint8Array;
  /** Subject of the request, in EJBCA's form. */
  readonly subjectDN: string;
}

/** Issues certificates for OCSP signers. */
export interface CertificateAuthority {
  /**
   * @returns DER: the certificate, then what else belongs to its chain
   * @throws PeerError ERR_NOT_ISSUED with the answer of the CA, ERR_PEER_TIMEOUT when it did not answer in time,
   *   ERR_INVALID_CONFIG, and what the way to the CA throws
   */
  issue(order: IssueOrder, signal: AbortSignal): Promise<readonly Uint8Array[]>;
}

/**
 * Renders a template over an order: `{{peer}}`, `{{binding}}`, `{{subjectDN}}`.
 *
 * @param escapeValue for values in double braces; three braces leave them as they are
 * @throws PeerError ERR_INVALID_CONFIG
 */
export function renderForOrder(
  template: string,
  { peer, binding, subjectDN }: IssueOrder,
  what: string,
  escapeValue?: (value: string) => string,
): string {
  const values = new Map([
    ['peer', peer],
    ['binding', binding.name],
    ['subjectDN', subjectDN],
  ]);
  return renderStrictly(template, {
    values: (name) => values.get(name),
    what,
    ...(escapeValue && { escape: escapeValue }),
  });
}
