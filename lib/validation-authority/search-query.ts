/** What a search asks for (RFC 4387 2.1, 2.2; EJBCA, Certificate Store Access via HTTP). */
import { PeerError } from '../errors.ts';
import type { CaQuery, CrlQuery } from '../store/crl-data.ts';

/** Attribute → what it is looked for by. */
const ATTRIBUTES = {
  iHash: (value: string): CaQuery => ({ issuerHash: hashOf('iHash', value) }),
  sHash: (value: string): CaQuery => ({ subjectHash: hashOf('sHash', value) }),
  sKIDHash: (value: string): CaQuery => ({ keyId: hashOf('sKIDHash', value) }),
  name: (value: string): CaQuery => ({ name: value }),
} as const satisfies Record<string, (value: string) => CaQuery>;

type Attribute = keyof typeof ATTRIBUTES;
const NAMES = Object.keys(ATTRIBUTES) as readonly Attribute[];
const MAX_VALUE_LENGTH = 1_000;
const MAX_PARTITION = 2 ** 31 - 1;

/**
 * The question for CA certificates.
 *
 * @param url path and query
 * @throws PeerError ERR_INVALID_INPUT unless it holds exactly one attribute with a proper value
 */
export function caQueryOf(url: string): CaQuery {
  return attributeOf(parametersOf(url));
}

/** The question for a CRL; `delta` and `partition` are EJBCA's. @throws PeerError ERR_INVALID_INPUT */
export function crlQueryOf(url: string): CrlQuery {
  const parameters = parametersOf(url);
  const partition = parameters.get('partition') ?? '0';
  if (!/^\d{1,10}$/.test(partition) || Number(partition) > MAX_PARTITION)
    throw new PeerError('ERR_INVALID_INPUT', 'The partition is not a number');
  return {
    ...attributeOf(parameters),
    crlPartitionIndex: Number(partition),
    isDelta: parameters.has('delta') && parameters.get('delta') !== 'false',
  };
}

function parametersOf(url: string): URLSearchParams {
  const start = url.indexOf('?');
  return new URLSearchParams(start === -1 ? '' : url.slice(start + 1));
}

function attributeOf(parameters: URLSearchParams): CaQuery {
  const given = NAMES.flatMap((name) => parameters.getAll(name).map((value) => ({ name, value })));
  const [only] = given;
  if (only === undefined || given.length > 1 || only.value === '' || only.value.length > MAX_VALUE_LENGTH)
    throw new PeerError('ERR_INVALID_INPUT', `Ask by exactly one of ${NAMES.join(', ')}`);
  return ATTRIBUTES[only.name](only.value);
}

/** Base64 of SHA-1 without its padding; a `+` that was not encoded arrives as a blank. Nothing else may stand there. */
function hashOf(name: string, value: string): Uint8Array {
  const base64 = value.replaceAll(' ', '+').replace(/=$/, '');
  if (!/^[A-Za-z0-9+/]{27}$/.test(base64))
    throw new PeerError('ERR_INVALID_INPUT', `${name} is not the base64 form of a SHA-1 hash`);
  return Buffer.from(base64, 'base64');
}
