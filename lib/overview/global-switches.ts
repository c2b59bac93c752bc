/**
 * The switches of the overview: whether this side may connect at all, whether it may be connected to, and which
 * connectors are disabled for now.
 *
 * Kept in one small file that is on the disk before a change counts, so that a restart opens nothing that somebody
 * has closed.
 *
 * @see EJBCA, Peer Systems Operations, Overview: allow outgoing (default on), allow incoming (default off)
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { PeerError, toPeerError } from '../errors.ts';

/** The state of the switches. */
export interface SwitchState {
  /** Whether connectors may connect. Default true. */
  readonly outgoing: boolean;
  /** Whether endpoints may listen. Default false. */
  readonly incoming: boolean;
  /** Ids of connectors that were disabled here. */
  readonly disabledConnectors: readonly string[];
  /** Fingerprints of client certificates that no endpoint admits. */
  readonly blockedPeers: readonly string[];
}

const DEFAULTS: SwitchState = { outgoing: true, incoming: false, disabledConnectors: [], blockedPeers: [] };
const MAX_FILE_BYTES = 1024 * 1024;
const MAX_LISTED = 10_000;

/** Remembers the switches and tells who listens. */
export class GlobalSwitches {
  readonly #file: string;
  readonly #listeners = new Set<() => void>();
  #state: SwitchState;

  /**
   * @param initial what holds until somebody uses a switch
   * @throws PeerError ERR_INVALID_CONFIG when the file is there and not readable: guessing could open what is closed
   */
  constructor(file: string, initial: Partial<SwitchState> = {}) {
    this.#file = file;
    this.#state = readState(file, { ...DEFAULTS, ...initial });
  }

  get state(): SwitchState {
    return this.#state;
  }

  isConnectorAllowed(id: string): boolean {
    return this.#state.outgoing && !this.#state.disabledConnectors.includes(id);
  }

  /** Turns all outgoing or all incoming connections on or off. @throws PeerError ERR_STORE_UNAVAILABLE */
  set(change: Partial<Pick<SwitchState, 'outgoing' | 'incoming'>>): void {
    this.#keep({ ...this.#state, ...change });
  }

  /** Enables or disables one connector. @throws PeerError ERR_STORE_UNAVAILABLE */
  setConnector(id: string, isEnabled: boolean): void {
    this.#keep({ ...this.#state, disabledConnectors: listed(this.#state.disabledConnectors, id, !isEnabled) });
  }

  /** Blocks a client certificate, or admits it again. @throws PeerError ERR_STORE_UNAVAILABLE, ERR_OVERLOADED */
  setBlocked(fingerprint: string, isBlocked: boolean): void {
    this.#keep({ ...this.#state, blockedPeers: listed(this.#state.blockedPeers, fingerprint, isBlocked) });
  }

  /** Calls back after each change; gives the function that ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #keep(state: SwitchState): void {
    writeDurably(this.#file, `${JSON.stringify(state, null, 2)}\n`);
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

function listed(list: readonly string[], item: string, isIn: boolean): readonly string[] {
  const others = list.filter((each) => each !== item);
  if (isIn && others.length >= MAX_LISTED) throw new PeerError('ERR_OVERLOADED', `${MAX_LISTED} are listed already`);
  return isIn ? [...others, item] : others;
}

function readState(file: string, initial: SwitchState): SwitchState {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return initial;
    throw toPeerError(error, 'ERR_INVALID_CONFIG');
  }
  const state = text.length <= MAX_FILE_BYTES ? parse(text) : undefined;
  if (state === undefined) throw new PeerError('ERR_INVALID_CONFIG', `${file} does not hold the switches of peers`);
  return state;
}

function parse(text: string): SwitchState | undefined {
  try {
    const { outgoing, incoming, disabledConnectors, blockedPeers } = JSON.parse(text) as Record<string, unknown>;
    if (typeof outgoing !== 'boolean' || typeof incoming !== 'boolean') return undefined;
    if (!areTexts(disabledConnectors) || !areTexts(blockedPeers)) return undefined;
    return { outgoing, incoming, disabledConnectors, blockedPeers };
  } catch {
    return undefined;
  }
}

function areTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length <= MAX_LISTED && value.every((each) => typeof each === 'string');
}

/** The new file takes the place of the old one in one step; both its bytes and its name are on the disk then. */
function writeDurably(file: string, text: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    const temporary = `${file}.new`;
    const handle = openSync(temporary, 'w', 0o600);
    try {
      writeSync(handle, text);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(temporary, file);
    syncFolder(dirname(file));
  } catch (error) {
    throw toPeerError(error, 'ERR_STORE_UNAVAILABLE');
  }
}

function syncFolder(folder: string): void {
  // Windows has no such thing, and no need of it.
  if (process.platform === 'win32') return;
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
