/**
 * What an RA request may do at the CA: what the RA may, and never more than the administrator who asks at the RA.
 *
 * The RA is known by its server certificate, as TLS verified it; what the RA tells can only take rights away.
 *
 * @see EJBCA, Peer Systems Operations: authorise requests
 */
import type { AuthenticatedPeer } from '../auth/authenticated-peer.ts';
import { authorize, intersect } from '../auth/authorize.ts';
import { validityCause } from '../auth/client-certificate.ts';
import { rulesForRequest } from '../auth/request-rules.ts';
import { checkRole, isMember, type Role } from '../auth/role.ts';
import { PeerError } from '../errors.ts';
import type { RaAdministrator, RaRequest } from '../protocol/ra-messages.ts';

/** Everything goes through an access rule, but an administrator with very many costs time. */
const MAX_RULES = 1_000;

/** The rights of a request that is allowed. */
export interface RaRights {
  /** The RA, by the subject DN of its server certificate. */
  readonly ra: string;
  /** Allowed and denied, as plain data; the nearest rule above a resource decides. */
  readonly rules: Role['rules'];
}

/**
 * Decides whether a request may be worked on, and with which rights.
 *
 * @param servers who is at the other end of the connections; all of them must be allowed
 * @param roles of RAs, at this CA
 * @throws PeerError ERR_NOT_AUTHENTICATED, ERR_NOT_AUTHORIZED
 */
export function rightsOf(
  { type, administrator }: Pick<RaRequest, 'type' | 'administrator'>,
  servers: readonly AuthenticatedPeer[],
  roles: readonly Role[],
): RaRights {
  const [first, ...others] = servers;
  if (first === undefined) throw new PeerError('ERR_NOT_AUTHENTICATED', 'No connection to the RA is open');
  // Behind a load balancer there may be several; a right is one that all of them have.
  const ofRa = others.reduce((role, server) => intersect([role], rolesOf(server, roles)), merged(first, roles));
  const needed = rulesForRequest(type);
  authorize([ofRa], needed);
  if (administrator === undefined) return { ra: first.subjectDN, rules: ofRa.rules };
  const effective = intersect([ofRa], [administratorRole(administrator)]);
  authorize([{ ...effective, name: `the administrator "${administrator.subjectDN}"` }], needed);
  return { ra: first.subjectDN, rules: effective.rules };
}

/** All roles of the RA as one. */
function merged(server: AuthenticatedPeer, roles: readonly Role[]): Role {
  const own = rolesOf(server, roles);
  return { ...intersect(own, own), name: own.map(({ name }) => name).join(', ') || server.subjectDN };
}

function rolesOf(server: AuthenticatedPeer, roles: readonly Role[]): readonly Role[] {
  const cause = validityCause(server, Date.now());
  if (cause !== undefined) throw new PeerError('ERR_NOT_AUTHENTICATED', `The certificate of the RA is ${cause}`);
  return roles.filter((role) => isMember(role, server));
}

function administratorRole({ subjectDN, rules }: RaAdministrator): Role {
  const paths = Object.keys(rules);
  const role = { name: `administrator ${subjectDN}`, members: [], rules };
  try {
    if (paths.length > MAX_RULES) throw new PeerError('ERR_INVALID_CONFIG', `${paths.length} rules are too many`);
    return checkRole(role);
  } catch (cause) {
    const { message } = cause as Error;
    throw new PeerError('ERR_NOT_AUTHORIZED', `The rules of the administrator are not usable: ${message}`, { cause });
  }
}
