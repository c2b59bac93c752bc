/**
 * Which CAs something applies to: rights (`/ca/[name]`) and the subset of a synchronisation.
 *
 * A CA is named by its subject DN in EJBCA's form or, shorter, by the common name in it.
 * Plain data, so that it can cross to a worker thread.
 */
import { commonNameOf } from './distinguished-name.ts';

/** Either every CA but the named ones, or none but the named ones. */
export interface CaScope {
  /** What holds for a CA that is not named. */
  readonly others: boolean;
  /** Subject DNs or common names with their own verdict; `false` wins where both name one CA. */
  readonly named: Readonly<Record<string, boolean>>;
}

/** Every CA. */
export const ALL_CAS: CaScope = { others: true, named: {} };

/** Just the named CAs. */
export function onlyCas(names: readonly string[]): CaScope {
  return { others: false, named: Object.fromEntries(names.map((name) => [name, true])) };
}

/** Whether the CA with this subject DN is meant. */
export function isCaInScope(issuerDN: string, scope: CaScope): boolean {
  const verdicts = [issuerDN, commonNameOf(issuerDN)]
    .filter((name): name is string => name !== undefined && Object.hasOwn(scope.named, name))
    .map((name) => scope.named[name]);
  if (verdicts.length === 0) return scope.others;
  return !verdicts.includes(false);
}
