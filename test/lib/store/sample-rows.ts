/** Rows to write: plausible ones, odd ones, and states of one certificate in every combination. */
import { createHash, randomBytes } from 'node:crypto';
import { CERTIFICATE_STATUS, CERTIFICATE_TYPE, type CertificateData } from '../../../lib/store/certificate-data.ts';
import { encodeRow } from '../../../lib/store/certificate-row.ts';

export const ISSUER = 'CN=Issuing CA,O=Test,C=SE';
export const OTHER_ISSUER = 'CN=Other CA,O=Test,C=SE';
export const NOW = Date.UTC(2026, 0, 1);

/** A row of its own certificate, active; the certificate is not in it. */
export function rowOf(changes: Partial<CertificateData> = {}): CertificateData {
  return {
    fingerprint: randomBytes(20).toString('hex'),
    issuerDN: ISSUER,
    subjectDN: 'CN=Räksmörgås,O=Test,C=SE',
    serialNumber: BigInt(`0x11${randomBytes(15).toString('hex')}`).toString(),
    status: CERTIFICATE_STATUS.active,
    revocationReason: -1,
    revocationDate: -1,
    updateTime: NOW,
    expireDate: NOW + 31_536_000_000,
    notBefore: NOW - 86_400_000,
    caFingerprint: '0123456789abcdef0123456789abcdef01234567',
    subjectKeyId: Buffer.alloc(20, 7).toString('base64'),
    type: CERTIFICATE_TYPE.endEntity,
    tag: null,
    crlPartitionIndex: 0,
    certificateProfileId: 1,
    username: 'host',
    certificate: null,
    ...changes,
  };
}

/** A row whose certificate is some bytes; a store looks at nothing but their SHA-1. */
export function rowWithBody(bytes = 700, changes: Partial<CertificateData> = {}): CertificateData {
  const certificate = new Uint8Array(randomBytes(bytes));
  return rowOf({ fingerprint: createHash('sha1').update(certificate).digest('hex'), certificate, ...changes });
}

export const REVOKED = {
  status: CERTIFICATE_STATUS.revoked,
  revocationReason: 1,
  revocationDate: NOW + 1_000,
} as const;
export const ON_HOLD = { ...REVOKED, revocationReason: 6 } as const;
export const ARCHIVED_REVOKED = { ...REVOKED, status: CERTIFICATE_STATUS.archived } as const;

/** Rows one behind the other. */
export function encodeRows(rows: readonly CertificateData[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(rows.map(encodeRow)));
}

/** A number generator that gives the same numbers for the same seed. */
export function seededRandom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * below);
  };
}

/** In another order. */
export function shuffled<T>(items: readonly T[], random: (below: number) => number): readonly T[] {
  const mixed = [...items];
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = random(last + 1);
    [mixed[last], mixed[other]] = [mixed[other] as T, mixed[last] as T];
  }
  return mixed;
}

/** Some state of a certificate: all kinds of status, few times so that they collide, with and without body. */
export function randomState(base: CertificateData, random: (below: number) => number): CertificateData {
  const kinds = [
    {},
    REVOKED,
    ON_HOLD,
    ARCHIVED_REVOKED,
    { status: CERTIFICATE_STATUS.archived },
    { revocationReason: 8 },
  ];
  return {
    ...base,
    ...kinds[random(kinds.length)],
    updateTime: NOW + random(4),
    username: `user ${random(3)}`,
    certificate: random(2) === 0 ? null : base.certificate,
  };
}
