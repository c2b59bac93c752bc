/**
 * A key binding whose crypto token is not open: peers see it, and nothing can be done with it.
 *
 * @see EJBCA, Internal Key Bindings Overview: operational status
 */
import { PeerError } from '../errors.ts';
import type { KeyBinding } from './key-binding.ts';
import { type KeyBindingFacts, NO_CERTIFICATE } from './key-binding-facts.ts';

/** What peers see of a binding, and do with it. */
export type ManagedKeyBinding = Pick<
  KeyBinding,
  'name' | 'cryptoToken' | 'facts' | 'needsNewKey' | 'request' | 'importCertificate'
>;

/** What is known of it without its token. */
export interface OfflineKeyBindingOptions {
  readonly name: string;
  readonly cryptoToken: string;
  readonly enabled: boolean;
}

/** Refuses with ERR_CRYPTO_TOKEN_UNAVAILABLE. Why the token is not open is told where it is configured only. */
export class OfflineKeyBinding implements ManagedKeyBinding {
  readonly name: string;
  readonly cryptoToken: string;
  readonly #enabled: boolean;

  constructor({ name, cryptoToken, enabled }: OfflineKeyBindingOptions) {
    this.name = name;
    this.cryptoToken = cryptoToken;
    this.#enabled = enabled;
  }

  facts(): KeyBindingFacts {
    return {
      name: this.name,
      cryptoToken: this.cryptoToken,
      status: this.#enabled ? 'enabled' : 'disabled',
      operational: 'offline',
      ...NO_CERTIFICATE,
      canRenew: false,
      keyAlgorithm: '',
      generation: 0,
      nextKey: '',
      orphanKeys: [],
      retiredKeys: [],
    };
  }

  /** Whoever may not make keys is told so, whatever the state of the token. */
  needsNewKey(newKeyPair: boolean): boolean {
    return newKeyPair;
  }

  request(): Promise<never> {
    return Promise.reject(this.#refused());
  }

  importCertificate(): Promise<never> {
    return Promise.reject(this.#refused());
  }

  #refused(): PeerError {
    const detail = `The crypto token "${this.cryptoToken}" of the key binding "${this.name}" is not open`;
    return new PeerError('ERR_CRYPTO_TOKEN_UNAVAILABLE', detail);
  }
}
