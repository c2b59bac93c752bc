/**
 * An EJBCA database as a source of certificate data: read, never written.
 *
 * A comparison and what follows it read one snapshot, however long they take: a comparison that begins ends the
 * former snapshot, and so does a minute without a call. Single rows are looked up in the present state,
 * because whether a certificate is revoked must not be told from an old one.
 */
import { PeerError } from '../errors.ts';
import type { CaScope } from '../x509/ca-scope.ts';
import { decimalFromInteger, integerFromDecimal } from '../x509/serial-number.ts';
import { CborWriter } from './cbor.ts';
import { type RowColumns, writeRow } from './certificate-row.ts';
import { MAX_SAME_SERIAL } from './certificate-status.ts';
import type { PageRequest, RowPage, RowsOf, RowsOfRequest, StoreCounts } from './certificate-store.ts';
import { checkEjbcaConfig, type EjbcaConfig, nameOf, toEjbcaError } from './ejbca-connection.ts';
import { EjbcaReader } from './ejbca-reader.ts';
import type { SkippedRow, SourceRow } from './ejbca-row.ts';
import { EjbcaSessions, openSession } from './ejbca-session.ts';
import { readBucket, rememberedSums, scanSums } from './ejbca-sums.ts';
import type { BucketRow } from './range-comparison.ts';
import type { RangeSums } from './range-sums.ts';
import type { RowFilter } from './row-filter.ts';
import type { StoreEngine } from './store-engine.ts';

const IDLE_MS = 60_000;
const MAX_SKIPPED = 10_000;
/** Rows of one query, at most. */
const MAX_BATCH = 5_000;
/** Bytes of a row with certificate, before there is any experience. */
const USUAL_ROW_BYTES = 2_000;

/** The engine over one database. */
export class EjbcaStore implements StoreEngine {
  readonly #config: EjbcaConfig;
  /** One snapshot for a comparison and what follows it. */
  readonly #snapshots: EjbcaSessions;
  /** The present state. */
  readonly #lookups: EjbcaSessions;
  readonly #skipped = new Map<string, SkippedRow>();
  #rowBytes = USUAL_ROW_BYTES;

  /** @param idleMs milliseconds without a call after which a snapshot is let go */
  constructor(config: EjbcaConfig, idleMs = IDLE_MS) {
    this.#config = config;
    this.#snapshots = new EjbcaSessions(config, { isSnapshot: true, idleMs });
    this.#lookups = new EjbcaSessions(config, { isSnapshot: false, idleMs });
  }

  /** @throws PeerError ERR_INVALID_CONFIG, always */
  writeGroup(): never {
    throw new PeerError('ERR_INVALID_CONFIG', `The ${nameOf(this.#config)} is read only; rows cannot be stored there`);
  }

  /** @throws PeerError ERR_INVALID_CONFIG, always */
  queue(): never {
    throw new PeerError('ERR_INVALID_CONFIG', `The ${nameOf(this.#config)} is read only; it cannot hold a queue`);
  }

  /** Rows that could not be read as they are since the last comparison began, the first 10,000. */
  skippedRows(): readonly SkippedRow[] {
    return [...this.#skipped.values()];
  }

  sums(filter: RowFilter, within: CaScope, isFresh: boolean): Promise<RangeSums> {
    if (isFresh) {
      this.#snapshots.renew();
      this.#skipped.clear();
    }
    const key = JSON.stringify([filter, within]);
    return this.#read(this.#snapshots, (reader, memory) => {
      const make = (): Promise<RangeSums> => scanSums(reader, filter, within);
      return memory === undefined ? make() : rememberedSums(memory.sums, key, make);
    });
  }

  bucketRows(filter: RowFilter, within: CaScope, bucket: number): Promise<readonly BucketRow[]> {
    return this.#read(this.#snapshots, (reader) => readBucket(reader, { filter, within }, bucket));
  }

  page({ filter, after, limit, maxBytes }: PageRequest): Promise<RowPage> {
    const body = filter.withCertificate ? 'whole' : 'none';
    return this.#read(this.#subsets(), async (reader) => {
      const most = Math.max(1, Math.min(limit, this.#batchRows(filter.withCertificate, maxBytes)));
      const selection = { filter, within: filter.cas, body } as const;
      const { rows } = await reader.batch(selection, Buffer.from(after).toString('hex'), most);
      return this.#encode(rows.slice(0, limit), maxBytes);
    });
  }

  rowsOf({ fingerprints, withCertificate, maxBytes }: RowsOfRequest): Promise<RowsOf> {
    const wanted = Buffer.from(fingerprints).toString('hex').match(/.{40}/g) ?? [];
    return this.#read(this.#subsets(), async (reader) => {
      const writer = new CborWriter(64 * 1024);
      const done = { count: 0, taken: 0 };
      while (done.taken < wanted.length && writer.length < maxBytes) {
        const most = this.#batchRows(withCertificate, maxBytes - writer.length);
        const batch = wanted.slice(done.taken, done.taken + most);
        const found = await reader.byFingerprints(batch, withCertificate ? 'whole' : 'none');
        const { count, taken } = writeFound(writer, { wanted: batch, found }, maxBytes);
        done.count += count;
        done.taken += taken;
      }
      return { rows: writer.take(), ...done };
    });
  }

  findByFingerprint(fingerprint: string): Promise<Uint8Array> {
    const wanted = fingerprint.toLowerCase();
    if (!/^[0-9a-f]{40}$/.test(wanted)) return Promise.resolve(new Uint8Array(0));
    return this.#lookUp(async (reader) => [...(await reader.byFingerprints([wanted], 'whole')).values()]);
  }

  findBySerialNumber(issuerDN: string, serialNumber: string): Promise<Uint8Array> {
    const decimal = decimalFromInteger(integerFromDecimal(serialNumber));
    // PostgreSQL has no NUL in texts and refuses to look for one.
    if (issuerDN.includes('\0')) return Promise.resolve(new Uint8Array(0));
    return this.#lookUp(async (reader) =>
      [...(await reader.bySerialNumber(issuerDN, decimal, MAX_SAME_SERIAL))].sort(newestFirst),
    );
  }

  /** A connection of its own: counting takes long, and nobody waits behind it. */
  async count(): Promise<StoreCounts> {
    checkEjbcaConfig(this.#config);
    try {
      const session = await openSession(this.#config, false);
      try {
        const [total = 0, revoked = 0, withCertificate = 0] = await new EjbcaReader(session, () => undefined).counts();
        return { total, revoked, withCertificate };
      } finally {
        session.connection.destroy();
      }
    } catch (error) {
      throw toEjbcaError(error, this.#config);
    }
  }

  async probe(): Promise<void> {
    checkEjbcaConfig(this.#config);
    await this.#lookups.use(() => Promise.resolve());
  }

  async close(): Promise<void> {
    await Promise.all([this.#snapshots.close(), this.#lookups.close()]);
  }

  /** Where the rows of a subset are read: in the snapshot of a comparison when there is one. */
  #subsets(): EjbcaSessions {
    return this.#snapshots.isOpen ? this.#snapshots : this.#lookups;
  }

  async #read<T>(
    sessions: EjbcaSessions,
    work: (reader: EjbcaReader, memory: { readonly sums: Map<string, RangeSums> } | undefined) => Promise<T>,
  ): Promise<T> {
    checkEjbcaConfig(this.#config);
    return sessions.use((session) => work(new EjbcaReader(session, (row) => this.#skip(row)), session.memory));
  }

  /** Rows of the present state. A row that is there and not readable is no answer, rather than not there. */
  async #lookUp(find: (reader: EjbcaReader) => Promise<readonly SourceRow[]>): Promise<Uint8Array> {
    checkEjbcaConfig(this.#config);
    return this.#lookups.use(async (session) => {
      const skipped: SkippedRow[] = [];
      const rows = await find(new EjbcaReader(session, (row) => skipped.push(row)));
      const found = new Set(rows.map(({ columns }) => Buffer.from(columns.fingerprint).toString('hex')));
      const lost = skipped.find(({ fingerprint }) => !found.has(fingerprint));
      if (lost !== undefined)
        throw new PeerError('ERR_MALFORMED_MESSAGE', `The row ${lost.fingerprint} is not readable: ${lost.detail}`);
      return this.#encode(rows, Number.MAX_SAFE_INTEGER).rows;
    });
  }

  #skip(row: SkippedRow): void {
    if (this.#skipped.size < MAX_SKIPPED) this.#skipped.set(row.fingerprint, row);
  }

  /** As many rows as will fit, so that few are read in vain. */
  #batchRows(withCertificate: boolean, maxBytes: number): number {
    if (!withCertificate) return MAX_BATCH;
    return Math.max(1, Math.min(MAX_BATCH, Math.ceil(maxBytes / this.#rowBytes)));
  }

  #encode(rows: readonly SourceRow[], maxBytes: number): RowPage {
    const writer = new CborWriter(64 * 1024);
    let count = 0;
    let last: RowColumns | undefined;
    let bodies = 0;
    for (const { columns } of rows) {
      writeRow(writer, columns);
      last = columns;
      count += 1;
      if (columns.certificate !== null) bodies += 1;
      if (writer.length >= maxBytes) break;
    }
    if (bodies > 0) this.#rowBytes = Math.max(100, writer.length / count);
    return { rows: writer.take(), count, last: last?.fingerprint ?? new Uint8Array(0) };
  }
}

/** Writes rows in the order in which they are wanted; gives how many there were, and how many were looked at. */
function writeFound(
  writer: CborWriter,
  rows: { readonly wanted: readonly string[]; readonly found: ReadonlyMap<string, SourceRow> },
  maxBytes: number,
): { readonly count: number; readonly taken: number } {
  let count = 0;
  let taken = 0;
  for (const fingerprint of rows.wanted) {
    if (writer.length >= maxBytes) break;
    taken += 1;
    const row = rows.found.get(fingerprint);
    if (row === undefined) continue;
    writeRow(writer, row.columns);
    count += 1;
  }
  return { count, taken };
}

function newestFirst(a: SourceRow, b: SourceRow): number {
  const newer = b.columns.updateTime - a.columns.updateTime;
  return newer !== 0 ? newer : Buffer.compare(a.columns.fingerprint, b.columns.fingerprint);
}
