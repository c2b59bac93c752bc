/**
 * What an OCSP responder sees of a key binding: who signs, with which properties, for which CAs.
 */
import type { SigningKey } from '../x509/signing-key.ts';

/** What signs OCSP answers: one key with its certificate. A switch to another is a new object with a higher generation. */
export interface OcspSigner {
  readonly generation: number;
  /** DER. */
  readonly certificate: Uint8Array;
  /** DER, the issuing CA first, without the root unless it is the issuer itself. */
  readonly chain: readonly Uint8Array[];
  readonly key: SigningKey;
}

/**
 * EJBCA's key binding properties.
 *
 * @see EJBCA, OCSP Responders
 */
export interface OcspProperties {
  /** What is said of a serial number the store does not know. Default unknown. */
  readonly nonExisting: 'good' | 'revoked' | 'unauthorized' | 'unknown';
  /** How long an answer is valid; 0 = newer information is always available (RFC 6960 2.4). */
  readonly responseValidityMs: number;
  /** How long caches may keep an answer; 0 = not at all. */
  readonly maxAgeMs: number;
  readonly responderId: 'key' | 'name';
  readonly includeSigningCertificate: boolean;
  readonly includeChain: boolean;
  readonly nonce: boolean;
  /** Whether it answers for issuers that no binding knows. */
  readonly isDefaultResponder: boolean;
}

/** A binding as the responder sees it. */
export interface OcspBinding {
  readonly name: string;
  readonly properties: OcspProperties;
  /** undefined while it has none that may sign (offline, expired, disabled). */
  signer(now: number): OcspSigner | undefined;
  /** DER of the CA certificates it answers for. */
  cas(): readonly Uint8Array[];
}
