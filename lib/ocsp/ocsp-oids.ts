/** Object identifiers of OCSP (RFC 6960 4.4). */
import { oidKeyFromDotted } from '../x509/object-identifier.ts';

function named(dotted: string) {
  return { dotted, key: oidKeyFromDotted(dotted) } as const;
}

/** Dotted, and as a key: one character per content octet. */
export const OCSP_OID = {
  basicResponse: named('1.3.6.1.5.5.7.48.1.1'),
  nonce: named('1.3.6.1.5.5.7.48.1.2'),
  acceptableResponses: named('1.3.6.1.5.5.7.48.1.4'),
  archiveCutoff: named('1.3.6.1.5.5.7.48.1.6'),
  preferredSignatureAlgorithms: named('1.3.6.1.5.5.7.48.1.8'),
  extendedRevoke: named('1.3.6.1.5.5.7.48.1.9'),
} as const;
