/**
 * OCSP requests as bytes, sound or not, and responses taken apart again, by means that the responder does not use.
 */
import assert from 'node:assert/strict';
import { createPublicKey, hash, verify, X509Certificate } from 'node:crypto';
import { readCertificate } from '../../../lib/x509/certificate.ts';
import { DerCursor, TAG } from '../../../lib/x509/der.ts';
import { readTime } from '../../../lib/x509/der-time.ts';
import { explicit, integer, nullValue, objectIdentifier, octetString, sequence } from '../../../lib/x509/der-writer.ts';
import { extension } from '../../../lib/x509/extension-writer.ts';
import { publicKeyBits } from '../../../lib/x509/public-key-bits.ts';

/** Hash algorithms of CertIDs: OpenSSL's name and object identifier. */
export const HASHES = {
  sha1: '1.3.14.3.2.26',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  sha512: '2.16.840.1.101.3.4.2.3',
} as const;

export const NONCE = '1.3.6.1.5.5.7.48.1.2';

/** A CertID; `parameters` go with the algorithm. */
export function certId(
  ca: Uint8Array,
  serialNumber: string | Uint8Array,
  { algorithm = 'sha1' as keyof typeof HASHES, parameters = nullValue() as Uint8Array } = {},
): Uint8Array {
  const { subjectDer, spki } = readCertificate(ca);
  return sequence(
    sequence(objectIdentifier(HASHES[algorithm]), parameters),
    octetString(hash(algorithm, subjectDer, 'buffer')),
    octetString(hash(algorithm, publicKeyBits(spki), 'buffer')),
    integer(typeof serialNumber === 'string' ? BigInt(serialNumber) : serialNumber),
  );
}

/** A request for these CertIDs. */
export function ocspRequest(
  certIds: readonly Uint8Array[],
  options: {
    readonly nonce?: Uint8Array;
    readonly extensions?: readonly Uint8Array[];
    readonly before?: readonly Uint8Array[];
    readonly after?: readonly Uint8Array[];
    readonly single?: readonly Uint8Array[];
  } = {},
): Uint8Array {
  const { nonce, extensions = [], before = [], after = [], single = [] } = options;
  const all = nonce === undefined ? extensions : [...extensions, extension(NONCE, false, octetString(nonce))];
  const list = sequence(...certIds.map((each) => sequence(each, ...single)));
  const tbs = sequence(...before, list, ...(all.length === 0 ? [] : [explicit(2, sequence(...all))]));
  return sequence(tbs, ...after);
}

/** One certificate of an answer. */
export interface SingleAnswer {
  readonly certId: Buffer;
  readonly kind: 'good' | 'revoked' | 'unknown';
  readonly revocationTime: number | undefined;
  readonly reason: number | undefined;
  readonly thisUpdate: number;
  readonly nextUpdate: number | undefined;
  readonly archiveCutoff: number | undefined;
}

/** A response taken apart. */
export interface Answer {
  /** 0 = successful. */
  readonly status: number;
  readonly responderId: Buffer;
  readonly producedAt: number;
  readonly singles: readonly SingleAnswer[];
  readonly nonce: Buffer | undefined;
  /** Dotted would be nicer; hex of the content octets. */
  readonly extensions: readonly string[];
  readonly data: Buffer;
  readonly signature: Buffer;
  readonly certificates: readonly Buffer[];
}

const timeAt = (cursor: DerCursor): number => {
  assert.equal(cursor.tag, TAG.generalizedTime);
  assert.match(cursor.text('latin1'), /^\d{14}Z$/);
  return readTime(cursor.bytes, cursor.tag, cursor.contentStart, cursor.contentEnd);
};

const next = (cursor: DerCursor, tag: number): DerCursor => {
  cursor.expect(tag);
  return cursor.enter();
};

/** The status of a response that is not an answer. */
export function statusOf(der: Uint8Array): number {
  const fields = next(new DerCursor(der), TAG.sequence);
  fields.expect(TAG.enumerated);
  return fields.content()[0] ?? -1;
}

/** Reads a response. */
export function readAnswer(der: Uint8Array): Answer {
  assert.equal(statusOf(der), 0, `the response has status ${statusOf(der)}`);
  const fields = next(new DerCursor(der), TAG.sequence);
  fields.expect(TAG.enumerated);
  const bytes = next(next(fields, 0xa0), TAG.sequence);
  bytes.expect(TAG.objectIdentifier);
  bytes.expect(TAG.octetString);
  const basic = next(bytes.enter(), TAG.sequence);
  basic.expect(TAG.sequence);
  const data = Buffer.from(basic.element());
  const tbs = basic.enter();
  basic.expect(TAG.sequence);
  basic.expect(TAG.bitString);
  const signature = Buffer.from(basic.content().subarray(1));
  const certificates: Buffer[] = [];
  if (basic.read()) {
    const list = next(basic.enter(), TAG.sequence);
    while (list.read()) certificates.push(Buffer.from(list.element()));
  }
  tbs.read();
  const responderId = Buffer.from(tbs.element());
  tbs.expect(TAG.generalizedTime);
  const producedAt = timeAt(tbs);
  const list = next(tbs, TAG.sequence);
  const singles: SingleAnswer[] = [];
  while (list.read()) singles.push(readSingle(list.enter()));
  const found = tbs.read() ? readExtensions(next(tbs.enter(), TAG.sequence)) : new Map<string, DerCursor>();
  const nonce = found.get('2b0601050507300102');
  nonce?.expect(TAG.octetString);
  return {
    status: 0,
    responderId,
    producedAt,
    singles,
    nonce: nonce === undefined ? undefined : Buffer.from(nonce.content()),
    extensions: [...found.keys()],
    data,
    signature,
    certificates,
  };
}

function readSingle(fields: DerCursor): SingleAnswer {
  fields.expect(TAG.sequence);
  const certIdBytes = Buffer.from(fields.element());
  fields.read();
  const kind = ({ 128: 'good', 161: 'revoked', 130: 'unknown' } as const)[fields.tag as 0x80];
  assert.ok(kind !== undefined);
  const { revocationTime, reason } = readRevoked(fields.enter());
  fields.expect(TAG.generalizedTime);
  const thisUpdate = timeAt(fields);
  let nextUpdate: number | undefined;
  let archiveCutoff: number | undefined;
  while (fields.read()) {
    const inner = fields.enter();
    if (fields.tag === 0xa0) {
      inner.expect(TAG.generalizedTime);
      nextUpdate = timeAt(inner);
    } else {
      const cutoff = readExtensions(next(inner, TAG.sequence)).get('2b0601050507300106');
      cutoff?.expect(TAG.generalizedTime);
      archiveCutoff = cutoff === undefined ? undefined : timeAt(cutoff);
    }
  }
  return { certId: certIdBytes, kind, revocationTime, reason, thisUpdate, nextUpdate, archiveCutoff };
}

function readRevoked(fields: DerCursor): { revocationTime: number | undefined; reason: number | undefined } {
  if (!fields.read()) return { revocationTime: undefined, reason: undefined };
  const revocationTime = timeAt(fields);
  if (!fields.read()) return { revocationTime, reason: undefined };
  const reason = fields.enter();
  reason.expect(TAG.enumerated);
  return { revocationTime, reason: reason.content()[0] };
}

function readExtensions(list: DerCursor): Map<string, DerCursor> {
  const found = new Map<string, DerCursor>();
  while (list.read()) {
    const fields = list.enter();
    fields.expect(TAG.objectIdentifier);
    const oid = fields.text('hex');
    fields.expect(TAG.octetString);
    found.set(oid, fields.enter());
  }
  return found;
}

/** Whether an answer is signed with the key of this certificate. */
export function isSignedBy({ data, signature }: Answer, certificate: Uint8Array): boolean {
  const { publicKey } = new X509Certificate(certificate);
  const curve = publicKey.asymmetricKeyDetails?.namedCurve;
  const digest = publicKey.asymmetricKeyType === 'ed25519' ? null : curve === 'secp384r1' ? 'sha384' : 'sha256';
  return verify(digest, data, createPublicKey(publicKey.export({ type: 'spki', format: 'pem' })), signature);
}
