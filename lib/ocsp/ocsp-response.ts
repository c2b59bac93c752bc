/**
 * Writes OCSP responses (RFC 6960 4.2) by the house's own DER writer.
 *
 * Owns the bytes: what they say, and who signs them, is decided in `ocsp-responder.ts`.
 */
import { TAG } from '../x509/der.ts';
import {
  bitString,
  enumerated,
  explicit,
  generalizedTime,
  header,
  implicit,
  objectIdentifier,
  octetString,
  sequence,
} from '../x509/der-writer.ts';
import { extension } from '../x509/extension-writer.ts';
import type { CertStatus } from './cert-status.ts';
import { OCSP_OID } from './ocsp-oids.ts';

/** Values of OCSPResponseStatus (RFC 6960 4.2.1); `sigRequired` is never said here. */
const RESPONSE_STATUS = { successful: 0, malformedRequest: 1, internalError: 2, tryLater: 3, unauthorized: 6 } as const;

/** How a request ended. */
export type OcspResponseStatus = keyof typeof RESPONSE_STATUS;

/** How a request ended that is not answered. */
export type OcspErrorStatus = Exclude<OcspResponseStatus, 'successful'>;

/** The unsigned response that says why there is no answer. */
export function errorResponse(status: OcspErrorStatus): Uint8Array {
  return sequence(enumerated(RESPONSE_STATUS[status]));
}

/** What is said of one certificate. */
export interface SingleResponse {
  /** The CertID as it was asked. */
  readonly certId: Uint8Array;
  readonly status: CertStatus;
  /** Epoch milliseconds since when expired certificates are answered for (RFC 6960 4.4.4); undefined = nothing said. */
  readonly archiveCutoff: number | undefined;
}

/** What is signed. */
export interface ResponseData {
  /** DER, see `responderId`. */
  readonly responderId: Uint8Array;
  /** Epoch milliseconds; producedAt and thisUpdate. */
  readonly producedAt: number;
  /** Epoch milliseconds; undefined = newer information is always available. */
  readonly nextUpdate: number | undefined;
  readonly responses: readonly SingleResponse[];
  readonly nonce: Uint8Array | undefined;
}

/** ResponderID: the name of the signer, or the SHA-1 of its key's bits (RFC 6960 4.2.1). */
export function responderId(by: { readonly name: Uint8Array } | { readonly keyHash: Uint8Array }): Uint8Array {
  return 'name' in by ? explicit(1, by.name) : explicit(2, octetString(by.keyHash));
}

/** ResponseData, DER: the bytes to sign. */
export function writeResponseData(data: ResponseData): Uint8Array {
  const thisUpdate = timeOf(data.producedAt);
  const nextUpdate = data.nextUpdate === undefined ? [] : [explicit(0, timeOf(data.nextUpdate))];
  const responses = data.responses.map((single) => writeSingle(single, [thisUpdate, ...nextUpdate]));
  return sequence(data.responderId, thisUpdate, sequence(...responses), ...responseExtensions(data));
}

/** The whole successful response. `certificates` are those of the signer, DER. */
export function writeResponse(
  data: Uint8Array,
  algorithm: Uint8Array,
  signature: Uint8Array,
  certificates: Uint8Array,
): Uint8Array {
  const parts = [data, algorithm, bitString(signature), certificates];
  // Outside in: what goes before the parts, so that they are copied once only.
  const heads: Uint8Array[] = [];
  let length = parts.reduce((sum, part) => sum + part.length, 0);
  const wrap = (tag: number, before: Uint8Array = NONE): void => {
    length += before.length;
    const head = header(tag, length);
    heads.unshift(head, before);
    length += head.length;
  };
  wrap(TAG.sequence);
  wrap(TAG.octetString);
  wrap(TAG.sequence, BASIC);
  wrap(CONTEXT_0);
  wrap(TAG.sequence, SUCCESSFUL);
  return Buffer.concat([...heads, ...parts], length);
}

/** The field that holds the certificates; no bytes when there are none. */
export function certificatesField(certificates: readonly Uint8Array[]): Uint8Array {
  return certificates.length === 0 ? new Uint8Array(0) : explicit(0, sequence(...certificates));
}

const SUCCESSFUL = enumerated(RESPONSE_STATUS.successful);
const BASIC = objectIdentifier(OCSP_OID.basicResponse.dotted);
const NONCE = objectIdentifier(OCSP_OID.nonce.dotted);
const ARCHIVE_CUTOFF = objectIdentifier(OCSP_OID.archiveCutoff.dotted);
const CONTEXT_0 = 0xa0;
const NONE = new Uint8Array(0);
const GOOD = implicit(0, NONE);
const UNKNOWN = implicit(2, NONE);
/** RFC 6960 4.4.8: certificates that were never issued are called revoked here. */
const EXTENDED_REVOKE = extension(OCSP_OID.extendedRevoke.dotted, false, Uint8Array.of(0x05, 0x00));

function writeSingle({ certId, status, archiveCutoff }: SingleResponse, times: readonly Uint8Array[]): Uint8Array {
  if (archiveCutoff === undefined) return sequence(certId, writeStatus(status), ...times);
  const cutoff = sequence(ARCHIVE_CUTOFF, octetString(timeOf(archiveCutoff)));
  return sequence(certId, writeStatus(status), ...times, explicit(1, sequence(cutoff)));
}

function writeStatus({ kind, revocationDate, reason }: CertStatus): Uint8Array {
  if (kind === 'good') return GOOD;
  if (kind === 'unknown') return UNKNOWN;
  const since = timeOf(revocationDate);
  return reason < 0 ? explicit(1, since) : explicit(1, since, explicit(0, enumerated(reason)));
}

function responseExtensions({ nonce, responses }: ResponseData): Uint8Array[] {
  const extensions: Uint8Array[] = [];
  if (nonce !== undefined) extensions.push(sequence(NONCE, octetString(octetString(nonce))));
  if (responses.some(({ status }) => status.kind === 'revoked' && !status.isKnown)) extensions.push(EXTENDED_REVOKE);
  return extensions.length === 0 ? [] : [explicit(1, sequence(...extensions))];
}

/** 9999-12-31T23:59:59Z; a later time has no DER. */
const LAST_TIME = 253_402_300_799_000;
const times = new Map<number, Uint8Array>();
const MAX_TIMES = 1_000;

/** GeneralizedTime with seconds; the few that are written all the time are remembered. */
function timeOf(epochMs: number): Uint8Array {
  const second = Math.floor(Math.min(Math.max(epochMs, 0), LAST_TIME) / 1000);
  const known = times.get(second);
  if (known !== undefined) return known;
  const written = generalizedTime(new Date(second * 1000));
  if (times.size >= MAX_TIMES) times.clear();
  times.set(second, written);
  return written;
}
