/**
 * The names of everything a role may be allowed or denied, as EJBCA documents them.
 *
 * `docs/access-rules.md` is tested against this table.
 *
 * @see EJBCA, Access Rules: Peer Management, Peer Publisher, Peer RA, Internal Keybinding, Crypto Token
 */
import { PeerError } from '../errors.ts';

interface AccessRule {
  /** Absolute path. */
  readonly path: string;
  /** True where one more segment, a free name, may follow: `/ca/[name]`. */
  readonly named: boolean;
  readonly opens: string;
}

const plain = (path: string, opens: string): AccessRule => ({ path, named: false, opens });
const named = (path: string, opens: string): AccessRule => ({ path, named: true, opens });

/** Every rule there is. A path covers all paths below it. */
export const ACCESS_RULES: readonly AccessRule[] = [
  plain('/', 'everything'),
  plain('/peer', 'the peer systems of this side'),
  plain('/peer/view', 'see peer connectors and incoming connections'),
  plain('/peer/modify', 'change them, and the global switches'),
  plain('/peer/manage', 'start synchronisations and send messages to peers'),
  plain('/peerincoming', 'connect as a peer at all'),
  plain('/peerpublish', 'all of the publishing rights'),
  plain('/peerpublish/readcert', 'compare certificate data'),
  plain('/peerpublish/writecert', 'publish certificates and their status'),
  plain('/peerpublish/writecrl', 'publish CRLs'),
  named('/ca', 'the certificate data and CRLs of a CA, named by its subject DN or the common name in it'),
  plain('/internalkeybinding', 'all key bindings'),
  named('/internalkeybinding/view', 'see a key binding'),
  named('/internalkeybinding/modify', 'give a key binding a new certificate'),
  named('/internalkeybinding/delete', 'remove a key binding'),
  plain('/cryptotoken', 'all crypto tokens'),
  named('/cryptotoken/view', 'see a crypto token'),
  named('/cryptotoken/modify', 'change a crypto token'),
  named('/cryptotoken/use', 'sign with the keys of a crypto token'),
  plain('/cryptotoken/keys', 'the keys of all crypto tokens'),
  named('/cryptotoken/keys/generate', 'make a new key pair in a crypto token'),
  plain('/ra_slave', 'what a CA may do at an RA'),
  plain('/ra_slave/manage', 'keep long-hanging connections and fetch RA requests'),
  plain('/ra_master', 'what an RA may ask of a CA'),
  plain('/ra_master/invoke_api', 'have requests worked on'),
  named('/ra_master/request', 'have requests of a type worked on for which no rule below stands'),
  plain('/ra_functionality', 'what an RA does with end entities'),
  plain('/ra_functionality/create_end_entity', 'enrol an end entity'),
  plain('/ra_functionality/edit_end_entity', 'renew the certificate of an end entity'),
  plain('/ra_functionality/revoke_end_entity', 'revoke the certificates of an end entity'),
  plain('/ra_functionality/view_end_entity', 'look for end entities'),
  plain('/ca_functionality', 'what a CA does with certificates'),
  plain('/ca_functionality/create_certificate', 'have a certificate issued'),
  plain('/ca_functionality/view_certificate', 'see a certificate and its status'),
];

const PLAIN_PATHS = new Set(ACCESS_RULES.map((rule) => rule.path));
// The longest path first, so that `/cryptotoken/keys/generate/x` is not read as a name below `/cryptotoken`.
const NAMED_PATHS = ACCESS_RULES.filter((rule) => rule.named)
  .map((rule) => rule.path)
  .sort((a, b) => b.length - a.length);

/**
 * The paths that decide over a resource, most specific first: itself, its parents, `/`.
 *
 * A name is one segment whatever it contains: the parent of `/ca/CN=a\/b` is `/ca`.
 *
 * @throws PeerError ERR_INVALID_CONFIG when the resource is none of the table
 */
export function pathsOf(resource: string): readonly string[] {
  if (resource === '/') return ['/'];
  if (PLAIN_PATHS.has(resource)) return [resource, ...parentsOf(resource)];
  const parent = NAMED_PATHS.find((path) => resource.startsWith(`${path}/`) && resource.length > path.length + 1);
  if (parent === undefined) {
    throw new PeerError('ERR_INVALID_CONFIG', `"${resource}" is not an access rule`);
  }
  return [resource, parent, ...parentsOf(parent)];
}

function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
    const parent = path.slice(0, end);
    if (PLAIN_PATHS.has(parent)) parents.push(parent);
  }
  return [...parents, '/'];
}
