/**
 * What the OCSP responder sees of a key binding.
 */
import type { KeyObject } from 'node:crypto';

/** What signs OCSP answers: one key with its certificate. A switch to another is a new object with a higher generation. */
export interface OcspSigner {
  readonly generation: number;
  /** DER. */
  readonly certificate: Uint8Array;
  /** DER, the issuing CA first, without the root unless it is the issuer itself. */
  readonly chain: readonly Uint8Array[];
  readonly key: KeyObject;
}

/** EJBCA's key binding properties. */
export interface OcspProperties {
  /** What is said of a certificate that is not in the store. Default unknown. */
  readonly nonExisting: 'good' | 'revoked' | 'unauthorized' | 'unknown';
  /** How long an answer stays valid, milliseconds; 0 = newer information is always available (RFC 6960 2.4). */
  readonly responseValidityMs: number;
  /** Max-Age for HTTP caches, milliseconds; 0 = no caching. */
  readonly maxAgeMs: number;
  readonly responderId: 'key' | 'name';
  readonly includeSigningCertificate: boolean;
  readonly includeChain: boolean;
  readonly nonce: boolean;
  /** Whether it answers `unknown` for CAs that no binding answers for. */
  readonly isDefaultResponder: boolean;
}

/** A binding as the responder sees it. */
export interface OcspBinding {
  readonly name: string;
  readonly properties: OcspProperties;
  /** Undefined while it has none that may sign: offline, expired, disabled. */
  signer(now: number): OcspSigner | undefined;
  /** DER of the CA certificates it answers for. */
  cas(): readonly Uint8Array[];
}
