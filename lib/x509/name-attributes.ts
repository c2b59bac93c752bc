/**
 * The attributes of distinguished names: EJBCA's symbol for each, the names it is also known by,
 * its place in EJBCA's order, and the string type it is issued in.
 *
 * @see EJBCA, Subject Distinguished Names; dncomponents.properties.sample
 */
import { oidKey, oidKeyFromDotted } from './object-identifier.ts';

/** String type a value is encoded in; `utf8` where RFC 5280 leaves the choice. */
export type NameEncoding = 'utf8' | 'printable' | 'ia5';

/** One attribute type. */
export interface NameAttribute {
  /** Dotted object identifier. */
  readonly oid: string;
  /** How EJBCA prints it. */
  readonly symbol: string;
  /** Place in EJBCA's order, from 0; undefined = after all others, in the order of the certificate. */
  readonly rank: number | undefined;
  readonly encoding: NameEncoding;
}

type Row = readonly [oid: string, symbol: string, aliases?: string, encoding?: NameEncoding];

/** In EJBCA's order, front to back. */
const RANKED: readonly Row[] = [
  ['0.4.0.127.0.7.3.10.1.2', 'CertificationID'],
  ['2.5.4.13', 'description'],
  ['1.3.6.1.4.1.311.60.2.1.3', 'JurisdictionCountry', 'jurisdictionC', 'printable'],
  ['1.3.6.1.4.1.311.60.2.1.2', 'JurisdictionState', 'jurisdictionST'],
  ['1.3.6.1.4.1.311.60.2.1.1', 'JurisdictionLocality', 'jurisdictionL'],
  ['2.5.4.72', 'Role'],
  ['2.5.4.9', 'STREET', 'streetAddress'],
  ['2.5.4.65', 'Pseudonym'],
  ['2.5.4.20', 'TelephoneNumber', '', 'printable'],
  ['2.5.4.16', 'PostalAddress'],
  ['2.5.4.15', 'BusinessCategory'],
  ['2.5.4.17', 'PostalCode'],
  ['1.2.840.113549.1.9.8', 'unstructuredAddress'],
  ['1.2.840.113549.1.9.2', 'unstructuredName'],
  ['1.3.6.1.4.1.53087.1.5', 'legalEntityIdentifier'],
  ['1.3.6.1.4.1.53087.1.6', 'wordMark'],
  ['1.3.6.1.4.1.53087.5.1', 'priorUseMarkSourceURL'],
  ['1.3.6.1.4.1.53087.1.4', 'trademarkIdentifier'],
  ['1.3.6.1.4.1.53087.3.6', 'statuteURL'],
  ['1.3.6.1.4.1.53087.3.5', 'statuteCitation'],
  ['1.3.6.1.4.1.53087.1.2', 'trademarkOfficeName'],
  ['1.3.6.1.4.1.53087.3.4', 'statuteLocalityName'],
  ['1.3.6.1.4.1.53087.3.3', 'statuteStateOrProvinceName'],
  ['1.3.6.1.4.1.53087.1.3', 'trademarkCountryOrRegionName'],
  ['1.3.6.1.4.1.53087.3.2', 'statuteCountryName'],
  ['1.3.6.1.4.1.53087.1.13', 'markType'],
  ['1.2.840.113549.1.9.1', 'E', 'emailAddress email', 'ia5'],
  ['2.5.4.46', 'DN', 'dnQualifier', 'printable'],
  ['2.5.4.45', 'UniqueIdentifier'],
  ['0.9.2342.19200300.100.1.1', 'UID', 'userId'],
  ['1.3.6.1.4.1.37244.2.2', 'PID'],
  ['1.3.6.1.4.1.37244.2.1', 'VID'],
  ['2.5.4.3', 'CN', 'commonName'],
  ['1.3.6.1.4.1.37244.1.4', 'RCACID'],
  ['1.3.6.1.4.1.37244.1.3', 'ICACID'],
  ['1.3.6.1.4.1.37244.1.1', 'NODEID'],
  ['1.3.6.1.4.1.37244.1.5', 'FABRICID'],
  ['1.3.6.1.4.1.37244.1.6', 'NOCCAT'],
  ['1.3.6.1.4.1.37244.1.2', 'FWSIGNINGID'],
  ['2.5.4.41', 'Name'],
  ['2.5.4.5', 'SN', 'serialNumber', 'printable'],
  ['2.5.4.42', 'GIVENNAME', 'GN'],
  ['2.5.4.43', 'INITIALS'],
  ['2.5.4.4', 'SURNAME'],
  ['2.5.4.12', 'T', 'title'],
  ['2.5.4.11', 'OU', 'organizationalUnitName'],
  ['2.5.4.97', 'organizationIdentifier'],
  ['2.5.4.10', 'O', 'organizationName'],
  ['2.5.4.7', 'L', 'localityName'],
  ['2.5.4.8', 'ST', 'S stateOrProvinceName'],
  ['0.9.2342.19200300.100.1.25', 'DC', 'domainComponent', 'ia5'],
  ['2.5.4.6', 'C', 'countryName', 'printable'],
];

/** With a symbol of their own, but no place in the order. */
const UNRANKED: readonly Row[] = [
  ['2.5.4.44', 'GENERATION', 'generationQualifier'],
  ['1.3.36.8.3.14', 'NameAtBirth', 'nameOfBirth'],
  ['1.3.6.1.5.5.7.9.1', 'DateOfBirth'],
  ['1.3.6.1.5.5.7.9.2', 'PlaceOfBirth'],
  ['1.3.6.1.5.5.7.9.3', 'Gender', '', 'printable'],
  ['1.3.6.1.5.5.7.9.4', 'CountryOfCitizenship', '', 'printable'],
  ['1.3.6.1.5.5.7.9.5', 'CountryOfResidence', '', 'printable'],
];

const ROWS = [...RANKED, ...UNRANKED].map(([oid, symbol, aliases = '', encoding = 'utf8'], index) => ({
  attribute: { oid, symbol, rank: index < RANKED.length ? index : undefined, encoding } satisfies NameAttribute,
  names: [symbol, ...aliases.split(' ').filter((alias) => alias !== '')],
}));

const BY_OID_KEY: ReadonlyMap<string, NameAttribute> = new Map(
  ROWS.map(({ attribute }) => [oidKeyFromDotted(attribute.oid), attribute]),
);
const BY_NAME: ReadonlyMap<string, NameAttribute> = new Map(
  ROWS.flatMap(({ attribute, names }) => names.map((name) => [name.toLowerCase(), attribute])),
);

/** The attributes under 2.5.4, by their last octet: the usual ones, found without a string. */
const X520: readonly (NameAttribute | undefined)[] = Array.from({ length: 128 }, (_, last) =>
  BY_OID_KEY.get(String.fromCharCode(0x55, 0x04, last)),
);

/** The attribute whose object identifier has its content octets there. */
export function attributeAt(bytes: Uint8Array, start: number, end: number): NameAttribute | undefined {
  if (end - start === 3 && bytes[start] === 0x55 && bytes[start + 1] === 0x04) return X520[bytes[start + 2] ?? 0];
  return BY_OID_KEY.get(oidKey(bytes, start, end));
}

/** The attribute of this name, symbol or alias, whatever its case. */
export function attributeByName(name: string): NameAttribute | undefined {
  return BY_NAME.get(name.toLowerCase());
}
