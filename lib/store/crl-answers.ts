/**
 * Answers from the CRLs of a store whether a certificate is revoked. The indexes of CRLs are kept in memory as long as
 * there is room, and made anew from the stored bytes when they are missing.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { PeerError } from '../errors.ts';
import { openCrl, readEntries } from '../x509/crl.ts';
import type { CrlIndex } from '../x509/crl-index.ts';
import { bytesSource } from '../x509/crl-source.ts';
import { REVOCATION_REASONS } from '../x509/revocation-reason.ts';
import { integerFromDecimal } from '../x509/serial-number.ts';
import { CRL_CHUNK_BYTES, type CrlAnswer, type CrlTables, crlDataOf, type StoredCrl } from './crl-data.ts';
import { isDelta } from './crl-rules.ts';

/** Memory of all indexes, bytes; at least the one used last is kept. */
const MAX_MEMORY_BYTES = 128 * 1024 * 1024;

/** The indexes of one store. */
export class CrlAnswers {
  readonly #tables: CrlTables;
  /** By fingerprint, the one used last at the end. */
  readonly #indexes = new Map<string, Promise<CrlIndex>>();
  readonly #sizes = new Map<string, number>();

  constructor(tables: CrlTables) {
    this.#tables = tables;
  }

  /** Keeps the index of a CRL that was just read. */
  remember(fingerprint: string, index: CrlIndex): void {
    this.#keep(fingerprint, Promise.resolve(index));
    this.#sizes.set(fingerprint, index.memoryBytes);
    this.#makeRoom();
  }

  /** Lets go of a CRL that another one has replaced. */
  forget(fingerprint: string): void {
    this.#indexes.delete(fingerprint);
    this.#sizes.delete(fingerprint);
  }

  /** See `CrlStore.findRevoked`. */
  async findRevoked(issuerDN: string, serialNumber: string, partition?: number): Promise<CrlAnswer | undefined> {
    const serial = integerFromDecimal(serialNumber);
    const rows = (await this.#tables.crlsOf({ issuerDN })).filter(
      ({ crlPartitionIndex }) => partition === undefined || crlPartitionIndex === partition,
    );
    let clear: CrlAnswer | undefined;
    for (const full of rows.filter((row) => !isDelta(row))) {
      const delta = rows.find((row) => isDelta(row) && isDeltaOf(row, full));
      const answer = (delta && (await this.#ask(delta, serial))) ?? (await this.#ask(full, serial));
      if (answer !== undefined && !isRemoval(answer)) return answer;
      clear ??= { crl: answer?.crl ?? crlDataOf(full), entry: null };
    }
    return clear;
  }

  async #ask(crl: StoredCrl, serial: Uint8Array): Promise<CrlAnswer | undefined> {
    const entry = (await this.#indexOf(crl)).find(serial);
    return entry && { crl: crlDataOf(crl), entry };
  }

  #indexOf({ fingerprint, size }: StoredCrl): Promise<CrlIndex> {
    const known = this.#indexes.get(fingerprint);
    const index = known ?? this.#make(fingerprint, size);
    this.#keep(fingerprint, index);
    return index;
  }

  async #make(fingerprint: string, size: number): Promise<CrlIndex> {
    try {
      const reading = readEntries(openCrl(bytesSource(await this.#load(fingerprint, size))), []);
      let step = reading.next();
      for (; !step.done; step = reading.next()) await nextTurn();
      this.remember(fingerprint, step.value.index);
      return step.value.index;
    } catch (error) {
      this.#indexes.delete(fingerprint);
      throw error;
    }
  }

  async #load(fingerprint: string, size: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at += CRL_CHUNK_BYTES) {
      const chunk = await this.#tables.readChunk(fingerprint, at);
      if (chunk === undefined) throw new PeerError('ERR_OVERLOADED', 'The CRL was replaced while it was read');
      bytes.set(chunk, at);
      await nextTurn();
    }
    return bytes;
  }

  #keep(fingerprint: string, index: Promise<CrlIndex>): void {
    this.#indexes.delete(fingerprint);
    this.#indexes.set(fingerprint, index);
  }

  #makeRoom(): void {
    let used = [...this.#sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
    for (const fingerprint of [...this.#indexes.keys()].slice(0, -1)) {
      if (used <= MAX_MEMORY_BYTES) return;
      used -= this.#sizes.get(fingerprint) ?? 0;
      this.#indexes.delete(fingerprint);
      this.#sizes.delete(fingerprint);
    }
  }
}

/** Whether a delta CRL says something newer than the full one, and builds on it (RFC 5280 5.2.4). */
function isDeltaOf(delta: StoredCrl, full: StoredCrl): boolean {
  return (
    delta.crlPartitionIndex === full.crlPartitionIndex &&
    BigInt(delta.cRLNumber) > BigInt(full.cRLNumber) &&
    BigInt(delta.deltaCRLIndicator) <= BigInt(full.cRLNumber)
  );
}

function isRemoval({ entry }: CrlAnswer): boolean {
  return entry?.revocationReason === REVOCATION_REASONS.removeFromCRL;
}
