/**
 * Remembers on disk that a synchronisation is under way, so that it goes on after a crash or a restart.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { toPeerError } from '../errors.ts';

/** A file that is there while a run is. Where it was needs no memory: what has arrived is found equal. */
export class SyncMarker {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** Whether a run was broken off. */
  get isSet(): boolean {
    return existsSync(this.#file);
  }

  /** @throws PeerError ERR_STORE_UNAVAILABLE */
  set(): void {
    try {
      mkdirSync(dirname(this.#file), { recursive: true });
      const file = openSync(this.#file, 'w');
      writeSync(file, new Date().toISOString());
      fsyncSync(file);
      closeSync(file);
    } catch (error) {
      throw toPeerError(error, 'ERR_STORE_UNAVAILABLE');
    }
  }

  clear(): void {
    rmSync(this.#file, { force: true });
  }
}
