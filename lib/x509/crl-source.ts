/** Where the bytes of a CRL are read from: a file, or memory. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** Bytes at positions. Whoever opened it closes it. */
export interface CrlSource {
  /** Bytes in all. */
  readonly size: number;
  /** The bytes from a position on, as many as there are up to `length`; a view that the next call may overwrite. */
  read(position: number, length: number): Buffer;
  close(): void;
}

/** A CRL in memory; nothing is copied. */
export function bytesSource(bytes: Uint8Array): CrlSource {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    size: buffer.length,
    read: (position, length) => buffer.subarray(position, position + length),
    close: () => undefined,
  };
}

/**
 * A CRL in a file, of which no more is held in memory than was read last.
 *
 * @throws what opening a file throws
 */
export function fileSource(path: string): CrlSource {
  const file = openSync(path, 'r');
  let window: Buffer = Buffer.alloc(0);
  return {
    size: fstatSync(file).size,
    read: (position, length) => {
      if (window.length < length) window = Buffer.allocUnsafeSlow(length);
      let got = 0;
      while (got < length) {
        const bytes = readSync(file, window, got, length - got, position + got);
        if (bytes === 0) break;
        got += bytes;
      }
      return window.subarray(0, got);
    },
    close: () => closeSync(file),
  };
}
