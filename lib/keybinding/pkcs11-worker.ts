/**
 * The thread of a PKCS#11 library: loads it, knows its tokens, takes calls and answers.
 *
 * Owns the library. It stays loaded until the process ends: many libraries cannot be loaded twice.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Handle, PKCS11 } from 'pkcs11js';
import { PeerError, type PeerErrorCode, toPeerError } from '../errors.ts';
import type { TokenKeyAlgorithm } from './crypto-token.ts';
import { Pkcs11Slot, type TokenKey } from './pkcs11-slot.ts';

/** How a token is told from others: by its label, by its number, or by its place in the list of all. */
export interface SlotReference {
  readonly by: 'label' | 'id' | 'index';
  readonly value: string;
}

/** A call on its way to the thread. */
export interface Pkcs11Call {
  readonly id: number;
  readonly method: keyof Pkcs11Methods;
  readonly parameters: readonly unknown[];
}

/** An answer on its way back. */
export type Pkcs11Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly code: PeerErrorCode; readonly message: string };

/** A token that somebody uses, and the labels they use in it. */
interface OpenSlot {
  readonly slot: Pkcs11Slot;
  readonly labels: Set<string>;
}

const OS_LOCKING_OK = 2;
const path = workerData as string;
const slots = new Map<string, OpenSlot>();
const port = parentPort as MessagePort;
let loading: Promise<PKCS11> | undefined;

const METHODS = {
  /** Logs in; gives the keys under the label. */
  open: async (reference: SlotReference, pin: string, label: string): Promise<readonly TokenKey[]> => {
    loading ??= load();
    const library = await loading;
    const name = nameOf(reference);
    const { slot, labels } = slots.get(name) ?? {
      slot: new Pkcs11Slot(library, () => findSlot(library, reference), pin),
      labels: new Set<string>(),
    };
    // The token itself does not look at the PIN again once somebody of this process is logged in.
    if (!slot.hasPin(pin)) {
      throw new PeerError('ERR_WRONG_PASSPHRASE', 'The PKCS#11 token was opened with another authentication code');
    }
    if (labels.has(label)) {
      throw new PeerError('ERR_INVALID_CONFIG', `Another key binding has its keys under the label "${label}"`);
    }
    slots.set(name, { slot, labels: labels.add(label) });
    return slot.list(label).catch((error: unknown) => {
      close(reference, label);
      throw error;
    });
  },
  generate: (reference: SlotReference, label: string, algorithm: TokenKeyAlgorithm) =>
    slotOf(reference).generate(label, algorithm),
  sign: (reference: SlotReference, key: TokenKey, data: Uint8Array) => slotOf(reference).sign(key, data),
  destroy: (reference: SlotReference, id: string) => slotOf(reference).destroy(id),
  close,
};

/** What the thread can be asked. */
export type Pkcs11Methods = typeof METHODS;

port.on('message', ({ id, method, parameters }: Pkcs11Call) => {
  const work = METHODS[method] as (...values: readonly unknown[]) => unknown;
  const answer = async (): Promise<unknown> => work(...parameters);
  answer().then(
    (value) => port.postMessage({ id, value } satisfies Pkcs11Answer),
    (error: unknown) => {
      const { code, message } = toPeerError(error);
      port.postMessage({ id, code, message } satisfies Pkcs11Answer);
    },
  );
});

async function load(): Promise<PKCS11> {
  const { PKCS11 } = await import('pkcs11js').catch((cause: unknown) => {
    const detail = "The package 'pkcs11js' is not installed, or was not built; PKCS#11 needs it";
    throw new PeerError('ERR_INVALID_CONFIG', detail, { cause });
  });
  const library = new PKCS11();
  try {
    library.load(path);
    initialize(library);
  } catch (error) {
    loading = undefined;
    const { message } = error as Error;
    throw new PeerError('ERR_CRYPTO_TOKEN_UNAVAILABLE', `The PKCS#11 library ${path} cannot be loaded: ${message}`);
  }
  return library;
}

function initialize(library: PKCS11): void {
  try {
    library.C_Initialize({ flags: OS_LOCKING_OK });
  } catch (error) {
    if ((error as Error).message !== 'CKR_CRYPTOKI_ALREADY_INITIALIZED') throw error;
  }
}

/** The last one that uses a token logs out. */
function close(reference: SlotReference, label: string): void {
  const open = slots.get(nameOf(reference));
  open?.labels.delete(label);
  if (open === undefined || open.labels.size > 0) return;
  slots.delete(nameOf(reference));
  open.slot.close();
}

function slotOf(reference: SlotReference): Pkcs11Slot {
  const open = slots.get(nameOf(reference));
  if (open === undefined) throw new PeerError('ERR_CRYPTO_TOKEN_UNAVAILABLE', 'The PKCS#11 token is closed');
  return open.slot;
}

function findSlot(library: PKCS11, reference: SlotReference): Handle {
  const found = presentSlot(library, reference) ?? slotThatIsNew(library, reference);
  if (found !== undefined) return found;
  const detail = `The PKCS#11 library ${path} has no token with the ${reference.by} "${reference.value}"`;
  throw new PeerError('ERR_CRYPTO_TOKEN_UNAVAILABLE', detail);
}

/** Some libraries see only the tokens that were there when they began. Beginning anew ends the sessions of all. */
function slotThatIsNew(library: PKCS11, reference: SlotReference): Handle | undefined {
  if (slots.size > 1) return undefined;
  library.C_Finalize();
  initialize(library);
  return presentSlot(library, reference);
}

function presentSlot(library: PKCS11, { by, value }: SlotReference): Handle | undefined {
  const present = library.C_GetSlotList(true);
  if (by === 'index') return present[Number(value)];
  return present.find((slot) => (by === 'id' ? numberOf(slot) === Number(value) : labelOf(library, slot) === value));
}

/** undefined for a token that does not tell; another one may be meant. */
function labelOf(library: PKCS11, slot: Handle): string | undefined {
  try {
    return library.C_GetTokenInfo(slot).label.trimEnd();
  } catch {
    return undefined;
  }
}

/** A CK_ULONG of this machine, little-endian wherever Node.js runs. */
function numberOf(handle: Handle): number {
  return [...handle].reduceRight((value, byte) => value * 256 + byte, 0);
}

function nameOf({ by, value }: SlotReference): string {
  return `${by} ${value}`;
}
