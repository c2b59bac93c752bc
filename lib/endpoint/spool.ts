/**
 * Receives bodies that may be too large for memory into files, and answers for these files: none outlives its request,
 * what a crash left over is removed at the next start.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PeerError } from '../errors.ts';
import { OPERATIONS } from '../protocol/operations.ts';
import { BodyBudget } from './request-body.ts';

/** Without a byte for so long, the sender is taken for lost. */
const STALL_MS = 30_000;
/** A body may take this long, and as long as it takes at the least rate. */
const GRACE_MS = 60_000;
/** 128 kbit/s: a CRL of 5 MB passes over a line of 256 kbit/s. */
const LEAST_BYTES_PER_MS = 16;
const FILE_NAME = /^crl-(\d+)-[0-9a-f-]+\.part$/;

/** Longest time a body of some bytes may take, milliseconds. */
export function longestReceipt(bytes: number): number {
  return GRACE_MS + bytes / LEAST_BYTES_PER_MS;
}

/** Bytes on disk at once: two of the largest CRLs. */
const MAX_BYTES_AT_ONCE = 2 * OPERATIONS.publishCrl.maxBodyBytes;

/** The spool of an endpoint. @param folder default: one among the temporary files of the system */
export function openSpool(folder = join(tmpdir(), 'node-red-ejbca-peers')): Spool {
  return new Spool(folder, new BodyBudget(MAX_BYTES_AT_ONCE));
}

/** One folder of files that are being received. */
export class Spool {
  readonly #folder: string;
  readonly #budget: BodyBudget;
  readonly #stallMs: number;

  /**
   * @param budget bytes of all files together
   * @param stallMs milliseconds without a byte until a sender is taken for lost
   */
  constructor(folder: string, budget: BodyBudget, stallMs = STALL_MS) {
    this.#folder = folder;
    this.#budget = budget;
    this.#stallMs = stallMs;
  }

  /**
   * Receives a body and hands over its file; the file is gone when `use` has ended, however it ends.
   *
   * @throws PeerError ERR_TOO_LARGE, ERR_TOO_SLOW, ERR_OVERLOADED, ERR_STORE_FULL, ERR_MALFORMED_MESSAGE when the
   *   client went away in the middle, and what `use` throws
   */
  async receive<T>(request: IncomingMessage, maxBytes: number, use: (file: string) => Promise<T>): Promise<T> {
    if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
    const path = join(this.#folder, `crl-${process.pid}-${randomUUID()}.part`);
    let taken = 0;
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      const file = await open(path, 'wx', 0o600);
      try {
        for await (const chunk of chunksOf(request, this.#stallMs)) {
          if (taken + chunk.length > maxBytes) throw tooLarge(maxBytes);
          this.#budget.take(chunk.length);
          taken += chunk.length;
          await writeAll(file, chunk);
        }
      } finally {
        await file.close();
      }
      return await use(path);
    } catch (error) {
      throw named(error, this.#folder);
    } finally {
      this.#budget.give(taken);
      // What cannot be removed now is left over for the next start.
      await rm(path, { force: true }).catch(() => undefined);
    }
  }

  /** Removes the files of processes that are no more. */
  removeLeftovers(): void {
    for (const name of namesIn(this.#folder)) {
      const [, pid] = FILE_NAME.exec(name) ?? [];
      const path = join(this.#folder, name);
      if (pid !== undefined && isLeftover(Number(pid), path)) rmSync(path, { force: true });
    }
  }
}

/** The body as it comes; nothing is read ahead of whoever takes it. */
async function* chunksOf(request: IncomingMessage, stallMs: number): AsyncGenerator<Buffer> {
  const begun = Date.now();
  let bytes = 0;
  // The socket's error must have a listener; that the body is not complete is told below.
  request.on('error', () => undefined);
  for (;;) {
    const chunk = request.read() as Buffer | null;
    if (chunk !== null) {
      bytes += chunk.length;
      yield chunk;
    } else if (request.readableEnded) return;
    else if (request.destroyed)
      throw new PeerError('ERR_MALFORMED_MESSAGE', 'The connection closed before the body was complete');
    else {
      const left = begun + longestReceipt(bytes) - Date.now();
      if (left <= 0 || !(await moreOf(request, Math.min(stallMs, left))))
        throw new PeerError('ERR_TOO_SLOW', `The body stopped or crept after ${bytes} bytes`);
    }
  }
}

/** Waits until there is something to read or nothing will come any more; false when it took too long. */
function moreOf(request: IncomingMessage, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (isMore: boolean): void => {
      clearTimeout(timer);
      request.off('readable', onMore).off('end', onMore).off('close', onMore);
      resolve(isMore);
    };
    const onMore = (): void => settle(true);
    const timer = setTimeout(() => settle(false), timeoutMs);
    request.on('readable', onMore).on('end', onMore).on('close', onMore);
  });
}

async function writeAll(file: FileHandle, chunk: Buffer): Promise<void> {
  for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten;
}

function named(error: unknown, folder: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof PeerError || code === undefined) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new PeerError('ERR_STORE_FULL', `The disk of ${folder} is full`, { cause: error });
  return new PeerError('ERR_STORE_UNAVAILABLE', `A CRL cannot be received in ${folder}: ${message}`, { cause: error });
}

function tooLarge(maxBytes: number): PeerError {
  return new PeerError('ERR_TOO_LARGE', `The body is larger than ${maxBytes} bytes`);
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** In a container a process may have the number of the one before it; its files are younger than it is. */
function isLeftover(pid: number, path: string): boolean {
  if (pid === process.pid) {
    const begun = Date.now() - process.uptime() * 1_000;
    return (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) < begun;
  }
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
