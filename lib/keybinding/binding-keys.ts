/**
 * The life of a binding's keys: made, waiting for a certificate, signing, replaced, destroyed.
 *
 * Keys live in the token, what they are for in the state: two files, so there is an order. A key is made before the
 * state names it, and destroyed while the state still does or no longer does; a crash in between leaves a key that
 * nothing refers to, an orphan, and never more than one.
 */
import type { SigningKey } from '../x509/signing-key.ts';
import { algorithmOf, type CryptoToken, type TokenKeyAlgorithm } from './crypto-token.ts';
import type { BindingState, BindingStateFile, BoundCertificate } from './key-binding-state.ts';

/** A durable step. `key` is the fingerprint of the key that it is about. */
export interface KeyBindingEvent {
  readonly kind: 'key-generated' | 'activated' | 'key-destroyed';
  readonly key: string;
}

/** What the keys are kept in, and who is told. */
export interface BindingKeysOptions {
  readonly token: CryptoToken;
  readonly file: BindingStateFile;
  readonly state: BindingState;
  readonly onEvent: (event: KeyBindingEvent) => void;
}

/** Token and state together; one change at a time is the caller's affair. */
export class BindingKeys {
  readonly token: CryptoToken;
  readonly #file: BindingStateFile;
  readonly #onEvent: (event: KeyBindingEvent) => void;
  #state: BindingState;

  constructor({ token, file, state, onEvent }: BindingKeysOptions) {
    this.token = token;
    this.#file = file;
    this.#state = state;
    this.#onEvent = onEvent;
  }

  get state(): BindingState {
    return this.#state;
  }

  /** The private key of a fingerprint. */
  get(fingerprint: string | undefined): SigningKey | undefined {
    return fingerprint === undefined ? undefined : this.token.keys().get(fingerprint);
  }

  /** Fingerprints of keys that nothing refers to. */
  orphans(): readonly string[] {
    const { current, next, retired } = this.#state;
    const known = new Set([current?.key, next, ...retired.map(({ key }) => key)]);
    return [...this.token.keys().keys()].filter((key) => !known.has(key));
  }

  /** Whether a key is there and of this kind. */
  isOf(fingerprint: string | undefined, algorithm: TokenKeyAlgorithm): boolean {
    const key = this.get(fingerprint);
    return key !== undefined && algorithmOf(key.publicKey) === algorithm;
  }

  /**
   * Makes the key that waits for the next certificate, or takes up one that a crash left behind.
   *
   * @param makeRequest gives the request for a key, DER, to be remembered with it
   * @throws PeerError ERR_CRYPTO_TOKEN_UNAVAILABLE
   */
  async prepareNext(algorithm: TokenKeyAlgorithm, makeRequest: (key: string) => Promise<Uint8Array>): Promise<void> {
    const [adopted, ...strays] = this.orphans().toSorted(
      (a, b) => Number(this.isOf(b, algorithm)) - Number(this.isOf(a, algorithm)),
    );
    const isUsable = this.isOf(adopted, algorithm);
    for (const stray of strays) await this.#destroy(stray);
    if (adopted !== undefined && !isUsable) await this.#destroy(adopted);
    const next = adopted !== undefined && isUsable ? adopted : await this.#generate(algorithm);
    await this.#save({ ...this.#state, next, request: await makeRequest(next) });
    // A former next key of another kind is one that nothing refers to now.
    for (const orphan of this.orphans()) await this.#destroy(orphan);
  }

  /**
   * The switch: from here on this certificate signs.
   *
   * @param destroyAfter when a key that is replaced may end, epoch milliseconds
   * @throws PeerError ERR_CRYPTO_TOKEN_UNAVAILABLE; nothing has changed then
   */
  async switchTo(current: BoundCertificate, destroyAfter: number): Promise<void> {
    const { current: former, next, request, retired, generation } = this.#state;
    const isNext = current.key === next;
    const isReplaced = former !== undefined && former.key !== current.key;
    await this.#save({
      generation: generation + 1,
      current,
      next: isNext ? undefined : next,
      request: isNext ? undefined : request,
      retired: isReplaced ? [...retired, { key: former.key, destroyAfter }] : retired,
    });
    this.#onEvent({ kind: 'activated', key: current.key });
  }

  /**
   * Destroys the keys whose time has come.
   *
   * @param now epoch milliseconds
   * @throws PeerError ERR_CRYPTO_TOKEN_UNAVAILABLE
   */
  async sweep(now: number): Promise<void> {
    const due = this.#state.retired.filter(({ destroyAfter }) => destroyAfter <= now);
    if (due.length === 0) return;
    for (const { key } of due) await this.#destroy(key);
    await this.#save({ ...this.#state, retired: this.#state.retired.filter((each) => !due.includes(each)) });
  }

  async #generate(algorithm: TokenKeyAlgorithm): Promise<string> {
    const key = await this.token.generateKey(algorithm);
    this.#onEvent({ kind: 'key-generated', key });
    return key;
  }

  async #destroy(key: string): Promise<void> {
    if (!this.token.keys().has(key)) return;
    await this.token.destroyKey(key);
    this.#onEvent({ kind: 'key-destroyed', key });
  }

  async #save(state: BindingState): Promise<void> {
    await this.#file.save(state);
    this.#state = state;
  }
}
