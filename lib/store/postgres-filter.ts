/**
 * A row filter as SQL over CertificateData.
 */
import { type CaScope, isCaInScope } from '../x509/ca-scope.ts';
import type { PostgresSession } from './postgres-session.ts';
import { type RowFilter, statusesOf } from './row-filter.ts';

/** issuerId by subject DN. */
export type Issuers = ReadonlyMap<string, number>;

/** Every issuer there is. */
export async function readIssuers(session: PostgresSession): Promise<Issuers> {
  const rows = await session.query('SELECT issuerDN, issuerId FROM Issuer');
  return new Map(rows as unknown as readonly (readonly [string, number])[]);
}

/**
 * A condition, or an empty text when no row is left out. Nothing but numbers goes into it.
 *
 * @param within further limits the CAs
 * @param isComplete whether there is no other issuer; otherwise a row of one that has come since is left out
 */
export function conditionOf(filter: RowFilter, within: CaScope, issuers: Issuers, isComplete: boolean): string {
  const parts: string[] = [];
  const statuses = statusesOf(filter.status);
  if (statuses !== undefined) parts.push(`status IN (${statuses.join()})`);
  if (filter.changedSince > 0) parts.push(`updateTime >= ${Math.trunc(filter.changedSince)}`);
  if (filter.expiredBefore > 0) parts.push(`(expireDate = -1 OR expireDate >= ${Math.trunc(filter.expiredBefore)})`);
  const meant = [...issuers].filter(([dn]) => isCaInScope(dn, filter.cas) && isCaInScope(dn, within));
  const isAll = (isEvery(filter.cas) && isEvery(within)) || (isComplete && meant.length === issuers.size);
  if (!isAll) parts.push(`issuerId = ANY ('{${meant.map(([, id]) => id).join()}}')`);
  return parts.join(' AND ');
}

function isEvery({ others, named }: CaScope): boolean {
  return others && !Object.values(named).includes(false);
}
