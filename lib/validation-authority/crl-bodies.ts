/**
 * The bytes of CRLs that are being served: each is read from the store once and shared by all who fetch it, so that a
 * CRL of 49 MB is 49 MB however many clients there are, and a client may finish one that was replaced meanwhile.
 */
import { PeerError } from '../errors.ts';
import type { CrlData, CrlStore } from '../store/crl-data.ts';

/** Bytes that are kept when nobody fetches them; the one used last is always kept. */
const MAX_KEPT_BYTES = 128 * 1024 * 1024;

/** Shared bodies of one store. */
export class CrlBodies {
  readonly #crls: CrlStore;
  /** By fingerprint, the one used last at the end. */
  readonly #bodies = new Map<string, { readonly size: number; readonly body: Promise<Uint8Array> }>();

  constructor(crls: CrlStore) {
    this.#crls = crls;
  }

  /** @throws PeerError ERR_OVERLOADED when the CRL was replaced while it was read; asking anew gets the new one */
  get({ fingerprint, size }: CrlData): Promise<Uint8Array> {
    const body = this.#bodies.get(fingerprint)?.body ?? this.#read(fingerprint, size);
    this.#bodies.delete(fingerprint);
    this.#bodies.set(fingerprint, { size, body });
    this.#makeRoom();
    return body;
  }

  async #read(fingerprint: string, size: number): Promise<Uint8Array> {
    try {
      const whole = new Uint8Array(size);
      for (let at = 0; at < size; ) {
        const chunk = await this.#crls.read(fingerprint, at);
        if (chunk === undefined) throw new PeerError('ERR_OVERLOADED', 'The CRL was replaced while it was read');
        whole.set(chunk, at);
        at += chunk.length;
      }
      return whole;
    } catch (error) {
      this.#bodies.delete(fingerprint);
      throw error;
    }
  }

  #makeRoom(): void {
    let kept = [...this.#bodies.values()].reduce((sum, { size }) => sum + size, 0);
    for (const [fingerprint, { size }] of [...this.#bodies].slice(0, -1)) {
      if (kept <= MAX_KEPT_BYTES) return;
      kept -= size;
      this.#bodies.delete(fingerprint);
    }
  }
}
