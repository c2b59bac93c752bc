/**
 * A row of certificate data as bytes: on the wire, between threads, and under the row's digest.
 *
 * A stream of rows is a CBOR sequence (RFC 8742); each row is an array of ROW_ITEMS items in the order of
 * `RowColumns`. A stream that cannot be walked is refused as a whole; a row with an impossible value is
 * refused by itself (`faultOf`).
 */
import { hash } from 'node:crypto';
import type { PeerErrorCode } from '../errors.ts';
import { MAX_CERTIFICATE_BYTES } from '../x509/certificate.ts';
import { REVOCATION_REASONS } from '../x509/revocation-reason.ts';
import { decimalFromInteger, integerFromDecimal } from '../x509/serial-number.ts';
import { CborReader, CborWriter, expectItems } from './cbor.ts';
import { CERTIFICATE_STATUS, type CertificateData } from './certificate-data.ts';

/** Items of a row. */
export const ROW_ITEMS = 18;

/** A row in the types of the wire, in its order; byte strings are views into what was read. */
export interface RowColumns {
  /** 20 bytes. */
  readonly fingerprint: Uint8Array;
  readonly issuerDN: string;
  readonly subjectDN: string;
  /** Content of a DER INTEGER in its shortest form. */
  readonly serialNumber: Uint8Array;
  readonly status: number;
  readonly revocationReason: number;
  readonly revocationDate: number;
  readonly updateTime: number;
  readonly expireDate: number;
  readonly notBefore: number;
  readonly caFingerprint: Uint8Array | null;
  readonly subjectKeyId: Uint8Array | null;
  readonly type: number;
  readonly tag: string | null;
  readonly crlPartitionIndex: number;
  readonly certificateProfileId: number;
  readonly username: string | null;
  readonly certificate: Uint8Array | null;
  /** The bytes the row came in, up to its certificate; undefined when it did not come as bytes. */
  readonly stateBytes?: Uint8Array;
}

/** Appends a row. */
export function writeRow(writer: CborWriter, row: RowColumns): void {
  writer.array(ROW_ITEMS);
  writer.bytes(row.fingerprint);
  writer.text(row.issuerDN);
  writer.text(row.subjectDN);
  writer.bytes(row.serialNumber);
  writer.integer(row.status);
  writer.integer(row.revocationReason);
  writer.integer(row.revocationDate);
  writer.integer(row.updateTime);
  writer.integer(row.expireDate);
  writer.integer(row.notBefore);
  writer.bytes(row.caFingerprint);
  writer.bytes(row.subjectKeyId);
  writer.integer(row.type);
  writer.text(row.tag);
  writer.integer(row.crlPartitionIndex);
  writer.integer(row.certificateProfileId);
  writer.text(row.username);
  writer.bytes(row.certificate);
}

/**
 * Reads the row that begins here.
 *
 * @throws PeerError ERR_MALFORMED_MESSAGE
 */
function readRow(reader: CborReader): RowColumns {
  const start = reader.position;
  expectItems(reader, ROW_ITEMS);
  return {
    fingerprint: reader.bytes(),
    issuerDN: reader.text(),
    subjectDN: reader.text(),
    serialNumber: reader.bytes(),
    status: reader.integer(),
    revocationReason: reader.integer(),
    revocationDate: reader.integer(),
    updateTime: reader.integer(),
    expireDate: reader.integer(),
    notBefore: reader.integer(),
    caFingerprint: reader.bytesOrNull(),
    subjectKeyId: reader.bytesOrNull(),
    type: reader.integer(),
    tag: reader.textOrNull(),
    crlPartitionIndex: reader.integer(),
    certificateProfileId: reader.integer(),
    username: reader.textOrNull(),
    stateBytes: reader.since(start),
    certificate: reader.bytesOrNull(),
  };
}

/**
 * All rows of a stream.
 *
 * @throws PeerError ERR_MALFORMED_MESSAGE
 */
export function readRows(bytes: Uint8Array): readonly RowColumns[] {
  return [...readBlocks(bytes, Number.MAX_SAFE_INTEGER)].flat();
}

/**
 * The rows of a stream, some at a time: of many rows only few are in memory.
 *
 * @param most rows of a block
 * @throws PeerError ERR_MALFORMED_MESSAGE, when it gets there
 */
export function* readBlocks(bytes: Uint8Array, most: number): Generator<readonly RowColumns[]> {
  const reader = new CborReader(bytes);
  while (!reader.isAtEnd) {
    const rows: RowColumns[] = [];
    while (!reader.isAtEnd && rows.length < most) rows.push(readRow(reader));
    yield rows;
  }
}

/** Certificate data as bytes. */
export function encodeRow(data: CertificateData): Uint8Array<ArrayBuffer> {
  const writer = new CborWriter(256 + (data.certificate?.length ?? 0));
  writeRow(writer, toColumns(data));
  return writer.take();
}

/**
 * What tells two states of one certificate apart: SHA-256 over the row with null in place of the certificate,
 * 64 hexadecimal digits.
 */
export function rowDigest(row: RowColumns): string {
  digestWriter.clear();
  if (row.stateBytes === undefined) {
    writeRow(digestWriter, row.certificate === null ? row : { ...row, certificate: null });
  } else {
    // Rows are deterministic: what came is what would be written.
    digestWriter.raw(row.stateBytes);
    digestWriter.null();
  }
  return hash('sha256', digestWriter.view(), 'hex');
}

const digestWriter = new CborWriter(1024);

/** From the spelling of EJBCA's data to that of the wire. */
export function toColumns(data: CertificateData): RowColumns {
  return {
    ...data,
    fingerprint: Buffer.from(data.fingerprint, 'hex'),
    serialNumber: integerFromDecimal(data.serialNumber),
    caFingerprint: data.caFingerprint === null ? null : Buffer.from(data.caFingerprint, 'hex'),
    subjectKeyId: data.subjectKeyId === null ? null : Buffer.from(data.subjectKeyId, 'base64'),
  };
}

/** From the spelling of the wire to that of EJBCA's data; the certificate is copied. */
export function fromColumns({ stateBytes: _, ...row }: RowColumns): CertificateData {
  return {
    ...row,
    fingerprint: hex(row.fingerprint),
    serialNumber: decimalFromInteger(row.serialNumber),
    caFingerprint: row.caFingerprint === null ? null : hex(row.caFingerprint),
    subjectKeyId: row.subjectKeyId === null ? null : Buffer.from(row.subjectKeyId).toString('base64'),
    certificate: row.certificate === null ? null : new Uint8Array(row.certificate),
  };
}

/** Why a row cannot stand, whoever sent it. */
export interface RowFault {
  readonly code: PeerErrorCode;
  readonly detail: string;
}

const FINGERPRINT_BYTES = 20;
const MAX_TEXT_LENGTH = 16_384;
const MAX_SERIAL_BYTES = 1_024;
const MAX_KEY_ID_BYTES = 256;
/** Beyond it a JavaScript Date does not go. */
const MAX_TIME = 8.64e15;
/** RFC 5280 section 5.3.1; -1 = not revoked. */
const REASONS: ReadonlySet<number> = new Set([-1, ...Object.values(REVOCATION_REASONS)]);
const STATUSES: ReadonlySet<number> = new Set(Object.values(CERTIFICATE_STATUS));

/** Looks at the values of a well-formed row; undefined = nothing is wrong. */
export function faultOf(row: RowColumns): RowFault | undefined {
  const wrong = wrongValueOf(row);
  if (wrong !== undefined) return { code: 'ERR_MALFORMED_MESSAGE', detail: `The row has ${wrong}` };
  const { certificate } = row;
  if (certificate === null) return undefined;
  if (certificate.length > MAX_CERTIFICATE_BYTES) {
    return { code: 'ERR_TOO_LARGE', detail: `The certificate is larger than ${MAX_CERTIFICATE_BYTES} bytes` };
  }
  if (hash('sha1', certificate, 'hex') === hex(row.fingerprint)) return undefined;
  return { code: 'ERR_INVALID_CERTIFICATE', detail: 'The fingerprint is not that of the certificate' };
}

/** Plain comparisons, because this runs for every row of a synchronisation. */
function wrongValueOf(row: RowColumns): string | undefined {
  return wrongStateOf(row) ?? wrongNameOf(row);
}

function wrongStateOf(row: RowColumns): string | undefined {
  if (row.fingerprint.length !== FINGERPRINT_BYTES) return 'a fingerprint that is not 20 bytes';
  if (!STATUSES.has(row.status)) return `an unknown status ${row.status}`;
  if (!REASONS.has(row.revocationReason)) return `an unknown revocation reason ${row.revocationReason}`;
  if (!(isTime(row.updateTime) && isTime(row.revocationDate) && isTime(row.expireDate) && isTime(row.notBefore)))
    return 'a time out of range';
  if (row.type < 0 || row.crlPartitionIndex < 0) return 'a negative type or CRL partition';
  if (!(isInt(row.type) && isInt(row.crlPartitionIndex) && isInt(row.certificateProfileId)))
    return 'a type, CRL partition or certificate profile beyond 32 bits';
  return undefined;
}

function wrongNameOf(row: RowColumns): string | undefined {
  if (!isShortestInteger(row.serialNumber))
    return 'a serial number that is empty, too long or not in its shortest form';
  if (!(isText(row.issuerDN) && isText(row.subjectDN) && isText(row.username) && isText(row.tag)))
    return 'a text that is too long or holds a NUL';
  if (row.caFingerprint !== null && row.caFingerprint.length !== FINGERPRINT_BYTES)
    return 'a CA fingerprint that is not 20 bytes';
  if (row.subjectKeyId !== null && row.subjectKeyId.length > MAX_KEY_ID_BYTES)
    return 'a subject key identifier that is too long';
  return undefined;
}

/** EJBCA's columns of these have 32 bits. */
function isInt(value: number): boolean {
  return value === (value | 0);
}

function isText(text: string | null): boolean {
  return text === null || (text.length <= MAX_TEXT_LENGTH && !text.includes('\0'));
}

function isTime(value: number): boolean {
  return value >= -1 && value <= MAX_TIME;
}

/** X.690 8.3.2: the first nine bits are not all equal. */
function isShortestInteger(content: Uint8Array): boolean {
  const [first, second] = content;
  if (first === undefined || content.length > MAX_SERIAL_BYTES) return false;
  if (second === undefined) return true;
  return !((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
