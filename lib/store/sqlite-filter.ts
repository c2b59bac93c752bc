/**
 * A row filter as SQL over CertificateData.
 */
import { type CaScope, isCaInScope } from '../x509/ca-scope.ts';
import { type RowFilter, statusesOf } from './row-filter.ts';

/**
 * A condition, or an empty text when no row is left out. Nothing but numbers goes into it.
 *
 * @param within further limits the CAs
 * @param issuers issuerId by subject DN
 */
export function conditionOf(filter: RowFilter, within: CaScope, issuers: ReadonlyMap<string, number>): string {
  const parts: string[] = [];
  const statuses = statusesOf(filter.status);
  if (statuses !== undefined) parts.push(`status IN (${statuses.join()})`);
  if (filter.changedSince > 0) parts.push(`updateTime >= ${Math.trunc(filter.changedSince)}`);
  if (filter.expiredBefore > 0) parts.push(`(expireDate = -1 OR expireDate >= ${Math.trunc(filter.expiredBefore)})`);
  const meant = [...issuers].filter(([dn]) => isCaInScope(dn, filter.cas) && isCaInScope(dn, within));
  if (meant.length < issuers.size) parts.push(`issuerId IN (${meant.map(([, id]) => id).join()})`);
  return parts.join(' AND ');
}
