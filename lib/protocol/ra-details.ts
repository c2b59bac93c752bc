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
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const CONTROLS = /[\x00-\x08\x0a-\x1f\x7f]/;

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

/** @throws PeerError ERR_MALFORMED_MESSAGE */
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
  if (depthOf(text) > MAX_JSON_DEPTH) throw malformed('the JSON is nested too deeply');
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PeerError('ERR_MALFORMED_MESSAGE', 'The content is not JSON', { cause });
  }
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
    const isRight = values.every((each) => typeof each === 'string' && !CONTROLS.test(each));
    if (!TOKEN.test(name) || !isRight) throw malformed(`header "${name.slice(0, 64)}"`);
  }
  return headers as RaAnswer['headers'];
}

function cookiesOf(cookies: Members): RaAnswer['cookies'] {
  return Object.fromEntries(
    Object.entries(cookies).map(([name, cookie]): [string, RaCookie] => {
      const { value, options } = objectOf(cookie, 'cookie');
      if (!TOKEN.test(name) || (value !== null && typeof value !== 'string')) throw malformed('cookie');
      return [name, { value, options: objectOf(options, 'options of a cookie') }];
    }),
  );
}

function objectOf(value: unknown, what: string): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(what);
  if (Object.keys(value).length > MAX_MEMBERS) throw malformed(`${what} has too many members`);
  return value as Members;
}

function malformed(what: string): PeerError {
  return new PeerError('ERR_MALFORMED_MESSAGE', `The RA message is malformed: ${what}`);
}
