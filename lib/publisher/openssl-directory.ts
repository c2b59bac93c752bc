/**
 * Makes certificate data of the directory of an `openssl ca`: what `index.txt` says of the certificates in `newcerts`.
 *
 * Whoever reads it again gets the same rows, so publishing all of it after every change changes nothing but what is new.
 */
import { open, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { PeerError, toPeerError } from '../errors.ts';
import { type InputItem, readCertificateInput } from './certificate-input.ts';
import { type IndexEntry, readIndexLine } from './openssl-index.ts';

/** Where an `openssl ca` keeps what it has issued. */
export interface OpensslDirectory {
  /** Path of `index.txt`. */
  readonly index: string;
  /** Path of the folder of certificates, named by serial number. */
  readonly newcerts: string;
}

const MAX_ENTRIES = 100_000;
const MAX_INDEX_BYTES = 64 * 1024 * 1024;
const MAX_CERTIFICATE_BYTES = 256 * 1024;
/** Files that are read at once. */
const AT_ONCE = 16;

/** Whether an input is meant to be one; what is in it is looked at by `readOpensslDirectory`. */
export function isOpensslDirectory(input: unknown): input is { readonly index: unknown; readonly newcerts?: unknown } {
  return typeof input === 'object' && input !== null && !Array.isArray(input) && 'index' in input;
}

/**
 * Reads all of it; a line or certificate that cannot be read becomes a failure beside the others.
 *
 * @throws PeerError ERR_INVALID_INPUT when the index cannot be read, ERR_TOO_LARGE when it is too long
 */
export async function readOpensslDirectory(input: {
  readonly index: unknown;
  readonly newcerts?: unknown;
}): Promise<readonly InputItem[]> {
  const { index, newcerts } = input;
  if (typeof index !== 'string' || typeof newcerts !== 'string')
    throw new PeerError('ERR_INVALID_INPUT', '"index" and "newcerts" are the paths of index.txt and of a folder');
  const lines = await readLines(index);
  const items: InputItem[] = [];
  for (let at = 0; at < lines.length; at += AT_ONCE) {
    const some = lines.slice(at, at + AT_ONCE);
    items.push(...(await Promise.all(some.map((line, i) => readItem({ index, newcerts }, line, at + i + 1)))));
  }
  return items;
}

async function readLines(path: string): Promise<readonly string[]> {
  const lines: string[] = [];
  try {
    const file = await open(path);
    try {
      if ((await file.stat()).size > MAX_INDEX_BYTES) throw tooLong(path, `${MAX_INDEX_BYTES} bytes`);
      for await (const line of createInterface({ input: file.createReadStream({ autoClose: false }) })) {
        if (lines.length === MAX_ENTRIES) throw tooLong(path, `${MAX_ENTRIES} lines`);
        lines.push(line);
      }
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof PeerError) throw cause;
    throw new PeerError('ERR_INVALID_INPUT', `The index cannot be read: ${(cause as Error).message}`, { cause });
  }
  return lines;
}

async function readItem({ index, newcerts }: OpensslDirectory, line: string, number: number): Promise<InputItem> {
  try {
    const entry = readIndexLine(line);
    return itemOf(entry, await readCertificateFile(join(newcerts, `${entry.serialNumber}.pem`)));
  } catch (cause) {
    const { code, message } = toPeerError(cause);
    return { failure: new PeerError(code, `Line ${number} of ${basename(index)}: ${message}`, { cause }) };
  }
}

async function readCertificateFile(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > MAX_CERTIFICATE_BYTES)
      throw new PeerError('ERR_TOO_LARGE', `${basename(path)} is larger than ${MAX_CERTIFICATE_BYTES} bytes`);
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof PeerError) throw cause;
    const detail = `the certificate cannot be read: ${(cause as Error).message}`;
    throw new PeerError('ERR_INVALID_INPUT', detail, { cause });
  }
}

function itemOf({ serialNumber, revocation }: IndexEntry, certificate: Uint8Array): InputItem {
  const stated = revocation && {
    status: 'revoked',
    revocationDate: revocation.date,
    revocationReason: revocation.reason,
    updateTime: revocation.date,
  };
  const [item] = readCertificateInput({ certificate, ...stated }, 0);
  if (item === undefined || 'failure' in item) throw item?.failure ?? new PeerError('ERR_INTERNAL', 'Nothing was read');
  const { row } = item;
  if (BigInt(row.serialNumber) !== BigInt(`0x${serialNumber}`))
    throw new PeerError('ERR_INVALID_INPUT', `${serialNumber}.pem has another serial number`);
  // Newer than the certificate itself, whatever the clocks said.
  return { row: { ...row, updateTime: Math.max(row.updateTime, revocation ? row.notBefore + 1 : 0) } };
}

function tooLong(path: string, limit: string): PeerError {
  return new PeerError('ERR_TOO_LARGE', `${basename(path)} is longer than ${limit}`);
}
