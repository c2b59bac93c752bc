/**
 * OCSP key binding: a named key of a crypto token with its certificate, and the way to the next one.
 *
 * Owns what may be asked for and what is taken. Every change is one durable step, so that a crash between two of them
 * leaves a binding that signs as before or as after.
 *
 * @see EJBCA, OCSP Responders; EJBCA, Remote Internal Key Bindings Updater
 */
import { PeerError } from '../errors.ts';
import { type CertificateFacts, readCertificate } from '../x509/certificate.ts';
import { draftCertificateRequest } from '../x509/certificate-request.ts';
import type { SigningKey } from '../x509/signing-key.ts';
import { BindingKeys, type KeyBindingEvent } from './binding-keys.ts';
import { type CryptoToken, keyFingerprintOf, type TokenKeyAlgorithm } from './crypto-token.ts';
import { bindingStatus, type KeyBindingFacts, keyBindingFacts } from './key-binding-facts.ts';
import type { BindingState, BindingStateFile } from './key-binding-state.ts';
import { chainAbove, checkOcspCertificate, publicKeyOf } from './ocsp-certificate.ts';
import type { OcspBinding, OcspProperties, OcspSigner } from './ocsp-signer.ts';

/** Settings of a binding. */
export interface KeyBindingOptions {
  readonly name: string;
  /** Subject that requests name until there is a certificate, in EJBCA's form. */
  readonly subjectDN: string;
  /** Of the next key pair. */
  readonly algorithm: TokenKeyAlgorithm;
  readonly enabled: boolean;
  readonly properties: OcspProperties;
  /** DER of the CAs that are served. */
  readonly cas: readonly Uint8Array[];
  readonly now?: () => number;
  /** Told after a step has reached the disk: for the log. */
  readonly onEvent?: (event: KeyBindingEvent) => void;
}

/** A request for a certificate, ready to be signed by a CA. */
export interface BindingRequest {
  /** DER, PKCS#10. */
  readonly certificateRequest: Uint8Array;
  /** SHA-256 of the public key. */
  readonly key: string;
}

/** A shortest wait, so that a clock that jumps costs no busy loop; a longest one, because timers have a limit. */
const SWEEP_MS = { least: 1_000, most: 3_600_000, afterFailure: 60_000 };

interface Bound {
  readonly signer: OcspSigner;
  readonly certificate: CertificateFacts;
}

/** Keys, certificate and switch of one binding. */
export class KeyBinding implements OcspBinding {
  readonly name: string;
  readonly properties: OcspProperties;
  readonly #options: KeyBindingOptions;
  readonly #keys: BindingKeys;
  readonly #now: () => number;
  #bound: Bound | undefined;
  #isRevoked = false;
  #last: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(options: KeyBindingOptions, keys: BindingKeys) {
    this.name = options.name;
    this.properties = options.properties;
    this.#options = options;
    this.#keys = keys;
    this.#now = options.now ?? Date.now;
    this.#bound = boundBy(keys);
  }

  /**
   * Opens a binding over its token and takes up what a crash has interrupted.
   *
   * @throws PeerError what reading the state throws; ERR_CRYPTO_TOKEN_UNAVAILABLE when the key that signs is gone,
   *   ERR_IDENTITY_UNREADABLE when the certificate is not one of that key
   */
  static async open(options: KeyBindingOptions, token: CryptoToken, file: BindingStateFile): Promise<KeyBinding> {
    const state: BindingState = await file.load();
    const keys = new BindingKeys({ token, file, state, onEvent: options.onEvent ?? (() => undefined) });
    checkState(options.name, keys);
    const binding = new KeyBinding(options, keys);
    // A disk that takes no change now must not keep the responder from answering.
    await binding.#sweep();
    return binding;
  }

  /** Name of the crypto token, as access rules have it. */
  get cryptoToken(): string {
    return this.#keys.token.name;
  }

  cas(): readonly Uint8Array[] {
    return this.#options.cas;
  }

  signer(now: number): OcspSigner | undefined {
    const mayWork = !this.#isClosed && bindingStatus(this.#standing, now) === 'enabled';
    return mayWork ? this.#bound?.signer : undefined;
  }

  facts(): KeyBindingFacts {
    return keyBindingFacts(this.name, this.#keys, this.#standing, this.#now());
  }

  /** Whether a request with these words would be for a key pair that is not there yet, or not in use yet. */
  needsNewKey(newKeyPair: boolean): boolean {
    const { current, next } = this.#keys.state;
    return newKeyPair || (current === undefined && next === undefined);
  }

  /**
   * A request for a certificate, for the key that signs or for the next one. While a next key waits for its
   * certificate the same request is given again, so that several renewals become one.
   *
   * @param newKeyPair for the next key; without a certificate there is no other
   * @throws PeerError ERR_CRYPTO_TOKEN_UNAVAILABLE, ERR_INVALID_INPUT when the subject is not a name
   */
  request(newKeyPair: boolean): Promise<BindingRequest> {
    return this.#inTurn(async () => {
      const { current } = this.#keys.state;
      if (current !== undefined && !newKeyPair) {
        return { certificateRequest: await this.#requestFor(current.key), key: current.key };
      }
      return this.#pendingRequest() ?? (await this.#newRequest());
    });
  }

  /**
   * Takes a certificate and switches to it in one step. The one in use, given again, changes nothing.
   *
   * @param certificates DER: the certificate, then what else belongs to its chain
   * @returns whether it switched
   * @throws PeerError ERR_CERTIFICATE_REFUSED, ERR_INVALID_CERTIFICATE; ERR_CRYPTO_TOKEN_UNAVAILABLE when the disk did
   *   not take it. What signed before goes on signing.
   */
  importCertificate(certificates: readonly Uint8Array[]): Promise<boolean> {
    return this.#inTurn(async () => {
      const [certificate, ...others] = certificates;
      if (certificate === undefined) throw new PeerError('ERR_INVALID_CERTIFICATE', 'No certificate was delivered');
      const { current } = this.#keys.state;
      if (current !== undefined && Buffer.compare(current.certificate, certificate) === 0) return false;
      const [fingerprint, key] = this.#keyNamedBy(certificate);
      const issuer = await checkOcspCertificate({ certificate, key, cas: this.#casOfRenewal(), now: this.#now() });
      this.#refuseOlder(certificate);
      const chain = chainAbove(issuer, [...others, ...this.#options.cas]);
      const { responseValidityMs, maxAgeMs } = this.properties;
      const lastCached = this.#now() + Math.max(responseValidityMs, maxAgeMs);
      await this.#keys.switchTo({ key: fingerprint, certificate, chain }, lastCached);
      this.#bound = boundBy(this.#keys);
      this.#isRevoked = false;
      this.#planSweep();
      return true;
    });
  }

  /**
   * Asks whether the certificate was revoked. Fails when the question does; what was known stays.
   *
   * @param isRevoked asked with the fingerprint of the certificate
   */
  async checkRevocation(isRevoked: (fingerprint: string) => Promise<boolean>): Promise<void> {
    const asked = this.#bound;
    if (asked === undefined) return;
    const answer = await isRevoked(asked.certificate.fingerprint);
    if (this.#bound === asked) this.#isRevoked = answer;
  }

  /** Ends signing and all timers; waits for the change that is under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#last;
    clearTimeout(this.#timer);
    await this.#keys.token.close();
  }

  get #standing() {
    return { enabled: this.#options.enabled, certificate: this.#bound?.certificate, isRevoked: this.#isRevoked };
  }

  #pendingRequest(): BindingRequest | undefined {
    const { next, request } = this.#keys.state;
    if (next === undefined || request === undefined || !this.#keys.isOf(next, this.#options.algorithm))
      return undefined;
    return { certificateRequest: request, key: next };
  }

  async #newRequest(): Promise<BindingRequest> {
    await this.#keys.prepareNext(this.#options.algorithm, (key) => this.#requestFor(key));
    const { next = '', request = new Uint8Array(0) } = this.#keys.state;
    return { certificateRequest: request, key: next };
  }

  async #requestFor(fingerprint: string): Promise<Uint8Array> {
    const key = this.#keys.get(fingerprint);
    if (key === undefined) throw new PeerError('ERR_CRYPTO_TOKEN_UNAVAILABLE', 'The key is not in the crypto token');
    const subjectDN = this.#bound?.certificate.subjectDN ?? this.#options.subjectDN;
    const draft = draftCertificateRequest(subjectDN, key.publicKey);
    return draft.signed(await key.sign(draft.info));
  }

  /** The key of this binding, current or next, that a certificate is for. */
  #keyNamedBy(certificate: Uint8Array): readonly [fingerprint: string, key: SigningKey] {
    const fingerprint = keyFingerprintOf(publicKeyOf(certificate));
    const { current, next } = this.#keys.state;
    const key = fingerprint === next || fingerprint === current?.key ? this.#keys.get(fingerprint) : undefined;
    if (key === undefined) throw refused(certificate, `is for neither key of the binding "${this.name}"`);
    return [fingerprint, key];
  }

  /** Who may have issued the next certificate: the CA of this one as long as it is served, else any that is. */
  #casOfRenewal(): readonly Uint8Array[] {
    const issuerDN = this.#bound?.certificate.issuerDN;
    const same = this.#options.cas.filter((ca) => readCertificate(ca).subjectDN === issuerDN);
    return same.length > 0 ? same : this.#options.cas;
  }

  /** Deliveries may come late and twice; one that another has overtaken must not undo it. */
  #refuseOlder(certificate: Uint8Array): void {
    const inUse = this.#bound?.certificate.notBefore ?? 0;
    if (readCertificate(certificate).notBefore < inUse) throw refused(certificate, 'is older than the one in use');
  }

  async #sweep(): Promise<void> {
    try {
      await this.#inTurn(() => this.#keys.sweep(this.#now()));
      this.#planSweep();
    } catch {
      // The keys are only kept longer than needed.
      this.#planSweep(SWEEP_MS.afterFailure);
    }
  }

  #planSweep(least: number = SWEEP_MS.least): void {
    clearTimeout(this.#timer);
    const { retired } = this.#keys.state;
    if (this.#isClosed || retired.length === 0) return;
    const first = Math.min(...retired.map(({ destroyAfter }) => destroyAfter));
    const wait = Math.min(SWEEP_MS.most, Math.max(least, first - this.#now()));
    this.#timer = setTimeout(() => void this.#sweep(), wait).unref();
  }

  /** One change after the other, whatever became of the one before. */
  #inTurn<Value>(change: () => Promise<Value>): Promise<Value> {
    const turn = this.#last.then(change, change);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

function checkState(name: string, keys: BindingKeys): void {
  const { current } = keys.state;
  if (current === undefined) return;
  if (keys.get(current.key) === undefined) {
    const detail = `The key of the binding "${name}" is not in the crypto token "${keys.token.name}"`;
    throw new PeerError('ERR_CRYPTO_TOKEN_UNAVAILABLE', detail);
  }
  if (keyFingerprintOf(publicKeyOf(current.certificate)) === current.key) return;
  throw new PeerError('ERR_IDENTITY_UNREADABLE', `Key and certificate of the binding "${name}" do not belong together`);
}

function boundBy(keys: BindingKeys): Bound | undefined {
  const { current, generation } = keys.state;
  const key = keys.get(current?.key);
  if (current === undefined || key === undefined) return undefined;
  const { certificate, chain } = current;
  return { signer: { generation, certificate, chain, key }, certificate: readCertificate(certificate) };
}

function refused(certificate: Uint8Array, what: string): PeerError {
  const { serialNumber, subjectDN } = readCertificate(certificate);
  return new PeerError('ERR_CERTIFICATE_REFUSED', `The certificate ${serialNumber} of "${subjectDN}" ${what}`);
}
