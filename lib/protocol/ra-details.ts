/**
 * The JSON members of RA requests and answers: who asks, and what belongs to HTTP. Checked before anybody looks.
 */
import { PeerError } from '../errors.ts';
import type { RaAdministrator, RaAnswer, RaCookie, RaHttpRequest } from './ra-messages.ts';

const MAX_LENGTH = 256 * 1024;
const MAX_DEPTH = 10;
const MAX_MEMBERS = 1_000;
const MAX_JSON_DEPTH = 100;

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET] = [0x7b, 0x7d, 0x5b, 0x5d];

/** Field names are tokens, values have no control characters but the tab (RFC 9110 section 5). */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const NOT_IN_VALUES = /[^\t\x20-\x7e\x80-\xff]/;
/** They belong to the connection of the CA, or to the length that the RA counts itself (RFC 9110 section 7.6.1). */
const NOT_CARRIED = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

const DOMAIN = /^\.?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i;
/** From now on, still a date. */
const MAX_AGE_MS = 8e15;
/** What a cookie may say of itself (RFC 6265 section 4.1.1), in the words of Express; the rest is not carried. */
const COOKIE_OPTIONS: Readonly<Record<string, (value: unknown) => boolean>> = {
  domain: (value) => typeof value === 'string' && value.length <= 253 && DOMAIN.test(value),
  path: (value) => typeof value === 'string' && /^[\x20-\x3a\x3d-\x7e]*$/.test(value),
  expires: (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value)),
  maxAge: (value) => typeof value === 'number' && Math.abs(value) <= MAX_AGE_MS,
  httpOnly: isBoolean,
  secure: isBoolean,
  partitioned: isBoolean,
  sameSite: (value) => isBoolean(value) || /^(lax|none|strict)$/i.test(String(value)),
  priority: (value) => /^(low|medium|high)$/i.test(String(value)),
};

type Members = Record<string, unknown>;

/** @throws PeerError ERR_MALFORMED_MESSAGE */
export function parseRequestDetails(text: string | null): {
  readonly administrator: RaAdministrator | undefined;
  readonly http: RaHttpRequest | undefined;
} {
  const { administrator, http } = parseMembers(text);
  return {
    administrator: administrator === undefined ? undefined : administratorOf(objectOf(administrator, 'administrator')),
    http: http === undefined ? undefined : httpOf(objectOf(http, 'http')),
  };
}

/**
 * Headers and cookies that whoever answers an HTTP request may set as they are.
 *
 * @throws PeerError ERR_MALFORMED_MESSAGE
 */
export function parseAnswerDetails(text: string | null): Pick<RaAnswer, 'headers' | 'cookies'> {
  const { headers = {}, cookies = {} } = parseMembers(text);
  return { headers: headersOf(headers), cookies: cookiesOf(objectOf(cookies, 'cookies')) };
}

/**
 * JSON of a limited depth: what reads it afterwards may recurse.
 *
 * @throws PeerError ERR_MALFORMED_MESSAGE
 */
export function parseFlatJson(text: string): unknown {
  if (!isFlatJson(text)) throw malformed('the JSON is nested too deeply');
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PeerError('ERR_MALFORMED_MESSAGE', 'The content is not JSON', { cause });
  }
}

/** Whether a JSON text may be sent, as to its depth. */
export function isFlatJson(text: string): boolean {
  return depthOf(text) <= MAX_JSON_DEPTH;
}

function parseMembers(text: string | null): Members {
  if (text === null) return {};
  if (text.length > MAX_LENGTH || depthOf(text) > MAX_DEPTH) throw malformed('the details are too large or too deep');
  return objectOf(parseFlatJson(text), 'details');
}

/** Deepest nesting of brackets outside of strings; a text that is no JSON may give anything. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === QUOTE) at = endOfString(text, at);
    else if (char === OPEN_BRACE || char === OPEN_BRACKET) deepest = Math.max(deepest, ++depth);
    else if (char === CLOSE_BRACE || char === CLOSE_BRACKET) depth -= 1;
  }
  return deepest;
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at;
}

function administratorOf({ subjectDN = '', certificate = '', rules }: Members): RaAdministrator {
  if (typeof subjectDN !== 'string' || typeof certificate !== 'string') throw malformed('administrator');
  const entries = Object.entries(objectOf(rules, 'rules of the administrator'));
  if (entries.some(([, state]) => state !== 'allow' && state !== 'deny')) throw malformed('rules of the administrator');
  return { subjectDN, certificate, rules: Object.fromEntries(entries) as RaAdministrator['rules'] };
}

function httpOf({ method, url, headers = {}, query = {}, params = {} }: Members): RaHttpRequest {
  if (typeof method !== 'string' || !TOKEN.test(method) || typeof url !== 'string') throw malformed('http');
  const texts = (value: unknown, what: string): Readonly<Record<string, string>> => {
    const members = objectOf(value, what);
    if (Object.values(members).some((each) => typeof each !== 'string')) throw malformed(what);
    return members as Record<string, string>;
  };
  return {
    method,
    url,
    headers: texts(headers, 'headers'),
    query: objectOf(query, 'query'),
    params: texts(params, 'params'),
  };
}

function headersOf(value: unknown): RaAnswer['headers'] {
  const headers = objectOf(value, 'headers');
  for (const [name, content] of Object.entries(headers)) {
    const values: readonly unknown[] = Array.isArray(content) ? content : [content];
    const isRight = values.every((each) => typeof each === 'string' && !NOT_IN_VALUES.test(each));
    if (!TOKEN.test(name) || !isRight) throw malformed(`header "${name.slice(0, 64)}"`);
  }
  const carried = Object.entries(headers).filter(([name]) => !NOT_CARRIED.has(name.toLowerCase()));
  return Object.fromEntries(carried) as RaAnswer['headers'];
}

function cookiesOf(cookies: Members): RaAnswer['cookies'] {
  return Object.fromEntries(
    Object.entries(cookies).map(([name, cookie]): [string, RaCookie] => {
      const { value, options } = objectOf(cookie, 'cookie');
      const isText = typeof value === 'string' && !/\p{Surrogate}/u.test(value);
      if (!TOKEN.test(name) || (value !== null && !isText)) throw malformed(`cookie "${name.slice(0, 64)}"`);
      return [name, { value, options: cookieOptionsOf(objectOf(options, 'options of a cookie')) }];
    }),
  );
}

function cookieOptionsOf(options: Members): RaCookie['options'] {
  const known = Object.entries(COOKIE_OPTIONS).flatMap(([name, isRight]): readonly [string, unknown][] => {
    const value = Object.hasOwn(options, name) ? (options[name] ?? undefined) : undefined;
    if (value === undefined) return [];
    if (!isRight(value)) throw malformed(`option ${name} of a cookie`);
    return [[name, name === 'expires' ? new Date(value as string) : value]];
  });
  return Object.fromEntries(known);
}

function isBoolean(value: unknown): boolean {
  return typeof value === 'boolean';
}

function objectOf(value: unknown, what: string): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(what);
  if (Object.keys(value).length > MAX_MEMBERS) throw malformed(`${what} has too many members`);
  return value as Members;
}

function malformed(what: string): PeerError {
  return new PeerError('ERR_MALFORMED_MESSAGE', `The RA message is malformed: ${what}`);
}
