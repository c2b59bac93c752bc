/**
 * What a key binding remembers: which key of its token signs with which certificate, which one waits for its
 * certificate, which ones wait for their end.
 *
 * One small JSON file beside the token, without secrets. Replacing it is the one step in which a binding switches.
 */
import { PeerError } from '../errors.ts';
import { readPem, toPem } from '../x509/pem.ts';
import { DurableFile } from './durable-file.ts';

/** The key that signs, and its certificate. Keys go by their fingerprints. */
export interface BoundCertificate {
  readonly key: string;
  /** DER. */
  readonly certificate: Uint8Array;
  /** DER, the issuing CA first. */
  readonly chain: readonly Uint8Array[];
}

/** A key whose certificate was replaced. */
export interface RetiredKey {
  readonly key: string;
  /** Epoch milliseconds. */
  readonly destroyAfter: number;
}

/** All of it. Values are replaced, never changed. */
export interface BindingState {
  /** Counts the switches. */
  readonly generation: number;
  readonly current: BoundCertificate | undefined;
  /** Fingerprint of the key that waits for its certificate. */
  readonly next: string | undefined;
  /** DER of the request that was handed out for it: asked again, the same is given. */
  readonly request: Uint8Array | undefined;
  readonly retired: readonly RetiredKey[];
}

const NEW: BindingState = { generation: 0, current: undefined, next: undefined, request: undefined, retired: [] };
const VERSION = 1;

/** The file of a state. */
export class BindingStateFile {
  readonly #file: DurableFile;

  constructor(path: string) {
    this.#file = new DurableFile(path);
  }

  /**
   * The state; a new one when there is no file.
   *
   * @throws PeerError ERR_CRYPTO_TOKEN_UNAVAILABLE, ERR_IDENTITY_UNREADABLE when the file is damaged
   */
  async load(): Promise<BindingState> {
    const bytes = await this.#file.read();
    if (bytes === undefined) return NEW;
    try {
      return parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    } catch (cause) {
      const detail = `The state of a key binding in ${this.#file.path} is damaged`;
      throw new PeerError('ERR_IDENTITY_UNREADABLE', detail, { cause });
    }
  }

  /** @throws PeerError ERR_CRYPTO_TOKEN_UNAVAILABLE; the former state is still there then */
  async save(state: BindingState): Promise<void> {
    await this.#file.write(Buffer.from(`${JSON.stringify(print(state), undefined, 2)}\n`));
  }
}

function print({ generation, current, next, request, retired }: BindingState): Record<string, unknown> {
  return {
    version: VERSION,
    generation,
    ...(current && {
      current: { key: current.key, certificates: [current.certificate, ...current.chain].map((der) => toPem(der)) },
    }),
    ...(next !== undefined && { next }),
    ...(request && { request: Buffer.from(request).toString('base64') }),
    retired,
  };
}

function parse(value: unknown): BindingState {
  const { version, generation, current, next, request, retired } = asObject(value);
  if (version !== VERSION || !Number.isSafeInteger(generation) || !Array.isArray(retired))
    throw new Error('not a state');
  return {
    generation: generation as number,
    current: current === undefined ? undefined : parseCurrent(asObject(current)),
    next: next === undefined ? undefined : asText(next),
    request: request === undefined ? undefined : Buffer.from(asText(request), 'base64'),
    retired: retired.map(parseRetired),
  };
}

function parseCurrent({ key, certificates }: Record<string, unknown>): BoundCertificate {
  if (!Array.isArray(certificates)) throw new Error('no certificates');
  const [certificate, ...chain] = readPem(certificates.map(asText).join('\n'));
  if (certificate === undefined) throw new Error('no certificate');
  return { key: asText(key), certificate, chain };
}

function parseRetired(value: unknown): RetiredKey {
  const { key, destroyAfter } = asObject(value);
  if (typeof destroyAfter !== 'number') throw new Error('no time');
  return { key: asText(key), destroyAfter };
}

function asObject(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('not an object');
  return value as Record<string, unknown>;
}

function asText(value: unknown): string {
  if (typeof value !== 'string') throw new Error('not a text');
  return value;
}
