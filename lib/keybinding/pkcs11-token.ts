/**
 * A crypto token in a device that is reached by PKCS#11: an HSM, a smart card, SoftHSM.
 *
 * Owns which keys of the device belong to a key binding: those under its label. They are made in the device and never
 * leave it.
 *
 * @see EJBCA, Managing Crypto Tokens; PKCS#11 3.0
 */
import { createPublicKey } from 'node:crypto';
import { PeerError } from '../errors.ts';
import type { SigningKey } from '../x509/signing-key.ts';
import { type CryptoToken, keyFingerprintOf, type TokenKeyAlgorithm } from './crypto-token.ts';
import type { TokenKey } from './pkcs11-slot.ts';
import { Pkcs11Thread } from './pkcs11-thread.ts';
import type { SlotReference } from './pkcs11-worker.ts';

/** Where the device is, and how it is opened. */
export interface Pkcs11TokenOptions {
  readonly name: string;
  /** The library that came with the device, an absolute path. */
  readonly library: string;
  readonly slot: SlotReference;
  /** The authentication code. */
  readonly pin: string;
  /** CKA_LABEL of the keys of this token; nobody else may use it. */
  readonly keyLabel: string;
}

/** A session with the device. Keys that somebody else makes or destroys under the label show after it is opened anew. */
export class Pkcs11Token implements CryptoToken {
  readonly name: string;
  readonly #options: Pkcs11TokenOptions;
  readonly #thread: Pkcs11Thread;
  #keys: ReadonlyMap<string, SigningKey>;
  readonly #ids: Map<string, string>;

  private constructor(options: Pkcs11TokenOptions, thread: Pkcs11Thread, found: readonly TokenKey[]) {
    this.name = options.name;
    this.#options = options;
    this.#thread = thread;
    this.#ids = new Map();
    this.#keys = new Map(found.map((key) => this.#entryOf(key)));
  }

  /**
   * Logs in and looks which keys are there.
   *
   * @throws PeerError ERR_INVALID_CONFIG without library, code or label, without the package pkcs11js, or when another
   *   token of this process has the label; ERR_WRONG_PASSPHRASE; ERR_CRYPTO_TOKEN_UNAVAILABLE
   */
  static async open(options: Pkcs11TokenOptions): Promise<Pkcs11Token> {
    const { name, library, slot, pin, keyLabel } = options;
    for (const [what, value] of Object.entries({ library, slot: slot.value, 'authentication code': pin, keyLabel })) {
      if (value === '') throw new PeerError('ERR_INVALID_CONFIG', `The crypto token "${name}" has no ${what}`);
    }
    const thread = Pkcs11Thread.of(library);
    return new Pkcs11Token(options, thread, await thread.call('open', slot, pin, keyLabel));
  }

  keys(): ReadonlyMap<string, SigningKey> {
    return this.#keys;
  }

  /** @throws PeerError ERR_CRYPTO_TOKEN_UNAVAILABLE; the keys that were there stay */
  async generateKey(algorithm: TokenKeyAlgorithm): Promise<string> {
    const { slot, keyLabel } = this.#options;
    const [fingerprint, key] = this.#entryOf(await this.#thread.call('generate', slot, keyLabel, algorithm));
    this.#keys = new Map([...this.#keys, [fingerprint, key]]);
    return fingerprint;
  }

  /** @throws PeerError ERR_CRYPTO_TOKEN_UNAVAILABLE; the key stays then */
  async destroyKey(fingerprint: string): Promise<void> {
    const id = this.#ids.get(fingerprint);
    if (id === undefined) return;
    await this.#thread.call('destroy', this.#options.slot, id);
    this.#ids.delete(fingerprint);
    this.#keys = new Map([...this.#keys].filter(([each]) => each !== fingerprint));
  }

  /** Logs out, when no other token of this process needs the device. */
  async close(): Promise<void> {
    const { slot, keyLabel } = this.#options;
    await this.#thread.call('close', slot, keyLabel);
  }

  #entryOf(key: TokenKey): readonly [fingerprint: string, key: SigningKey] {
    const publicKey = createPublicKey({ key: Buffer.from(key.spki), format: 'der', type: 'spki' });
    const fingerprint = keyFingerprintOf(publicKey);
    this.#ids.set(fingerprint, key.id);
    const sign = (data: Uint8Array) => this.#thread.call('sign', this.#options.slot, key, data);
    return [fingerprint, { publicKey, sign }];
  }
}
