/**
 * Which access rules an RA request needs at the CA, by its type.
 *
 * `docs/access-rules.md` is tested against this table.
 */

/** Every request needs this one: the RA may have requests worked on at all. */
const INVOKE_API = '/ra_master/invoke_api';

/** Types with rules of their own, in EJBCA's names. */
export const REQUEST_RULES: Readonly<Record<string, readonly string[]>> = {
  enrol: ['/ra_functionality/create_end_entity', '/ca_functionality/create_certificate'],
  renew: ['/ra_functionality/edit_end_entity', '/ca_functionality/create_certificate'],
  revoke: ['/ra_functionality/revoke_end_entity'],
  status: ['/ca_functionality/view_certificate'],
  search: ['/ra_functionality/view_end_entity'],
};

/**
 * All the rules that a request of this type needs.
 *
 * A type that is not in the table needs one that names it, `/ra_master/request/[type]`: what nobody
 * has thought of must be allowed by somebody.
 */
export function rulesForRequest(type: string): readonly [string, ...string[]] {
  const own = Object.hasOwn(REQUEST_RULES, type) ? REQUEST_RULES[type] : undefined;
  return [INVOKE_API, ...(own ?? [`/ra_master/request/${type}`])];
}
