/**
 * The URL of a peer: a Mustache template over values of the flow, checked after rendering.
 */
import { PeerError } from '../errors.ts';
import { BASE_PATH } from '../protocol/operations.ts';
import { renderStrictly } from './strict-template.ts';

/**
 * Renders and checks the URL of a peer, e.g. `https://{{VA_HOST}}:8443/ejbca/peer/v1`.
 *
 * Plain http is refused (EJBCA forbids it for peers too), so are user names, queries and other paths.
 * Without a path the protocol's own is added.
 *
 * @param values what `{{NAME}}` may stand for; a name without a value is an error, never an empty string
 * @throws PeerError ERR_INVALID_CONFIG
 */
export function renderPeerUrl(template: string, values: (name: string) => string | undefined): URL {
  const text = renderStrictly(template, { values, what: 'peer URL' }).trim();
  const url = URL.parse(text);
  if (url === null) throw invalid(text, 'is not a URL');
  if (url.protocol !== 'https:') throw invalid(text, 'is not https: peers speak over mutually authenticated TLS only');
  if (url.username !== '' || url.password !== '') throw invalid(`https://${url.host}`, 'holds a user name or password');
  if (url.search !== '' || url.hash !== '') throw invalid(text, 'holds a query or fragment');
  const path = url.pathname.replace(/\/$/, '');
  if (path !== '' && path !== BASE_PATH) throw invalid(text, `does not end in ${BASE_PATH}`);
  url.pathname = BASE_PATH;
  return url;
}

function invalid(text: string, what: string): PeerError {
  return new PeerError('ERR_INVALID_CONFIG', `The peer URL "${text}" ${what}`);
}
