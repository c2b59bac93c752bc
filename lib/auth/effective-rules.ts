/**
 * What a certificate may do in the end: every access rule with its verdict and where that comes from.
 *
 * For an operator to look at before a role counts; the endpoint decides with `authorize.ts`, and so does this.
 */
import type { X509Certificate } from 'node:crypto';
import { PeerError } from '../errors.ts';
import { ACCESS_RULES, pathsOf } from './access-rules.ts';
import { authenticatedPeerOf } from './authenticated-peer.ts';
import { isAuthorized } from './authorize.ts';
import { checkRole, isMember, MEMBER_MATCHES, type PeerIdentity, type Role, type RoleMember } from './role.ts';

/** The verdict on one rule. */
export interface EffectiveRule {
  readonly path: string;
  readonly isAllowed: boolean;
  /** Role and rule that decide; empty = nobody said anything, which means no. */
  readonly role: string;
  readonly rule: string;
}

/** What roles make of a certificate. */
export interface EffectiveRights {
  readonly subjectDN: string;
  readonly issuerDN: string;
  /** Names of the roles it belongs to. */
  readonly roles: readonly string[];
  /** Every rule of the table, and every rule with a name that one of the roles has; in the order of the table. */
  readonly rules: readonly EffectiveRule[];
}

const MAX_ROLES = 1_000;
const MAX_ITEMS = 10_000;
const MAX_TEXT = 4_096;

/** Works out the rights of a certificate, or of a peer that was here. */
export function effectiveRights(roles: readonly Role[], certificate: X509Certificate | PeerIdentity): EffectiveRights {
  const peer = 'subjectDN' in certificate ? certificate : authenticatedPeerOf(certificate);
  const own = roles.filter((role) => isMember(role, peer));
  const { subjectDN, issuerDN } = peer;
  const rules = pathsToShow(own).map((path) => verdictOn(path, own));
  return { subjectDN, issuerDN, roles: own.map(({ name }) => name), rules };
}

function pathsToShow(roles: readonly Role[]): readonly string[] {
  const named = new Set(roles.flatMap(({ rules }) => Object.keys(rules)));
  for (const { path } of ACCESS_RULES) named.delete(path);
  const below = (path: string): string[] => [...named].filter((each) => pathsOf(each)[1] === path).sort();
  return ACCESS_RULES.flatMap(({ path }) => [path, ...below(path)]);
}

function verdictOn(path: string, roles: readonly Role[]): EffectiveRule {
  const isAllowed = isAuthorized(roles, path);
  for (const role of roles) {
    const rule = pathsOf(path).find((each) => Object.hasOwn(role.rules, each));
    // Of several roles that allow, the first is named; what is denied was denied by one of them.
    if (rule !== undefined && (role.rules[rule] === 'allow') === isAllowed) {
      return { path, isAllowed, role: role.name, rule };
    }
  }
  return { path, isAllowed, role: '', rule: '' };
}

/**
 * Roles as a dialog sends them, checked.
 *
 * @throws PeerError ERR_INVALID_INPUT when they are none, ERR_INVALID_CONFIG when one is not usable
 */
export function parseRoles(value: unknown): readonly Role[] {
  return listOf(value, MAX_ROLES).map((role) =>
    checkRole({
      name: textOf(role['name']),
      members: listOf(role['members'], MAX_ITEMS).map(parseMember),
      rules: rulesOf(listOf(role['rules'], MAX_ITEMS).map(({ path, state }) => ({ path: textOf(path), state }))),
    }),
  );
}

/** The rules of a role from a list of paths and states; `inherit` is the absence of a rule. */
export function rulesOf(rules: readonly { readonly path: string; readonly state: unknown }[]): Role['rules'] {
  const stated = rules.filter(({ state }) => state !== 'inherit');
  return Object.fromEntries(stated.map(({ path, state }) => [path.trim(), state])) as Role['rules'];
}

function parseMember({ match, value, issuer }: Readonly<Record<string, unknown>>): RoleMember {
  const known = MEMBER_MATCHES.find((each) => each === match);
  if (known === undefined) throw new PeerError('ERR_INVALID_INPUT', 'A member of a role is matched in no known way');
  return { match: known, value: textOf(value), issuer: textOf(issuer) };
}

function listOf(value: unknown, max: number): readonly Readonly<Record<string, unknown>>[] {
  const isList = Array.isArray(value) && value.length <= max && value.every((each) => Object(each) === each);
  if (!isList) throw new PeerError('ERR_INVALID_INPUT', `A list of at most ${max} objects is wanted`);
  return value;
}

function textOf(value: unknown): string {
  if (typeof value === 'string' && value.length <= MAX_TEXT) return value;
  throw new PeerError('ERR_INVALID_INPUT', `A text of at most ${MAX_TEXT} characters is wanted`);
}
