/**
 * A crypto token in an encrypted PKCS#12 file.
 *
 * Owns its keys and their durability.
 */
import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { PeerError } from '../errors.ts';
import { DerError } from '../x509/der.ts';
import { type SigningKey, softwareKey } from '../x509/signing-key.ts';
import { type CryptoToken, keyFingerprintOf, type TokenKeyAlgorithm } from './crypto-token.ts';
import { DurableFile } from './durable-file.ts';
import { decryptPrivateKey, encryptPrivateKey } from './pbes2.ts';
import { deriveMacKey, isIntact, type MacKey, readContainer, writeContainer } from './token-container.ts';

/** Where a token in a file is, and how it is protected. */
export interface FileTokenOptions {
  readonly name: string;
  readonly file: string;
  /** Not empty. */
  readonly passphrase: string;
  /** Rounds of PBKDF2 for each key that is written. Default 600000. */
  readonly iterations?: number;
  /** Rounds for the MAC of a file that is new; see RFC 7292 B.2. Default 200000. */
  readonly macIterations?: number;
}

const PBKDF2_ITERATIONS = 600_000;
const MAC_ITERATIONS = 200_000;

const generate = promisify(generateKeyPair);

/** The file; `openssl pkcs12` reads it. It is made with the first key. */
export class FileToken implements CryptoToken {
  readonly name: string;
  readonly #options: FileTokenOptions;
  readonly #file: DurableFile;
  readonly #macKey: MacKey;
  #keys: ReadonlyMap<string, SigningKey>;
  #encrypted: ReadonlyMap<string, Uint8Array>;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: FileTokenOptions, file: DurableFile, content: TokenContent) {
    this.name = options.name;
    this.#options = options;
    this.#file = file;
    this.#macKey = content.macKey;
    this.#keys = content.keys;
    this.#encrypted = content.encrypted;
  }

  /**
   * Opens the file, or begins a new one.
   *
   * @throws PeerError ERR_WRONG_PASSPHRASE; ERR_IDENTITY_UNREADABLE when the file is damaged or something else;
   *   ERR_CRYPTO_TOKEN_UNAVAILABLE when it cannot be read; ERR_INVALID_CONFIG without a passphrase
   */
  static async open(options: FileTokenOptions): Promise<FileToken> {
    if (options.passphrase === '') {
      throw new PeerError('ERR_INVALID_CONFIG', `The crypto token "${options.name}" has no passphrase`);
    }
    const file = new DurableFile(options.file);
    const bytes = await file.read();
    return new FileToken(options, file, bytes === undefined ? await emptyContent(options) : await open(bytes, options));
  }

  keys(): ReadonlyMap<string, SigningKey> {
    return this.#keys;
  }

  /** @throws PeerError ERR_CRYPTO_TOKEN_UNAVAILABLE; the keys that were there stay */
  generateKey(algorithm: TokenKeyAlgorithm): Promise<string> {
    return this.#inTurn(async () => {
      const { privateKey } = await makeKeyPair(algorithm);
      const { passphrase, iterations = PBKDF2_ITERATIONS } = this.#options;
      const encrypted = await encryptPrivateKey(privateKey, { passphrase, iterations });
      const fingerprint = keyFingerprintOf(privateKey);
      await this.#write(new Map([...this.#encrypted, [fingerprint, encrypted]]));
      this.#keys = new Map([...this.#keys, [fingerprint, softwareKey(privateKey)]]);
      return fingerprint;
    });
  }

  /** @throws PeerError ERR_CRYPTO_TOKEN_UNAVAILABLE; the key stays then */
  destroyKey(fingerprint: string): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#keys.has(fingerprint)) return;
      await this.#write(without(this.#encrypted, fingerprint));
      this.#keys = without(this.#keys, fingerprint);
    });
  }

  /** Waits for the change that is under way. */
  async close(): Promise<void> {
    await this.#last;
  }

  async #write(encrypted: ReadonlyMap<string, Uint8Array>): Promise<void> {
    await this.#file.write(writeContainer(encrypted, this.#macKey));
    this.#encrypted = encrypted;
  }

  /** One change after the other, whatever became of the one before. */
  #inTurn<Value>(change: () => Promise<Value>): Promise<Value> {
    const turn = this.#last.then(change, change);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

interface TokenContent {
  readonly keys: ReadonlyMap<string, SigningKey>;
  readonly encrypted: ReadonlyMap<string, Uint8Array>;
  readonly macKey: MacKey;
}

async function emptyContent({ passphrase, macIterations = MAC_ITERATIONS }: FileTokenOptions): Promise<TokenContent> {
  return { keys: new Map(), encrypted: new Map(), macKey: await deriveMacKey(passphrase, macIterations) };
}

async function open(bytes: Uint8Array, { name, file, passphrase }: FileTokenOptions): Promise<TokenContent> {
  try {
    const container = readContainer(bytes);
    const macKey = await deriveMacKey(passphrase, container.iterations, container.salt);
    const keys = await decryptAll(container.keys, passphrase);
    if (keys !== undefined && isIntact(bytes, container, macKey)) return { keys, encrypted: container.keys, macKey };
    if (keys !== undefined && keys.size > 0) throw new DerError('the MAC does not verify', 0);
  } catch (cause) {
    if (!(cause instanceof DerError)) throw cause;
    throw new PeerError('ERR_IDENTITY_UNREADABLE', `The crypto token ${file} is damaged: ${cause.message}`, { cause });
  }
  throw new PeerError('ERR_WRONG_PASSPHRASE', `The passphrase does not open the crypto token "${name}" (${file})`);
}

/** undefined when the passphrase does not open one of them. */
async function decryptAll(
  encrypted: ReadonlyMap<string, Uint8Array>,
  passphrase: string,
): Promise<ReadonlyMap<string, SigningKey> | undefined> {
  const keys = new Map<string, SigningKey>();
  for (const [fingerprint, der] of encrypted) {
    const key = await decryptPrivateKey(der, passphrase);
    if (key === undefined) return undefined;
    if (keyFingerprintOf(key) !== fingerprint) throw new DerError('a key is not the one that its name says', 0);
    keys.set(fingerprint, softwareKey(key));
  }
  return keys;
}

function makeKeyPair(algorithm: TokenKeyAlgorithm): Promise<{ readonly privateKey: KeyObject }> {
  if (algorithm === 'Ed25519') return generate('ed25519');
  if (algorithm === 'P-256' || algorithm === 'P-384') return generate('ec', { namedCurve: algorithm });
  return generate('rsa', { modulusLength: Number(algorithm.slice('RSA-'.length)) });
}

function without<Value>(map: ReadonlyMap<string, Value>, key: string): ReadonlyMap<string, Value> {
  return new Map([...map].filter(([each]) => each !== key));
}
