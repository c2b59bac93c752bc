/**
 * What a store keeps of CRLs: the latest full and the latest delta CRL of each CA and partition.
 *
 * Owns the shapes: of a row, of what is asked, of what a database must be able to do for it (`CrlTables`).
 *
 * @see EJBCA, table CRLData
 */

import type { CaScope } from '../x509/ca-scope.ts';
import type { IssuingDistributionPoint } from '../x509/crl-extensions.ts';
import type { RevokedEntry } from '../x509/crl-index.ts';

/** One CRL without its bytes, in EJBCA's names, spelling and units. */
export interface CrlData {
  /** SHA-1 of the DER, 40 lower-case hex digits. */
  readonly fingerprint: string;
  readonly issuerDN: string;
  /** 0 = the main CRL. */
  readonly crlPartitionIndex: number;
  /** Decimal, up to 20 octets; '-1' = the CRL has none. */
  readonly cRLNumber: string;
  /** Decimal BaseCRLNumber of a delta CRL; '-1' = it is a full one. */
  readonly deltaCRLIndicator: string;
  /** Epoch milliseconds. */
  readonly thisUpdate: number;
  /** Epoch milliseconds. */
  readonly nextUpdate: number;
  /** Fingerprint of the CA certificate that its signature was checked against; null = the store had none. */
  readonly cAFingerprint: string | null;
  /** Bytes of the DER. */
  readonly size: number;
  /** Revoked certificates on it. */
  readonly entries: number;
}

/** A row with what it is found and judged by. */
export interface StoredCrl extends CrlData {
  /** SHA-1 of the DER of the issuer's name: `iHash` of RFC 4387. */
  readonly issuerHash: Uint8Array;
  /** Key identifier of the issuer; null = the CRL names none. */
  readonly authorityKeyId: Uint8Array | null;
  readonly issuingDistributionPoint: IssuingDistributionPoint | null;
}

/** What others see of a row. */
export function crlDataOf(row: StoredCrl): CrlData {
  const { issuerHash: _, authorityKeyId: __, issuingDistributionPoint: ___, ...crl } = row;
  return crl;
}

/** Where a CRL is read from: a file that its owner keeps until the answer, or memory. */
export type CrlInput = { readonly file: string } | { readonly bytes: Uint8Array };

/** By what a CA is looked for (RFC 4387 2.2). Exactly one is given. */
export interface CaQuery {
  readonly issuerDN?: string;
  /** SHA-1 of the DER of the issuer's name. */
  readonly issuerHash?: Uint8Array;
  /** SHA-1 of the DER of the subject's name. */
  readonly subjectHash?: Uint8Array;
  /** The key identifier of the CA, as EJBCA asks, or SHA-1 of it, as RFC 4387 does. */
  readonly keyId?: Uint8Array;
  /** Common name of the CA. */
  readonly name?: string;
}

/** Which CRL. */
export interface CrlQuery extends CaQuery {
  /** Default 0. */
  readonly crlPartitionIndex?: number;
  /** Default false. */
  readonly isDelta?: boolean;
}

/** A CA certificate with what it is found by. */
export interface CaCertificate {
  readonly fingerprint: string;
  readonly certificate: Uint8Array;
}

/** What became of a CRL that was written. */
export interface CrlVerdict {
  /** `unchanged`: it was there already. */
  readonly verdict: 'stored' | 'unchanged';
  readonly crl: CrlData;
  /** When marks were ordered: their sequence. */
  readonly sequence?: number;
}

/** What the CRLs of a store say of one certificate. */
export interface CrlAnswer {
  /** The CRL that decided: the delta CRL where it has the certificate, else the full one. */
  readonly crl: CrlData;
  /** null = not revoked, as far as this CRL speaks for the certificate. */
  readonly entry: RevokedEntry | null;
}

/** How a CRL is written. */
export interface CrlWriteOptions {
  /** The CAs the writer may write for. */
  readonly scope: CaScope;
  /** 0 = the main CRL. */
  readonly crlPartitionIndex: number;
  /** Peers to put on the publisher queue for this CRL in the same transaction, one that is there already too. */
  readonly marks?: readonly string[];
}

/** The CRLs of a store. Every call may fail with ERR_STORE_UNAVAILABLE, ERR_STORE_FULL. */
export interface CrlStore {
  /**
   * Reads, judges and stores a CRL; answers after the commit has reached the disk. The CRL that stood before
   * stands until then.
   *
   * @throws PeerError ERR_INVALID_CRL malformed, not understood, not signed by the CA, of another distribution point;
   *   ERR_CRL_TOO_OLD expired, or its number or thisUpdate is not after the one that stands; ERR_CRL_BASE_MISSING;
   *   ERR_NOT_AUTHORIZED; ERR_TOO_LARGE; ERR_INVALID_CONFIG where the store cannot be written
   */
  write(input: CrlInput, options: CrlWriteOptions): Promise<CrlVerdict>;
  /** The latest one, or undefined. Of several CAs with one name or key, the one issued last. */
  find(query: CrlQuery): Promise<CrlData | undefined>;
  /** The CRL with this fingerprint; undefined = it is not there, or another one has taken its place. */
  findByFingerprint(fingerprint: string): Promise<CrlData | undefined>;
  /** All of them, by issuer, partition, full before delta; at most 10,000. */
  list(): Promise<readonly CrlData[]>;
  /**
   * A piece of the DER, at most CRL_CHUNK_BYTES long.
   *
   * @param position a multiple of CRL_CHUNK_BYTES
   * @returns undefined when there is none: another CRL has taken its place
   */
  read(fingerprint: string, position: number): Promise<Uint8Array | undefined>;
  /** What the CRLs of a CA say of a certificate; undefined = there is no CRL of it. */
  findRevoked(issuerDN: string, serialNumber: string, crlPartitionIndex?: number): Promise<CrlAnswer | undefined>;
  /** CA certificates, at most 100. `issuerHash` finds those issued by a CA, but not its self-signed one. */
  findCaCertificates(query: CaQuery): Promise<readonly CaCertificate[]>;
}

/** Bytes of the pieces a CRL is kept in. */
export const CRL_CHUNK_BYTES = 1024 * 1024;

/** What a database does for the CRLs of a store, see `crl-keeper.ts`. Methods may be synchronous. */
export interface CrlTables {
  /** CA certificates, at most 100, the one stored last first. */
  caCertificates(query: CaQuery): MaybeLater<readonly CaCertificate[]>;
  /** Rows of a CA, all partitions, full and delta. */
  crlsOf(query: CaQuery): MaybeLater<readonly StoredCrl[]>;
  crlByFingerprint(fingerprint: string): MaybeLater<StoredCrl | undefined>;
  list(limit: number): MaybeLater<readonly StoredCrl[]>;
  /**
   * Puts a CRL in the place of the one with the same issuer, partition and kind: one transaction, one sync. Marks of
   * the one before become marks of this one.
   *
   * @returns sequence of the marks
   */
  replace(crl: StoredCrl, replacement: CrlReplacement): MaybeLater<number>;
  /** Sets marks of a CRL that is there; gives their sequence, undefined when it is not there any more. */
  mark(fingerprint: string, peers: readonly string[]): MaybeLater<number | undefined>;
  readChunk(fingerprint: string, position: number): MaybeLater<Uint8Array | undefined>;
}

/** What comes with a CRL that takes the place of another. */
export interface CrlReplacement {
  /** Its bytes, CRL_CHUNK_BYTES each but the last. */
  readonly chunks: Iterable<Uint8Array>;
  /** Looks at the rows of the issuer as they are within the transaction; what it throws undoes it. */
  readonly judge: (standing: readonly StoredCrl[]) => void;
  /** Peers to put on the publisher queue. */
  readonly peers: readonly string[];
}

type MaybeLater<T> = T | Promise<T>;
