/**
 * A small file that is replaced as a whole: whoever reads it finds the old content or the new, never half of one,
 * and what was acknowledged has reached the disk.
 */
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PeerError, toPeerError } from '../errors.ts';

/** Far above what a crypto token or its state need. */
const MAX_BYTES = 4 * 1024 * 1024;

/** One file with one owner: a change by somebody else is noticed before it would be lost. */
export class DurableFile {
  readonly path: string;
  #known: Uint8Array | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /**
   * The content; undefined when there is no such file.
   *
   * @throws PeerError ERR_CRYPTO_TOKEN_UNAVAILABLE
   */
  async read(): Promise<Uint8Array | undefined> {
    this.#known = await this.#load();
    return this.#known;
  }

  /**
   * Replaces the content, for the owner of the process alone; when it fails, the former content is still there.
   *
   * @throws PeerError ERR_CRYPTO_TOKEN_UNAVAILABLE
   */
  async write(content: Uint8Array): Promise<void> {
    const found = await this.#load();
    if (!isSame(found, this.#known)) {
      throw new PeerError('ERR_CRYPTO_TOKEN_UNAVAILABLE', `The file ${this.path} was changed by somebody else`);
    }
    // One fixed name: what a crash leaves behind is overwritten and never piles up.
    const temporary = `${this.path}.new`;
    try {
      await writeAndSync(temporary, content);
      await rename(temporary, this.path);
      await syncFolder(dirname(this.path));
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw this.#unavailable('written', error);
    }
    this.#known = content;
  }

  async #load(): Promise<Uint8Array | undefined> {
    let file: FileHandle | undefined;
    try {
      file = await open(this.path, 'r');
      const { size } = await file.stat();
      if (size > MAX_BYTES) throw new Error(`it has ${size} bytes, at most ${MAX_BYTES} are read`);
      return new Uint8Array(await file.readFile());
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw this.#unavailable('read', error);
    } finally {
      await file?.close();
    }
  }

  #unavailable(what: 'read' | 'written', error: unknown): PeerError {
    const { message } = toPeerError(error);
    return new PeerError('ERR_CRYPTO_TOKEN_UNAVAILABLE', `The file ${this.path} cannot be ${what}: ${message}`, {
      cause: error,
    });
  }
}

async function writeAndSync(path: string, content: Uint8Array): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    // The mode above counts for a new file only.
    await file.chmod(0o600);
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A rename has reached the disk once its folder has. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Buffer.compare(a, b) === 0;
}
