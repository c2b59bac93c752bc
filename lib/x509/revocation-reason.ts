/** The reasons of a revocation, their names and codes (RFC 5280 5.3.1). */
import { PeerError } from '../errors.ts';

/** Names and codes; 7 is not used. */
export const REVOCATION_REASONS = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  removeFromCRL: 8,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const;

/** Name of a reason as RFC 5280 spells it. */
export type RevocationReasonName = keyof typeof REVOCATION_REASONS;

const NAMES = Object.keys(REVOCATION_REASONS) as readonly RevocationReasonName[];
const NAME_BY_CODE: ReadonlyMap<number, RevocationReasonName> = new Map(
  NAMES.map((name) => [REVOCATION_REASONS[name], name]),
);
const CODE_BY_PLAIN_NAME: ReadonlyMap<string, number> = new Map([
  ...NAMES.map((name): [string, number] => [name.toLowerCase(), REVOCATION_REASONS[name]]),
  // EJBCA's REST interface has the plural.
  ['privilegeswithdrawn', REVOCATION_REASONS.privilegeWithdrawn],
]);

/** Name of a reason code; undefined for a code that has none. */
export function revocationReasonName(code: number): RevocationReasonName | undefined {
  return NAME_BY_CODE.get(code);
}

/**
 * Code of a reason given as code, digits or name.
 *
 * A name counts whatever its case and separators, so `keyCompromise` and EJBCA's `KEY_COMPROMISE` are one.
 *
 * @throws PeerError ERR_INVALID_INPUT for anything else
 */
export function parseRevocationReason(reason: unknown): number {
  if (typeof reason === 'number' && NAME_BY_CODE.has(reason)) return reason;
  if (typeof reason === 'string') {
    const text = reason.trim();
    const code = /^\d{1,2}$/.test(text)
      ? Number(text)
      : CODE_BY_PLAIN_NAME.get(text.replaceAll(/[_\s-]/g, '').toLowerCase());
    if (code !== undefined && NAME_BY_CODE.has(code)) return code;
  }
  const shown = typeof reason === 'string' ? `'${reason.slice(0, 50)}'` : String(reason);
  throw new PeerError('ERR_INVALID_INPUT', `${shown} is not a revocation reason of RFC 5280 5.3.1`);
}
