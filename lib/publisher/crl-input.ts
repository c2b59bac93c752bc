/**
 * Makes something that can be sent of what a flow hands over as a CRL: DER, PEM, an object with one of them, or the name
 * of a file, which is never read into memory as a whole.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { types } from 'node:util';
import { PeerError } from '../errors.ts';
import type { StreamedBody } from '../pool/connection-pool.ts';
import type { CrlInput as CrlSourceInput } from '../store/crl-data.ts';
import { type CrlFacts, openCrl } from '../x509/crl.ts';
import { CrlPemDecoder, decodeCrlPem, isDer } from '../x509/crl-pem.ts';
import { bytesSource, fileSource } from '../x509/crl-source.ts';

/** A CRL on its way to a peer. */
export interface CrlInput {
  /** DER. */
  readonly body: Uint8Array | StreamedBody;
  /** Name of the file that holds the same DER; undefined = there is none. */
  readonly file?: string;
  /** What it says of itself; undefined for PEM that is too long to be looked into here. */
  readonly facts: CrlFacts | undefined;
  readonly crlPartitionIndex: number;
}

/**
 * Hands over a CRL as a store takes it: bytes, or a file, which for long PEM is made and gone when `use` has ended.
 *
 * @throws PeerError ERR_INVALID_INPUT when the file cannot be read, and what decoding PEM and `use` throw
 */
export async function withCrlSource<T>(
  { body, file }: Pick<CrlInput, 'body' | 'file'>,
  use: (source: CrlSourceInput) => Promise<T>,
): Promise<T> {
  if (file !== undefined) return use({ file });
  if (isUint8Array(body)) return use({ bytes: body });
  const folder = await mkdtemp(join(tmpdir(), 'publish-crl-'));
  try {
    const decoded = join(folder, 'crl.der');
    await pipeline(body.open(), createWriteStream(decoded, { mode: 0o600 }));
    return await use({ file: decoded });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** PEM up to this length is decoded at once. */
const MAX_TEXT_AT_ONCE = 2 * 1024 * 1024;
const PIECE = 64 * 1024;
const MAX_PARTITION = 2 ** 31 - 1;

// Not instanceof: what a function node makes comes from another realm.
const { isUint8Array } = types;

/**
 * Reads an input: DER bytes, PEM text or bytes, `{ crl, crlPartitionIndex? }` or `{ file, crlPartitionIndex? }`.
 *
 * @throws PeerError ERR_INVALID_INPUT when it is none of these, or the file cannot be read; ERR_INVALID_CRL when it
 *   holds no CRL
 */
export async function readCrlInput(input: unknown): Promise<CrlInput> {
  if (typeof input === 'string' || isUint8Array(input)) return { ...readBody(input), crlPartitionIndex: 0 };
  if (typeof input !== 'object' || input === null) throw unusable();
  const { crl, file, crlPartitionIndex = 0 } = input as Record<string, unknown>;
  if (typeof crlPartitionIndex !== 'number' || !isPartition(crlPartitionIndex))
    throw new PeerError('ERR_INVALID_INPUT', '"crlPartitionIndex" is not a whole number from 0');
  if (typeof file === 'string' && crl === undefined) return { ...(await readFile(file)), crlPartitionIndex };
  if ((typeof crl === 'string' || isUint8Array(crl)) && file === undefined)
    return { ...readBody(crl), crlPartitionIndex };
  throw unusable();
}

function isPartition(index: number): boolean {
  return Number.isInteger(index) && index >= 0 && index <= MAX_PARTITION;
}

function unusable(): PeerError {
  return new PeerError(
    'ERR_INVALID_INPUT',
    'A CRL is DER bytes, PEM text or an object with "crl" (one of these) or "file" (a file name)',
  );
}

type Body = Pick<CrlInput, 'body' | 'file' | 'facts'>;

function readBody(crl: string | Uint8Array): Body {
  if (typeof crl !== 'string' && isDer(crl)) return derBody(crl);
  if (crl.length <= MAX_TEXT_AT_ONCE) return derBody(Buffer.concat([...decodeCrlPem(piecesOf(crl))]));
  return { body: { open: () => Readable.from(decodeCrlPem(piecesOf(crl))), bytes: crl.length }, facts: undefined };
}

/** Looks at its frame only, which is short however long the CRL is. */
function derBody(crl: Uint8Array): Body {
  return { body: crl, facts: openCrl(bytesSource(crl)).facts };
}

function* piecesOf(text: string | Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < text.length; at += PIECE) {
    const piece = text.slice(at, at + PIECE);
    yield typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece;
  }
}

async function readFile(path: string): Promise<Body> {
  const { bytes, begin } = await lookInto(path);
  if (!isDer(begin)) {
    if (bytes <= MAX_TEXT_AT_ONCE) return derBody(Buffer.concat(await Readable.from(decodedFile(path)).toArray()));
    return { body: { open: () => Readable.from(decodedFile(path)), bytes }, facts: undefined };
  }
  const source = fileSource(path);
  try {
    const { facts } = openCrl(source);
    return { body: { open: () => createReadStream(path), bytes, contentLength: bytes }, file: path, facts };
  } finally {
    source.close();
  }
}

async function* decodedFile(path: string): AsyncGenerator<Buffer> {
  const decoder = new CrlPemDecoder();
  for await (const piece of createReadStream(path)) {
    const der = decoder.push(piece);
    if (der.length > 0) yield der;
  }
  decoder.end();
}

async function lookInto(path: string): Promise<{ readonly bytes: number; readonly begin: Uint8Array }> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, 0);
    return { bytes: (await file.stat()).size, begin: buffer.subarray(0, bytesRead) };
  } catch (cause) {
    throw new PeerError('ERR_INVALID_INPUT', `The CRL file cannot be read: ${(cause as Error).message}`, { cause });
  } finally {
    await file?.close();
  }
}
