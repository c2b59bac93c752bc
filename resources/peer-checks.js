/**
 * What the dialogs check and offer, without a browser: so that tests can import it.
 *
 * The lists repeat tables of `lib/auth`; a test keeps them equal.
 */

/** What of a certificate a role member is matched on. */
export const MEMBER_MATCHES = [
  'commonName',
  'fullDN',
  'serialNumber',
  'organization',
  'organizationalUnit',
  'dnsName',
  'fingerprint',
  'anyCertificate',
];

/** Paths of access rules. */
export const ACCESS_RULES = [
  '/',
  '/peer',
  '/peer/view',
  '/peer/modify',
  '/peer/manage',
  '/peerincoming',
  '/peerpublish',
  '/peerpublish/readcert',
  '/peerpublish/writecert',
  '/peerpublish/writecrl',
  '/ca',
  '/internalkeybinding',
  '/internalkeybinding/view',
  '/internalkeybinding/modify',
  '/internalkeybinding/delete',
  '/cryptotoken',
  '/cryptotoken/view',
  '/cryptotoken/modify',
  '/cryptotoken/use',
  '/cryptotoken/keys',
  '/cryptotoken/keys/generate',
  '/ra_slave',
  '/ra_slave/manage',
  '/ra_master',
  '/ra_master/invoke_api',
  '/ra_master/request',
  '/ra_functionality',
  '/ra_functionality/create_end_entity',
  '/ra_functionality/edit_end_entity',
  '/ra_functionality/revoke_end_entity',
  '/ra_functionality/view_end_entity',
  '/ca_functionality',
  '/ca_functionality/create_certificate',
  '/ca_functionality/view_certificate',
];

/** Those of them that a free name may follow: `/ca/[name]`. */
export const NAMED_ACCESS_RULES = [
  '/ca',
  '/internalkeybinding/view',
  '/internalkeybinding/modify',
  '/internalkeybinding/delete',
  '/cryptotoken/view',
  '/cryptotoken/modify',
  '/cryptotoken/use',
  '/cryptotoken/keys/generate',
  '/ra_master/request',
];

const PUBLISH = ['/peerincoming', '/peerpublish/writecert', '/peerpublish/writecrl', '/ca'];
const RENEW = ['/peerincoming', '/internalkeybinding/view', '/internalkeybinding/modify', '/cryptotoken/view'];
const ASK_CA = ['/ra_master/invoke_api', '/ca'];

/** What a peer needs: a CA at a VA, a CA at an RA, an RA at a CA. */
export const ROLE_TEMPLATES = {
  publish: PUBLISH,
  synchronise: [...PUBLISH, '/peerpublish/readcert'],
  renew: RENEW,
  renewWithNewKeys: [...RENEW, '/cryptotoken/keys/generate'],
  fetchRequests: ['/peerincoming', '/ra_slave/manage'],
  enrol: [...ASK_CA, '/ra_functionality/create_end_entity', '/ca_functionality/create_certificate'],
  revoke: [...ASK_CA, '/ra_functionality/revoke_end_entity'],
  search: [...ASK_CA, '/ra_functionality/view_end_entity', '/ca_functionality/view_certificate'],
};

/** The member that means one incoming peer: by the common name, if it has one, else the whole name; of its CA. */
export function memberFor({ subjectDN, issuerDN }) {
  // Only a name that needs no unescaping; the whole name is right in any case.
  const [, commonName] = /(?:^|,)CN=([^,+\\"]+)(?=,|$)/.exec(subjectDN) ?? [];
  if (commonName === undefined) return { match: 'fullDN', value: subjectDN, issuer: issuerDN };
  return { match: 'commonName', value: commonName.trim(), issuer: issuerDN };
}

/** Adds the rules of a template, allowed; other rules stay. */
export function withTemplate(rules, template) {
  const paths = ROLE_TEMPLATES[template];
  const others = rules.filter(({ path }) => path !== '' && !paths.includes(path));
  return [...others, ...paths.map((path) => ({ path, state: 'allow' }))];
}

/** Whether a text is the path of an access rule. */
export function isAccessRule(path) {
  if (ACCESS_RULES.includes(path)) return true;
  return NAMED_ACCESS_RULES.some((parent) => path.startsWith(`${parent}/`) && path.length > parent.length + 1);
}

/** Whether every rule is one, and none is there twice. */
export function areRules(rules) {
  const paths = rules.map(({ path }) => path);
  return paths.every(isAccessRule) && new Set(paths).size === paths.length;
}

/** Whether every member names a CA and, unless any certificate of it will do, a value. */
export function areMembers(members) {
  return members.every(({ match, value, issuer }) => issuer !== '' && (match === 'anyCertificate' || value !== ''));
}

/** Whether every entry names its CA, and any serial number is one. */
export function areTrusted(trust) {
  return trust.every(({ value, serialNumber }) => value !== '' && isSerialNumber(serialNumber));
}

/** Whether a text is empty, decimal, or hexadecimal with a letter, a colon or `0x`. */
export function isSerialNumber(text) {
  const trimmed = text.trim().toLowerCase();
  if (trimmed === '' || /^-?\d+$/.test(trimmed)) return true;
  return /^[0-9a-f]+$/.test(trimmed.replace(/^0x/, '').replaceAll(':', ''));
}

/** Whether a value is a whole number in a range, or an environment variable. */
export function isWholeNumber(value, min, max) {
  const text = String(value).trim();
  if (/^\$\{[^}]+\}$/.test(text)) return true;
  return /^\d+$/.test(text) && Number(text) >= min && Number(text) <= max;
}

/** Whether a text can be a PEM block, at a glance. */
export function looksLikePem(text) {
  return /-----BEGIN [A-Z0-9 ]+-----[\s\S]+-----END [A-Z0-9 ]+-----/.test(text);
}

/** Whether groups of names, with empty lines between them, name nobody twice; empty = there are none. */
export function areGroups(text) {
  const names = String(text ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return new Set(names).size === names.length;
}

/** Whether a text is empty, the path of an HTTP endpoint, or an environment variable. */
export function isStatusPath(text) {
  const path = String(text ?? '').trim();
  return path === '' || /^\/[\w./~-]+$/.test(path) || /^\$\{[^}]+\}$/.test(path);
}

const PATHS = ['', '/', '/ejbca/peer/v1', '/ejbca/peer/v1/'];
const VARIABLE = /\{\{[^{}]+\}\}/g;

/** What is wrong with the URL of a peer, as the last part of a text key; empty when nothing is. */
export function urlProblem(text) {
  const trimmed = text.trim();
  // Whether the value of a variable is a URL, only the runtime knows.
  if (/^\$\{[^}]+\}$/.test(trimmed) || trimmed.startsWith('{{')) return '';
  const url = parseUrl(trimmed.replaceAll(VARIABLE, '1'));
  if (url === undefined) return 'url';
  if (url.protocol !== 'https:') return 'urlNotHttps';
  if (url.username !== '' || url.password !== '') return 'urlUser';
  const [, , , ...path] = trimmed.split('/');
  const isOpen = path.some((part) => part.includes('{{'));
  if (url.search !== '' || url.hash !== '' || !(isOpen || PATHS.includes(url.pathname))) return 'urlPath';
  return '';
}

function parseUrl(text) {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

/** The texts that hold what was typed; those that begin with it first. */
export function suggest(texts, typed) {
  const part = typed.trim().toLowerCase();
  const rank = (text) => (text.toLowerCase().startsWith(part) ? 0 : 1);
  return texts.filter((text) => text.toLowerCase().includes(part)).sort((a, b) => rank(a) - rank(b));
}
