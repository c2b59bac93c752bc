/** Reads the extensions of a CRL and of its entries (RFC 5280 5.2, 5.3). */
import { type DerCursor, DerError, TAG } from './der.ts';
import { dottedFromOid } from './object-identifier.ts';
import { revocationReasonName } from './revocation-reason.ts';
import { decimalFromInteger } from './serial-number.ts';

/** For which certificates and reasons a CRL speaks (RFC 5280 5.2.5). */
export interface IssuingDistributionPoint {
  /** The names of the distribution point, DER in hex; none where it has no name. */
  readonly names: readonly string[];
  /** `all`, or the one kind of certificates it is restricted to. */
  readonly only: 'all' | 'user' | 'ca' | 'attribute';
  /** Hex of the reasons it is restricted to; '' = all. */
  readonly onlySomeReasons: string;
  readonly indirect: boolean;
}

/** What the extensions of a CRL say. */
export interface CrlExtensions {
  /** Decimal (RFC 5280 5.2.3); null = none. */
  crlNumber: string | null;
  /** Decimal BaseCRLNumber of a delta CRL (RFC 5280 5.2.4); null = it is a full one. */
  deltaCrlIndicator: string | null;
  /** Base64 of the key identifier of the issuer (RFC 5280 5.2.1); null = none. */
  authorityKeyId: string | null;
  issuingDistributionPoint: IssuingDistributionPoint | null;
}

const MAX_NUMBER_OCTETS = 20;
const NUMBER = '2.5.29.20';
const DELTA_INDICATOR = '2.5.29.27';
const DISTRIBUTION_POINT = '2.5.29.28';
const AUTHORITY_KEY_ID = '2.5.29.35';
/** Understood as far as they need be: issuer's other names, freshest CRL, issuer's certificates, expired certificates. */
const HARMLESS: ReadonlySet<string> = new Set(['2.5.29.18', '2.5.29.46', '1.3.6.1.5.5.7.1.1', '2.5.29.60']);
const REASON_CODE = '2.5.29.21';
const CERTIFICATE_ISSUER = '2.5.29.29';
const HARMLESS_IN_ENTRY: ReadonlySet<string> = new Set(['2.5.29.24', '2.5.29.23']);

/** @throws DerError unless the element is DER: length in its shortest form and definite */
export function expectDer(cursor: DerCursor, tag: number): void {
  cursor.expect(tag);
  checkDer(cursor);
}

function checkDer({ start, contentStart, contentEnd, end }: DerCursor): void {
  const length = contentEnd - contentStart;
  let header = 2;
  for (let rest = length; length >= 0x80 && rest > 0; rest = Math.floor(rest / 256)) header += 1;
  if (end !== contentEnd || contentStart - start !== header) throw new DerError('a length that is not DER', start);
}

/**
 * Calls back for each extension of a list, with a cursor at the content of its OCTET STRING.
 *
 * @param list cursor at the SEQUENCE OF Extension
 * @throws DerError when it is not a list of extensions in DER, or one stands twice
 */
function eachExtension(list: DerCursor, onExtension: (oid: string, critical: boolean, value: DerCursor) => void): void {
  const seen = new Set<string>();
  const extensions = list.enter();
  if (!extensions.hasMore) throw new DerError('an empty list of extensions', list.start);
  while (extensions.hasMore) {
    expectDer(extensions, TAG.sequence);
    const fields = extensions.enter();
    expectDer(fields, TAG.objectIdentifier);
    const oid = dottedFromOid(fields.content());
    if (seen.has(oid)) throw new DerError(`the extension ${oid} stands twice`, extensions.start);
    seen.add(oid);
    const critical = readCritical(fields);
    expectDer(fields, TAG.octetString);
    if (fields.hasMore) throw new DerError('an extension with too many fields', fields.end);
    onExtension(oid, critical, fields.enter());
  }
}

/** The BOOLEAN before the value. `false` is the default and should not stand there, but does no harm. */
function readCritical(fields: DerCursor): boolean {
  if (fields.bytes[fields.end] !== TAG.boolean) return false;
  expectDer(fields, TAG.boolean);
  const [octet, ...more] = fields.content();
  if (more.length > 0 || (octet !== 0 && octet !== 0xff)) throw new DerError('a BOOLEAN that is not DER', fields.start);
  return octet === 0xff;
}

/**
 * Reads the extensions of a CRL.
 *
 * @param list cursor at the SEQUENCE OF Extension
 * @throws DerError also for a critical extension that is not known: such a CRL must not be used (RFC 5280 5.2)
 */
export function readCrlExtensions(list: DerCursor): CrlExtensions {
  const found: CrlExtensions = { ...NO_EXTENSIONS };
  eachExtension(list, (oid, critical, value) => {
    if (oid === NUMBER) found.crlNumber = readNumber(value);
    else if (oid === DELTA_INDICATOR) found.deltaCrlIndicator = readNumber(value);
    else if (oid === AUTHORITY_KEY_ID) found.authorityKeyId = readKeyId(value);
    else if (oid === DISTRIBUTION_POINT) found.issuingDistributionPoint = readDistributionPoint(value);
    else if (critical && !HARMLESS.has(oid)) throw new DerError(`an unknown critical extension ${oid}`, value.end);
  });
  return found;
}

/** What a CRL without extensions says. */
export const NO_EXTENSIONS: Readonly<CrlExtensions> = {
  crlNumber: null,
  deltaCrlIndicator: null,
  authorityKeyId: null,
  issuingDistributionPoint: null,
};

/**
 * Reads the extensions of an entry; gives its reason code, 0 = none given.
 *
 * @param list cursor at the SEQUENCE OF Extension
 * @throws DerError also for a critical extension that is not known, and for the entry of an indirect CRL
 */
export function readEntryExtensions(list: DerCursor): number {
  let reason = 0;
  eachExtension(list, (oid, critical, value) => {
    if (oid === REASON_CODE) reason = readReason(value);
    else if (oid === CERTIFICATE_ISSUER) throw new DerError('an entry of another issuer (indirect CRL)', value.end);
    else if (critical && !HARMLESS_IN_ENTRY.has(oid))
      throw new DerError(`an unknown critical entry extension ${oid}`, value.end);
  });
  return reason;
}

function readReason(value: DerCursor): number {
  expectDer(value, TAG.enumerated);
  const [code = -1, ...more] = value.content();
  if (more.length > 0 || value.hasMore || revocationReasonName(code) === undefined)
    throw new DerError('a reason code that does not exist', value.start);
  return code;
}

function readNumber(value: DerCursor): string {
  expectDer(value, TAG.integer);
  const content = value.content();
  const isShortest = content.length < 2 || content[0] !== 0 || (content[1] ?? 0) >= 0x80;
  const isPositive = content.length > 0 && (content[0] ?? 0) < 0x80;
  if (value.hasMore || !isPositive || !isShortest || content.length > MAX_NUMBER_OCTETS)
    throw new DerError('a CRL number that is not one', value.start);
  return decimalFromInteger(content);
}

function readKeyId(value: DerCursor): string | null {
  expectDer(value, TAG.sequence);
  const fields = value.enter();
  return fields.read() && fields.tag === 0x80 ? fields.text('base64') : null;
}

const DISTRIBUTION_POINT_NAME = 0xa0;
const ONLY: ReadonlyMap<number, 'user' | 'ca' | 'attribute'> = new Map([
  [0x81, 'user'],
  [0x82, 'ca'],
  [0x85, 'attribute'],
]);
const ONLY_SOME_REASONS = 0x83;
const INDIRECT = 0x84;

function readDistributionPoint(value: DerCursor): IssuingDistributionPoint {
  expectDer(value, TAG.sequence);
  const fields = value.enter();
  const found = { names: [] as string[], only: 'all' as IssuingDistributionPoint['only'], onlySomeReasons: '' };
  let indirect = false;
  let last = 0;
  while (fields.read()) {
    checkDer(fields);
    if ((fields.tag & 0x1f) < last) throw new DerError('an issuing distribution point out of order', fields.start);
    last = (fields.tag & 0x1f) + 1;
    const only = ONLY.get(fields.tag);
    if (fields.tag === DISTRIBUTION_POINT_NAME) found.names = readNames(fields);
    else if (fields.tag === ONLY_SOME_REASONS) found.onlySomeReasons = fields.text('hex');
    else if (fields.tag === INDIRECT) indirect = isTrue(fields);
    else if (only === undefined) throw new DerError('an unknown field of the distribution point', fields.start);
    else if (isTrue(fields)) found.only = onlyOne(found.only, only, fields.start);
  }
  return { ...found, indirect };
}

function onlyOne<T extends string>(before: T, now: T, at: number): T {
  if (before !== 'all') throw new DerError('a distribution point for two kinds of certificates', at);
  return now;
}

function isTrue(field: DerCursor): boolean {
  return field.content().some((octet) => octet !== 0);
}

/** `fullName [0]` gives each of its names, `nameRelativeToCRLIssuer [1]` itself. */
function readNames(name: DerCursor): string[] {
  const choice = name.enter();
  choice.read();
  if (choice.tag !== 0xa0) return [choice.hex()];
  const names: string[] = [];
  const each = choice.enter();
  while (each.read()) names.push(each.hex());
  return names;
}
