/**
 * What a table shows of a key binding.
 *
 * @see EJBCA, Internal Key Bindings Overview
 */
import type { CertificateFacts } from '../x509/certificate.ts';
import { summarizeCertificate } from '../x509/certificate-summary.ts';
import type { BindingKeys } from './binding-keys.ts';
import { algorithmOf } from './crypto-token.ts';

/** Whether a binding is meant to work, and why its certificate does not let it. */
export const BINDING_STATUSES = ['enabled', 'disabled', 'revoked', 'not yet valid', 'expired'] as const;

/** One of BINDING_STATUSES. */
export type BindingStatus = (typeof BINDING_STATUSES)[number];

/**
 * `online`: signs; `pending`: its keys are there, it waits for a usable certificate; `offline`: disabled, or its crypto
 * token is not open.
 */
export const OPERATIONAL_STATUSES = ['online', 'pending', 'offline'] as const;

/** Plain data: goes to peers, tables and dashboards. Texts are empty where there is no certificate. */
export interface KeyBindingFacts {
  readonly name: string;
  readonly cryptoToken: string;
  readonly status: BindingStatus;
  readonly operational: (typeof OPERATIONAL_STATUSES)[number];
  readonly subjectDN: string;
  readonly issuerDN: string;
  /** Decimal. */
  readonly serialNumber: string;
  /** ISO 8601. */
  readonly notBefore: string;
  /** ISO 8601. */
  readonly expires: string;
  /** Whether a new certificate may be asked for. */
  readonly canRenew: boolean;
  /** E.g. `P-256`: of the key that signs, or of the next one where there is none yet. */
  readonly keyAlgorithm: string;
  /** Counts the switches to another certificate. */
  readonly generation: number;
  /** SHA-256 of the public key that waits for its certificate; empty = none. */
  readonly nextKey: string;
  /** Keys of the token that nothing refers to: a crash left them behind; the next new key pair will be one of them. */
  readonly orphanKeys: readonly string[];
  /** Keys that were replaced and end when the last cached answer has lapsed. */
  readonly retiredKeys: readonly string[];
}

/** What decides over the status of a binding. */
export interface BindingStanding {
  readonly enabled: boolean;
  /** Of the bound certificate. */
  readonly certificate: CertificateFacts | undefined;
  readonly isRevoked: boolean;
}

/** The status at a time, epoch milliseconds. Without a certificate it is `enabled`, and pending. */
export function bindingStatus({ enabled, certificate, isRevoked }: BindingStanding, now: number): BindingStatus {
  if (!enabled) return 'disabled';
  if (certificate === undefined) return 'enabled';
  if (isRevoked) return 'revoked';
  if (now < certificate.notBefore) return 'not yet valid';
  return now >= certificate.expireDate ? 'expired' : 'enabled';
}

/** What is said of the certificate where there is none. */
export const NO_CERTIFICATE = { subjectDN: '', issuerDN: '', serialNumber: '', notBefore: '', expires: '' };

/** Puts the facts together. */
export function keyBindingFacts(
  name: string,
  keys: BindingKeys,
  standing: BindingStanding,
  now: number,
): KeyBindingFacts {
  const { current, next, retired, generation } = keys.state;
  const status = bindingStatus(standing, now);
  const { certificate, enabled } = standing;
  const { fingerprint: _, ...shown } = certificate
    ? summarizeCertificate(certificate)
    : { ...NO_CERTIFICATE, fingerprint: '' };
  const key = keys.get(current?.key ?? next);
  return {
    name,
    cryptoToken: keys.token.name,
    status,
    operational: !enabled ? 'offline' : status === 'enabled' && certificate !== undefined ? 'online' : 'pending',
    ...shown,
    canRenew: enabled,
    keyAlgorithm: key === undefined ? '' : algorithmOf(key.publicKey),
    generation,
    nextKey: next ?? '',
    orphanKeys: keys.orphans(),
    retiredKeys: retired.map((each) => each.key),
  };
}
