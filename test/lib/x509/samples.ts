/** Certificates made on the spot: with the house's builder, and by hand where it would refuse. */
import { generateKeyPairSync, type KeyPairKeyObjectResult } from 'node:crypto';
import { type CertificateTemplate, issueCertificate } from '../../../lib/x509/certificate-builder.ts';
import { bitString, element, integer, objectIdentifier, sequence, time } from '../../../lib/x509/der-writer.ts';
import { parseDistinguishedName } from '../../../lib/x509/distinguished-name-writer.ts';

export const NOT_BEFORE = new Date('2026-01-02T03:04:05Z');
export const NOT_AFTER = new Date('2027-01-02T03:04:05Z');

export const ecKeys: KeyPairKeyObjectResult = generateKeyPairSync('ec', { namedCurve: 'P-256' });

export function selfSigned(changes: Partial<CertificateTemplate> = {}): Uint8Array {
  return issueCertificate({
    issuer: 'self',
    privateKey: ecKeys.privateKey,
    publicKey: ecKeys.publicKey,
    subjectDN: 'CN=Test CA,O=Example,C=SE',
    notBefore: NOT_BEFORE,
    notAfter: NOT_AFTER,
    ca: true,
    keyUsage: ['keyCertSign', 'cRLSign'],
    ...changes,
  });
}

/** Parts of a TBSCertificate, DER, to be exchanged one by one. */
export interface Parts {
  readonly version: Uint8Array;
  readonly serialNumber: Uint8Array;
  readonly issuer: Uint8Array;
  readonly validity: Uint8Array;
  readonly subject: Uint8Array;
  readonly spki: Uint8Array;
  /** What follows the key. */
  readonly rest: Uint8Array;
}

const ALGORITHM = sequence(objectIdentifier('1.2.840.10045.4.3.2'));
const NOTHING = new Uint8Array(0);

/** A certificate nobody signed. */
export function assemble(parts: Partial<Parts> = {}): Uint8Array {
  const name = parseDistinguishedName('CN=odd');
  const tbs = sequence(
    parts.version ?? element(0xa0, integer(2)),
    parts.serialNumber ?? integer(1),
    ALGORITHM,
    parts.issuer ?? name,
    parts.validity ?? sequence(time(NOT_BEFORE), time(NOT_AFTER)),
    parts.subject ?? name,
    parts.spki ?? ecKeys.publicKey.export({ type: 'spki', format: 'der' }),
    parts.rest ?? NOTHING,
  );
  return sequence(tbs, ALGORITHM, bitString(Uint8Array.of(1, 2, 3)));
}
