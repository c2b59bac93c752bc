/**
 * One token of a PKCS#11 library: its sessions, and the key pairs under a label.
 *
 * Owns logging in and sessions, and what is done when the token went away in between. Runs in the thread of the
 * library, so a call that waits for the device holds up nobody else.
 *
 * @see PKCS#11 3.0, 5 Functions
 */
import { createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import type { Handle, PKCS11, Template } from 'pkcs11js';
import { PeerError } from '../errors.ts';
import type { TokenKeyAlgorithm } from './crypto-token.ts';
import { keyPairRequests, publicKeyFrom, signatureRequest } from './pkcs11-keys.ts';

/** A key pair of the token. */
export interface TokenKey {
  /** CKA_ID, hex. */
  readonly id: string;
  /** DER, SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
}

/** Signatures that may be made at the same time; as many as libuv has threads. */
const MAX_SESSIONS = 4;
/** A signature of RSA with 4096 bits. */
const MAX_SIGNATURE_BYTES = 512;
const ID_BYTES = 16;
const MAX_KEYS = 100;

const CK = {
  sessionFlags: 0x2 | 0x4,
  user: 1,
  privateKey: 3,
  publicKey: 2,
} as const;
const CKA = {
  class: 0x0,
  token: 0x1,
  private: 0x2,
  label: 0x3,
  keyType: 0x100,
  id: 0x102,
  sensitive: 0x103,
  sign: 0x108,
  verify: 0x10a,
  modulus: 0x120,
  publicExponent: 0x122,
  extractable: 0x162,
  ecParams: 0x180,
  ecPoint: 0x181,
} as const;

/** What a token says that went away and may be back, or was logged out by somebody else. */
const LOST: ReadonlySet<string> = new Set([
  'CKR_DEVICE_ERROR',
  'CKR_DEVICE_REMOVED',
  'CKR_GENERAL_ERROR',
  'CKR_KEY_HANDLE_INVALID',
  'CKR_OBJECT_HANDLE_INVALID',
  'CKR_SESSION_CLOSED',
  'CKR_SESSION_HANDLE_INVALID',
  'CKR_TOKEN_NOT_PRESENT',
  'CKR_TOKEN_NOT_RECOGNIZED',
  'CKR_USER_NOT_LOGGED_IN',
]);
/** What it says to a curve that it knows by another name, or not at all. */
const OTHER_NAME: ReadonlySet<string> = new Set([
  'CKR_ATTRIBUTE_VALUE_INVALID',
  'CKR_CURVE_NOT_SUPPORTED',
  'CKR_DOMAIN_PARAMS_INVALID',
  'CKR_FUNCTION_FAILED',
  'CKR_GENERAL_ERROR',
  'CKR_TEMPLATE_INCONSISTENT',
]);
const WRONG_PIN: ReadonlySet<string> = new Set([
  'CKR_PIN_EXPIRED',
  'CKR_PIN_INCORRECT',
  'CKR_PIN_INVALID',
  'CKR_PIN_LEN_RANGE',
  'CKR_PIN_LOCKED',
  'CKR_USER_PIN_NOT_INITIALIZED',
]);

interface KeyHandle {
  readonly handle: Handle;
  readonly publicKey: KeyObject;
}

/** Several bindings may have their keys in one token, each under its own label. */
export class Pkcs11Slot {
  readonly #library: PKCS11;
  readonly #find: () => Handle;
  readonly #pin: string;
  #idle: Handle[] = [];
  #count = 0;
  #generation = 0;
  readonly #waiting: (() => void)[] = [];
  #keys = new Map<string, KeyHandle>();
  /** A PIN that was refused is not tried again: a few wrong ones lock the token. */
  #refused: PeerError | undefined;

  /** @param find gives the slot, which may be another one each time the token comes back */
  constructor(library: PKCS11, find: () => Handle, pin: string) {
    this.#library = library;
    this.#find = find;
    this.#pin = pin;
  }

  /** Whether this is the PIN that the token was opened with. */
  hasPin(pin: string): boolean {
    return this.#pin === pin;
  }

  /**
   * The key pairs under a label.
   *
   * @throws PeerError ERR_WRONG_PASSPHRASE, ERR_CRYPTO_TOKEN_UNAVAILABLE
   */
  list(label: string): Promise<readonly TokenKey[]> {
    return this.#use((session) => {
      const publicKeys = new Map(
        this.#objects(session, CK.publicKey, label).map((handle) => [this.#idOf(session, handle), handle]),
      );
      return this.#objects(session, CK.privateKey, label).flatMap((handle) => {
        const id = this.#idOf(session, handle);
        const publicHandle = publicKeys.get(id);
        const publicKey = publicHandle === undefined ? undefined : this.#publicKeyOf(session, publicHandle);
        if (publicKey === undefined) return [];
        this.#keys.set(id, { handle, publicKey });
        return [{ id, spki: publicKey.export({ type: 'spki', format: 'der' }) }];
      });
    });
  }

  /** Makes a key pair that never leaves the token. @throws PeerError ERR_CRYPTO_TOKEN_UNAVAILABLE */
  generate(label: string, algorithm: TokenKeyAlgorithm): Promise<TokenKey> {
    return this.#use(async (session) => {
      const id = randomBytes(ID_BYTES);
      const common = [
        { type: CKA.token, value: true },
        { type: CKA.id, value: id },
        { type: CKA.label, value: label },
      ];
      const privateTemplate = [
        ...common,
        { type: CKA.private, value: true },
        { type: CKA.sensitive, value: true },
        { type: CKA.extractable, value: false },
        { type: CKA.sign, value: true },
      ];
      const [first, ...others] = keyPairRequests(algorithm).map(({ mechanism, attributes }) => () => {
        const publicTemplate = [...common, { type: CKA.verify, value: true }, ...attributes];
        return this.#library.C_GenerateKeyPairAsync(session, { mechanism }, publicTemplate, privateTemplate);
      });
      const pair = await firstThatWorks(first as () => Promise<{ privateKey: Handle; publicKey: Handle }>, others);
      const publicKey = this.#publicKeyOf(session, pair.publicKey);
      if (publicKey === undefined) throw new Error(`the token made no ${algorithm} key`);
      this.#keys.set(id.toString('hex'), { handle: pair.privateKey, publicKey });
      return { id: id.toString('hex'), spki: publicKey.export({ type: 'spki', format: 'der' }) };
    });
  }

  /** A signature as X.509 has it. @throws PeerError ERR_CRYPTO_TOKEN_UNAVAILABLE */
  sign(key: TokenKey, data: Uint8Array): Promise<Uint8Array> {
    return this.#use(async (session) => {
      const { handle, publicKey } = this.#keys.get(key.id) ?? this.#look(session, key);
      const { mechanism, input, finish } = signatureRequest(publicKey, data);
      this.#library.C_SignInit(session, { mechanism }, handle);
      return finish(await this.#library.C_SignAsync(session, asBuffer(input), Buffer.alloc(MAX_SIGNATURE_BYTES)));
    });
  }

  /** The private key first: what is left of a pair is then no key any more. @throws PeerError as above */
  destroy(id: string): Promise<void> {
    return this.#use((session) => {
      for (const objectClass of [CK.privateKey, CK.publicKey]) {
        for (const handle of this.#withId(session, objectClass, id)) this.#library.C_DestroyObject(session, handle);
      }
      this.#keys.delete(id);
    });
  }

  /** Logs out and lets go of all sessions; the next call opens new ones. */
  close(): void {
    const [session] = this.#idle;
    if (session !== undefined) quietly(() => this.#library.C_Logout(session));
    this.#forgetSessions();
  }

  /** Works in a session of its own. A token that went away is opened again, once. */
  async #use<T>(work: (session: Handle) => T | Promise<T>): Promise<T> {
    try {
      return await this.#inSession(work);
    } catch (error) {
      if (!LOST.has(codeOf(error))) throw this.#told(error);
    }
    this.#forgetSessions();
    try {
      return await this.#inSession(work);
    } catch (error) {
      throw this.#told(error);
    }
  }

  async #inSession<T>(work: (session: Handle) => T | Promise<T>): Promise<T> {
    if (this.#refused !== undefined) throw this.#refused;
    while (this.#idle.length === 0 && this.#count >= MAX_SESSIONS) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    const generation = this.#generation;
    const session = this.#idle.pop() ?? this.#open();
    let isUsable = false;
    try {
      const value = await work(session);
      isUsable = true;
      return value;
    } finally {
      // A session in which something went wrong may have an operation open that nobody ends.
      if (generation === this.#generation) this.#giveBack(session, isUsable);
      else quietly(() => this.#library.C_CloseSession(session));
      this.#waiting.shift()?.();
    }
  }

  #giveBack(session: Handle, isUsable: boolean): void {
    if (isUsable) {
      this.#idle.push(session);
      return;
    }
    this.#count -= 1;
    quietly(() => this.#library.C_CloseSession(session));
  }

  #open(): Handle {
    const session = this.#library.C_OpenSession(this.#find(), CK.sessionFlags);
    try {
      this.#library.C_Login(session, CK.user, this.#pin);
    } catch (error) {
      if (codeOf(error) !== 'CKR_USER_ALREADY_LOGGED_IN') {
        quietly(() => this.#library.C_CloseSession(session));
        throw error;
      }
    }
    this.#count += 1;
    return session;
  }

  #forgetSessions(): void {
    for (const session of this.#idle) quietly(() => this.#library.C_CloseSession(session));
    this.#idle = [];
    this.#count = 0;
    this.#generation += 1;
    this.#keys = new Map();
    for (const resume of this.#waiting.splice(0)) resume();
  }

  #look(session: Handle, { id, spki }: TokenKey): KeyHandle {
    const [handle] = this.#withId(session, CK.privateKey, id);
    if (handle === undefined) throw unavailable('the key is not in the token');
    const key = { handle, publicKey: createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }) };
    this.#keys.set(id, key);
    return key;
  }

  #withId(session: Handle, objectClass: number, id: string): readonly Handle[] {
    return this.#search(session, [
      { type: CKA.class, value: objectClass },
      { type: CKA.id, value: Buffer.from(id, 'hex') },
    ]);
  }

  #objects(session: Handle, objectClass: number, label: string): readonly Handle[] {
    return this.#search(session, [
      { type: CKA.class, value: objectClass },
      { type: CKA.token, value: true },
      { type: CKA.label, value: label },
    ]);
  }

  #search(session: Handle, template: Template): readonly Handle[] {
    this.#library.C_FindObjectsInit(session, template);
    try {
      return this.#library.C_FindObjects(session, MAX_KEYS);
    } finally {
      this.#library.C_FindObjectsFinal(session);
    }
  }

  #idOf(session: Handle, object: Handle): string {
    return this.#attribute(session, object, CKA.id)?.toString('hex') ?? '';
  }

  #publicKeyOf(session: Handle, object: Handle): KeyObject | undefined {
    const read = (type: number): Buffer | undefined => this.#attribute(session, object, type);
    return publicKeyFrom({
      keyType: read(CKA.keyType)?.[0] ?? -1,
      modulus: read(CKA.modulus),
      publicExponent: read(CKA.publicExponent),
      ecParams: read(CKA.ecParams),
      ecPoint: read(CKA.ecPoint),
    });
  }

  /** undefined where the object has none. */
  #attribute(session: Handle, object: Handle, type: number): Buffer | undefined {
    try {
      const [found] = this.#library.C_GetAttributeValue(session, object, [{ type }]);
      return found?.value as Buffer | undefined;
    } catch (error) {
      if (codeOf(error) === 'CKR_ATTRIBUTE_TYPE_INVALID') return undefined;
      throw error;
    }
  }

  #told(error: unknown): PeerError {
    if (error instanceof PeerError) return error;
    const code = codeOf(error);
    if (!WRONG_PIN.has(code)) return unavailable(code === '' ? (error as Error).message : code);
    this.#refused = new PeerError('ERR_WRONG_PASSPHRASE', `The PKCS#11 token refuses the authentication code: ${code}`);
    return this.#refused;
  }
}

async function firstThatWorks<T>(first: () => Promise<T>, others: readonly (() => Promise<T>)[]): Promise<T> {
  try {
    return await first();
  } catch (error) {
    const [second, ...rest] = others;
    if (second === undefined || !OTHER_NAME.has(codeOf(error))) throw error;
    return firstThatWorks(second, rest);
  }
}

function unavailable(what: string): PeerError {
  return new PeerError('ERR_CRYPTO_TOKEN_UNAVAILABLE', `The PKCS#11 token cannot be used: ${what}`);
}

/** `CKR_…`; empty for what no token said. */
function codeOf(error: unknown): string {
  const { message } = error as { message?: unknown };
  return typeof message === 'string' && message.startsWith('CKR_') ? message : '';
}

function quietly(work: () => void): void {
  try {
    work();
  } catch {
    // The token is gone, and with it what was to be ended.
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
