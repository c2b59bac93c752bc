/**
 * Decides what a peer may do: the rules of all its roles united, an explicit deny wins.
 */
import { PeerError } from '../errors.ts';
import type { CaScope } from '../x509/ca-scope.ts';
import { pathsOf } from './access-rules.ts';
import type { Role, RuleState } from './role.ts';

const CA_PREFIX = '/ca/';

/**
 * Whether the roles together allow a resource.
 *
 * In each role the most specific rule decides; a resource without a rule inherits from its
 * parent path. Over the roles, any deny wins, else any allow; nothing said means no.
 *
 * @param resource absolute rule path, e.g. `/peerpublish/writecert` or `/ca/ManagementCA`
 * @see EJBCA, Roles and Access Rules; EJBCA, Access Rules › Concepts
 */
export function isAuthorized(roles: readonly Role[], resource: string): boolean {
  const paths = pathsOf(resource);
  const states = roles.map((role) => stateOf(role, paths));
  return !states.includes('deny') && states.includes('allow');
}

function stateOf(role: Role, paths: readonly string[]): RuleState | undefined {
  const decisive = paths.find((path) => Object.hasOwn(role.rules, path));
  return decisive === undefined ? undefined : role.rules[decisive];
}

/**
 * Refuses what the roles do not allow.
 *
 * @throws PeerError ERR_NOT_AUTHORIZED naming the first missing rule
 */
export function authorize(roles: readonly Role[], resources: readonly string[]): void {
  const missing = resources.find((resource) => !isAuthorized(roles, resource));
  if (missing === undefined) return;
  const names = roles.map((role) => `"${role.name}"`).join(', ');
  const who = names === '' ? 'no role that it belongs to allows it' : `not allowed by ${names}`;
  throw new PeerError('ERR_NOT_AUTHORIZED', `Access rule ${missing}: ${who}`);
}

/** The CAs the roles allow, as plain data for a store. */
export function caScopeOf(roles: readonly Role[]): CaScope {
  const names = roles.flatMap((role) => Object.keys(role.rules).filter((path) => path.startsWith(CA_PREFIX)));
  return {
    others: isAuthorized(roles, '/ca'),
    named: Object.fromEntries(names.map((path) => [path.slice(CA_PREFIX.length), isAuthorized(roles, path)])),
  };
}

/**
 * One role that allows a resource exactly where both sides allow it.
 *
 * The verdict on a resource depends on the nearest rules above it, so asking both sides about every
 * rule that either has is enough.
 *
 * @see EJBCA, Peer Systems Operations: the rights of an administrator at an RA and those of the RA intersect
 */
export function intersect(one: readonly Role[], other: readonly Role[]): Role {
  const paths = new Set(['/', ...[...one, ...other].flatMap((role) => Object.keys(role.rules))]);
  const rules = [...paths].map((path): [string, RuleState] => [
    path,
    isAuthorized(one, path) && isAuthorized(other, path) ? 'allow' : 'deny',
  ]);
  return { name: 'intersection', members: [], rules: Object.fromEntries(rules) };
}
