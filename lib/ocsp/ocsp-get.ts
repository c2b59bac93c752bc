/** The request in the path of an HTTP GET (RFC 6960 A.1), however it was escaped on its way. */

/** Proxies that escape what is escaped already. */
const MAX_UNESCAPES = 2;

/**
 * The DER that a request target carries; undefined when there is none in base64.
 *
 * `%2F`, `%2B`, `%3D` and the bare characters, a blank for `+`, the alphabet for URLs, line breaks, padding or none,
 * more slashes than needed in front, and a query behind are all understood; none of these can be mistaken for
 * another request, because base64 has no such characters and DER does not begin with a slash.
 *
 * @param url as node:http has it
 * @param path where the responder is mounted, `/ocsp`; the request may as well come without
 */
export function requestFromUrl(url: string, path: string): Uint8Array | undefined {
  const target = unescaped(withoutHostAndQuery(url));
  if (target === undefined) return undefined;
  const base64 = withoutPath(target.replace(/^\/+/, ''), path.replace(/^\/+|\/+$/g, ''))
    .replaceAll(/[\r\n]/g, '')
    .replaceAll(/[ -]/g, '+')
    .replaceAll('_', '/');
  const digits = base64.replace(/={1,2}$/, '');
  const isPadded = digits.length < base64.length;
  if (!/^[A-Za-z0-9+/]+$/.test(digits) || digits.length % 4 === 1) return undefined;
  if (isPadded && base64.length % 4 !== 0) return undefined;
  return Buffer.from(digits, 'base64');
}

function withoutHostAndQuery(url: string): string {
  const path = url.startsWith('/') ? url : url.replace(/^[a-z]+:\/\/[^/]*/i, '');
  const end = path.search(/[?#]/);
  return end === -1 ? path : path.slice(0, end);
}

function unescaped(text: string): string | undefined {
  let result = text;
  try {
    for (let i = 0; i < MAX_UNESCAPES && result.includes('%'); i++) result = decodeURIComponent(result);
  } catch {
    return undefined;
  }
  return result;
}

function withoutPath(target: string, path: string): string {
  if (path === '' || !target.startsWith(path)) return target;
  const rest = target.slice(path.length);
  return rest === '' || rest.startsWith('/') ? rest.replace(/^\/+/, '') : target;
}
