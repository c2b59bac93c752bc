/**
 * Reads what a certificate says its key may be used for (RFC 5280 4.2.1.3, 4.2.1.12).
 *
 * Unlike `certificate-extensions.ts`, which overlooks junk because every certificate must be carried, this refuses
 * it: who is about to sign with a key wants to know.
 */
import { PeerError } from '../errors.ts';
import { DerCursor, DerError, TAG } from './der.ts';
import { KEY_USAGES, type KeyUsage } from './extension-writer.ts';
import { dottedFromOid } from './object-identifier.ts';

/** What a key may be used for. */
export interface CertificateUsages {
  /** undefined = nothing is said, which allows all. */
  readonly keyUsage: readonly KeyUsage[] | undefined;
  /** Dotted object identifiers; undefined = nothing is said. */
  readonly extendedKeyUsage: readonly string[] | undefined;
}

/** Object identifier of the extended key usage OCSPSigning (RFC 6960 4.2.2.2). */
export const OCSP_SIGNING = '1.3.6.1.5.5.7.3.9';

const KEY_USAGE = '2.5.29.15';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const EXTENSIONS = 0xa3;
const MAX_EXTENSIONS = 100;

/**
 * Reads the usages of a DER certificate.
 *
 * @throws PeerError ERR_INVALID_CERTIFICATE when the extensions cannot be walked or one of the two stands twice
 */
export function readUsages(certificate: Uint8Array): CertificateUsages {
  try {
    const values = extensionsOf(certificate, [KEY_USAGE, EXTENDED_KEY_USAGE]);
    const keyUsage = values.get(KEY_USAGE);
    const extendedKeyUsage = values.get(EXTENDED_KEY_USAGE);
    return {
      keyUsage: keyUsage && readKeyUsage(keyUsage),
      extendedKeyUsage: extendedKeyUsage && readPurposes(extendedKeyUsage),
    };
  } catch (cause) {
    if (!(cause instanceof DerError)) throw cause;
    throw invalid(cause.message, cause);
  }
}

/** DER of the values of the wanted extensions. */
function extensionsOf(certificate: Uint8Array, wanted: readonly string[]): ReadonlyMap<string, Uint8Array> {
  const values = new Map<string, Uint8Array>();
  const tbs = new DerCursor(certificate);
  tbs.expect(TAG.sequence);
  tbs.moveInto(tbs);
  tbs.expect(TAG.sequence);
  tbs.moveInto(tbs);
  while (tbs.read() && tbs.tag !== EXTENSIONS);
  if (tbs.tag !== EXTENSIONS) return values;
  tbs.moveInto(tbs);
  tbs.expect(TAG.sequence);
  const extensions = tbs.enter();
  for (let count = 0; extensions.read(); count++) {
    if (count >= MAX_EXTENSIONS) throw invalid(`more than ${MAX_EXTENSIONS} extensions`);
    const [oid, value] = readExtension(extensions.enter());
    if (!wanted.includes(oid)) continue;
    if (values.has(oid)) throw invalid(`the extension ${oid} stands twice`);
    values.set(oid, value);
  }
  return values;
}

function readExtension(fields: DerCursor): readonly [oid: string, value: Uint8Array] {
  fields.expect(TAG.objectIdentifier);
  const oid = dottedFromOid(fields.content());
  fields.read();
  if (fields.tag === TAG.boolean) fields.read();
  if (fields.tag !== TAG.octetString) throw new DerError('no value of an extension', fields.start);
  return [oid, fields.content()];
}

function readKeyUsage(value: Uint8Array): readonly KeyUsage[] {
  const cursor = new DerCursor(value);
  cursor.expect(TAG.bitString);
  const octets = cursor.content().subarray(1);
  return KEY_USAGES.filter((_, bit) => ((octets[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0);
}

function readPurposes(value: Uint8Array): readonly string[] {
  const cursor = new DerCursor(value);
  cursor.expect(TAG.sequence);
  const purposes = cursor.enter();
  const oids: string[] = [];
  while (purposes.read() && oids.length < MAX_EXTENSIONS) oids.push(dottedFromOid(purposes.content()));
  return oids;
}

function invalid(what: string, cause?: unknown): PeerError {
  return new PeerError('ERR_INVALID_CERTIFICATE', `The usages of the certificate are not readable: ${what}`, { cause });
}
