/**
 * Remembers signed answers and what was known of the certificate, within a limit of memory.
 *
 * Owns keeping and forgetting. Whether what is kept may still be used is decided in `ocsp-responder.ts`.
 */

import type { PreparedSigner } from './answer-signer.ts';
import type { CertStatus } from './cert-status.ts';
import type { OcspAnswer } from './ocsp-answer.ts';
import type { ServedCa } from './served-cas.ts';

/** What is kept for one CertID. */
export interface CacheEntry {
  readonly ca: ServedCa;
  readonly status: CertStatus;
  /** The `changes` of the lookup when it was asked. */
  changes: number;
  /** The answer without nonce; undefined where so far only others were asked for. */
  readonly answer: OcspAnswer | undefined;
  /** Who signed it. */
  readonly by: PreparedSigner;
  /** Epoch milliseconds from which on the answer is made anew. */
  readonly freshUntil: number;
}

/** Of an entry besides its answer and its key. */
const ENTRY_BYTES = 500;

/** A map that forgets the oldest entries above its limit. */
class BoundedMap {
  readonly #entries = new Map<string, CacheEntry>();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(key: string): CacheEntry | undefined {
    return this.#entries.get(key);
  }

  set(key: string, entry: CacheEntry): void {
    this.delete(key);
    this.#entries.set(key, entry);
    this.#bytes += bytesOf(key, entry);
    for (const [oldest] of this.#entries) {
      if (this.#bytes <= this.#maxBytes) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= bytesOf(key, entry);
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }
}

function bytesOf(key: string, { answer }: CacheEntry): number {
  return ENTRY_BYTES + key.length + (answer?.der.length ?? 0);
}

/**
 * Entries by CertID. Certificates that are not in the store have a quarter of the memory to themselves, so that
 * questions about invented serial numbers do not push out the answers that are needed.
 */
export class AnswerCache {
  readonly #known: BoundedMap;
  readonly #absent: BoundedMap;

  /** @param maxBytes memory for all entries; 0 = nothing is kept */
  constructor(maxBytes: number) {
    this.#absent = new BoundedMap(maxBytes / 4);
    this.#known = new BoundedMap(maxBytes - maxBytes / 4);
  }

  get(key: string): CacheEntry | undefined {
    return this.#known.get(key) ?? this.#absent.get(key);
  }

  /** An entry is not changed any more once it is here, but for `changes`. */
  set(key: string, entry: CacheEntry): void {
    const [into, other] = entry.status.isKnown ? [this.#known, this.#absent] : [this.#absent, this.#known];
    other.delete(key);
    into.set(key, entry);
  }

  /** Entries and the bytes they are counted with. */
  size(): { readonly entries: number; readonly bytes: number } {
    return {
      entries: this.#known.size + this.#absent.size,
      bytes: this.#known.bytes + this.#absent.bytes,
    };
  }
}
