/**
 * CRLs of any size and any fault, written and signed here; what openssl makes is for the tests of foreign programs.
 */
import { hash, randomBytes } from 'node:crypto';
import { readCertificate } from '../../lib/x509/certificate.ts';
import {
  bitString,
  boolean,
  element,
  enumerated,
  explicit,
  implicit,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  time,
} from '../../lib/x509/der-writer.ts';
import { authorityKeyIdentifier, extension } from '../../lib/x509/extension-writer.ts';
import { integerFromDecimal } from '../../lib/x509/serial-number.ts';
import { signatureAlgorithmOf, signWith } from '../../lib/x509/signature-algorithm.ts';
import { type Credential, daysFromNow } from './test-pki.ts';

/** One revoked certificate. */
export interface Entry {
  /** Decimal. */
  readonly serialNumber: string;
  readonly date?: Date;
  /** Default: none. */
  readonly reason?: number;
  /** Further extensions, DER. */
  readonly extensions?: readonly Uint8Array[];
}

/** What a test wants of a CRL; what it does not name is as it should be. */
export interface CrlTemplate {
  readonly issuer: Credential;
  /** Decimal; null = none. Default '1'. */
  readonly number?: string | null;
  /** BaseCRLNumber of a delta CRL. */
  readonly base?: string;
  readonly thisUpdate?: Date;
  /** null = none. */
  readonly nextUpdate?: Date | null;
  /** URIs of the issuing distribution point. */
  readonly distributionPoint?: readonly string[];
  readonly entries?: readonly Entry[] | Uint8Array;
  /** Default: the key identifier of the issuer. */
  readonly keyId?: Uint8Array | null;
  /** Further extensions, DER. */
  readonly extensions?: readonly Uint8Array[];
  /** Signs in place of the issuer. */
  readonly signer?: Credential;
  /** Default 2; 1 leaves the version out. */
  readonly version?: 1 | 2;
}

/** Makes a CRL, DER. */
export function makeCrl(template: CrlTemplate): Buffer {
  const { issuer, thisUpdate = daysFromNow(0), nextUpdate = daysFromNow(7), version = 2 } = template;
  const signer = template.signer ?? issuer;
  const algorithm = signatureAlgorithmOf(signer.privateKey).identifier;
  const entries = entriesOf(template.entries ?? []);
  const extensions = extensionsOf(template);
  const tbs = sequence(
    ...(version === 2 ? [integer(1)] : []),
    algorithm,
    readCertificate(issuer.certificate).subjectDer,
    time(thisUpdate),
    ...(nextUpdate === null ? [] : [time(nextUpdate)]),
    ...(entries.length === 0 ? [] : [sequence(entries)]),
    ...(extensions.length === 0 ? [] : [explicit(0, sequence(...extensions))]),
  );
  return Buffer.from(sequence(tbs, algorithm, bitString(signWith(signer.privateKey, tbs))));
}

function entriesOf(entries: readonly Entry[] | Uint8Array): Uint8Array {
  return entries instanceof Uint8Array ? entries : Buffer.concat(entries.map(entryOf));
}

function entryOf({ serialNumber, date = daysFromNow(-1), reason, extensions = [] }: Entry): Uint8Array {
  const all = [...(reason === undefined ? [] : [extension('2.5.29.21', false, enumerated(reason))]), ...extensions];
  return sequence(
    integer(integerFromDecimal(serialNumber)),
    time(date),
    ...(all.length === 0 ? [] : [sequence(...all)]),
  );
}

function extensionsOf(template: CrlTemplate): Uint8Array[] {
  const { issuer, number = '1', base, distributionPoint, keyId, extensions = [] } = template;
  const subjectKeyId = readCertificate((template.signer ?? issuer).certificate).subjectKeyId ?? '';
  const identifier = keyId === undefined ? Buffer.from(subjectKeyId, 'base64') : keyId;
  return [
    ...(identifier === null ? [] : [authorityKeyIdentifier(identifier)]),
    ...(number === null ? [] : [extension('2.5.29.20', false, integer(integerFromDecimal(number)))]),
    ...(base === undefined ? [] : [extension('2.5.29.27', true, integer(integerFromDecimal(base)))]),
    ...(distributionPoint === undefined ? [] : [issuingDistributionPoint(distributionPoint)]),
    ...extensions,
  ];
}

/** Issuing distribution point with these URIs, and further fields, DER. */
export function issuingDistributionPoint(uris: readonly string[], ...fields: readonly Uint8Array[]): Uint8Array {
  const names = uris.map((uri) => implicit(6, Buffer.from(uri)));
  const name = uris.length === 0 ? [] : [explicit(0, explicit(0, ...names))];
  return extension('2.5.29.28', true, sequence(...name, ...fields));
}

/**
 * Entries with serial numbers of 16 octets and a reason each, quickly: for CRLs of a million.
 *
 * The serial number of entry n is the first 16 octets of SHA-256 of n with the two upper bits `01`.
 */
export function manyEntries(count: number): Buffer {
  const one = entryOf({ serialNumber: (1n << 126n).toString(), reason: 1 });
  const bytes = Buffer.alloc(one.length * count);
  for (let n = 0; n < count; n++) {
    bytes.set(one, n * one.length);
    bytes.set(serialOf(n), n * one.length + 4);
  }
  return bytes;
}

/** Content octets of the serial number of entry n of `manyEntries`. */
export function serialOf(n: number): Buffer {
  const serial = hash('sha256', String(n), 'buffer').subarray(0, 16);
  serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f);
  return serial;
}

/** A critical extension that nobody knows. */
export const UNKNOWN_CRITICAL = extension('1.2.3.4', true, sequence(octetString(randomBytes(4))));

/** certificateIssuer, as the entries of an indirect CRL have it. */
export const CERTIFICATE_ISSUER = extension(
  '2.5.29.29',
  true,
  sequence(
    element(0xa4, sequence(element(0x31, sequence(objectIdentifier('2.5.4.3'), element(0x0c, Buffer.from('x')))))),
  ),
);

/** onlyContainsUserCerts of an issuing distribution point. */
export const ONLY_USERS = implicit(1, boolean(true).subarray(2));
