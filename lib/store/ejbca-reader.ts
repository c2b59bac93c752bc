/**
 * Reads rows in one session of an EJBCA database, over both tables of certificates.
 */
import { type CaScope, isCaInScope } from '../x509/ca-scope.ts';
import { type OnSkipped, readSourceRow, type SourceRow } from './ejbca-row.ts';
import { type BodyChoice, columnOf, conditionOf, selectCounts, selectIssuers, selectRows } from './ejbca-select.ts';
import type { EjbcaSession } from './ejbca-session.ts';
import type { EjbcaTable } from './ejbca-tables.ts';
import type { RowFilter } from './row-filter.ts';

/** Which rows, and how much of them. */
export interface Selection {
  readonly filter: RowFilter;
  /** Further limits the CAs. */
  readonly within: CaScope;
  readonly body: BodyChoice;
}

/** Some rows in fingerprint order. */
export interface Batch {
  readonly rows: readonly SourceRow[];
  /** Whether there are no more; without it there is at least one row. */
  readonly isEnd: boolean;
}

/** Fingerprints that a bucket ends before. */
interface Bounds {
  /** Inclusive. */
  readonly from: string;
  /** Exclusive. */
  readonly to: string;
}

type Where = { readonly sql: string; readonly values: readonly string[] };

/** What can be asked of the tables. Every call throws what the driver throws. */
export class EjbcaReader {
  readonly #session: EjbcaSession;
  readonly #onSkipped: OnSkipped;

  constructor(session: EjbcaSession, onSkipped: OnSkipped) {
    this.#session = session;
    this.#onSkipped = onSkipped;
  }

  /** All rows of a selection, in no order. */
  async *scan(selection: Selection): AsyncGenerator<readonly SourceRow[]> {
    for (const table of this.#certificateTables()) {
      const { sql, values } = await this.#select(table, selection);
      for await (const piece of this.#session.connection.scan(sql, values)) yield this.#read(piece, selection.body);
    }
  }

  /** The next rows after a fingerprint; fewer than the limit may come though there are more. */
  async batch(selection: Selection, after: string, limit: number): Promise<Batch> {
    const { certificates, noConflict } = this.#session.tables;
    const first = await this.#batchOf(certificates, selection, { after, limit });
    if (noConflict === undefined) return first;
    const until = first.isEnd ? undefined : lastOf(first.rows);
    const second = await this.#batchOf(noConflict, selection, { after, limit, until });
    const last = second.isEnd ? undefined : lastOf(second.rows);
    // Beyond the last row of a part that goes on, rows of that part may be missing.
    const known = last === undefined ? first.rows : first.rows.filter((row) => hexOf(row) <= last);
    const isEnd = first.isEnd && second.isEnd;
    return { rows: [...known, ...second.rows].sort(byFingerprint), isEnd };
  }

  /** All rows between two fingerprints, in order. */
  async between(selection: Selection, { from, to }: Bounds): Promise<readonly SourceRow[]> {
    const found: SourceRow[] = [];
    for (const table of this.#certificateTables()) {
      const fingerprint = columnOf(table, 'fingerprint');
      const select = await this.#select(table, selection);
      const sql = `${select.sql} AND ${fingerprint} >= ? AND ${fingerprint} < ?`;
      found.push(...(await this.#query({ sql, values: [...select.values, from, to] }, selection.body)));
    }
    return found.sort(byFingerprint);
  }

  /** Rows by their fingerprints, 40 hexadecimal digits each. */
  async byFingerprints(fingerprints: readonly string[], body: BodyChoice): Promise<ReadonlyMap<string, SourceRow>> {
    const found = new Map<string, SourceRow>();
    for (const table of this.#certificateTables()) {
      const wanted = fingerprints.filter((fingerprint) => !found.has(fingerprint));
      if (wanted.length === 0) break;
      const list = wanted.map((fingerprint) => `'${fingerprint}'`).join();
      const sql = `${selectRows(this.#session.tables, table, body)} AND ${columnOf(table, 'fingerprint')} IN (${list})`;
      for (const row of await this.#query({ sql, values: [] }, body)) found.set(hexOf(row), row);
    }
    return found;
  }

  /** Rows of one issuer and serial number, in no order. */
  async bySerialNumber(issuerDN: string, serialNumber: string, limit: number): Promise<readonly SourceRow[]> {
    const found: SourceRow[] = [];
    for (const table of this.#certificateTables()) {
      const where = `${columnOf(table, 'serialNumber')} = ? AND ${columnOf(table, 'issuerDN')} = ?`;
      const sql = `${selectRows(this.#session.tables, table, 'whole')} AND ${where} LIMIT ${limit}`;
      found.push(...(await this.#query({ sql, values: [serialNumber, issuerDN] }, 'whole')));
    }
    return found;
  }

  /** Rows, revoked ones, and those with a certificate. */
  async counts(): Promise<readonly number[]> {
    const sums = [0, 0, 0];
    for (const table of this.#certificateTables()) {
      const [counts] = await this.#session.connection.query(selectCounts(this.#session.tables, table));
      for (const index of sums.keys()) sums[index] = (sums[index] ?? 0) + Number(counts?.[index] ?? 0);
    }
    return sums;
  }

  #certificateTables(): readonly EjbcaTable[] {
    const { certificates, noConflict } = this.#session.tables;
    return noConflict === undefined ? [certificates] : [certificates, noConflict];
  }

  /** The next rows of one table. Goes on until there is one that can be read. */
  async #batchOf(
    table: EjbcaTable,
    selection: Selection,
    range: { readonly after: string; readonly limit: number; readonly until?: string | undefined },
  ): Promise<Batch> {
    const fingerprint = columnOf(table, 'fingerprint');
    const select = await this.#select(table, selection);
    const until = range.until === undefined ? '' : ` AND ${fingerprint} <= ?`;
    const sql = `${select.sql} AND ${fingerprint} > ?${until} ORDER BY ${fingerprint} LIMIT ${range.limit}`;
    for (let after = range.after; ; ) {
      const values = [...select.values, after, ...(range.until === undefined ? [] : [range.until])];
      const raw = await this.#session.connection.query(sql, values);
      const isEnd = raw.length < range.limit;
      const rows = this.#read(raw, selection.body);
      if (isEnd || rows.length > 0) return { rows, isEnd };
      after = String(raw.at(-1)?.[0]);
    }
  }

  async #query({ sql, values }: Where, body: BodyChoice): Promise<readonly SourceRow[]> {
    return this.#read(await this.#session.connection.query(sql, values), body);
  }

  #read(raw: readonly (readonly unknown[])[], body: BodyChoice): readonly SourceRow[] {
    const rows: SourceRow[] = [];
    for (const values of raw) {
      const row = readSourceRow(values, body === 'whole', this.#onSkipped);
      if (row !== undefined) rows.push(row);
    }
    return rows;
  }

  async #select(table: EjbcaTable, { filter, within, body }: Selection): Promise<Where> {
    const { sql, values } = conditionOf(table, filter, await this.#issuersOf(filter.cas, within));
    return { sql: selectRows(this.#session.tables, table, body) + sql, values };
  }

  /** Undefined = all of them. */
  async #issuersOf(cas: CaScope, within: CaScope): Promise<readonly string[] | undefined> {
    if (isEverything(cas) && isEverything(within)) return undefined;
    const all = await this.#issuers();
    const meant = all.filter((issuerDN) => isCaInScope(issuerDN, cas) && isCaInScope(issuerDN, within));
    return meant.length === all.length ? undefined : meant;
  }

  async #issuers(): Promise<readonly string[]> {
    const { memory, connection } = this.#session;
    if (memory?.issuers !== undefined) return memory.issuers;
    const issuers = new Set<string>();
    for (const table of this.#certificateTables()) {
      for (const [issuerDN] of await connection.query(selectIssuers(table))) {
        if (issuerDN !== null) issuers.add(String(issuerDN));
      }
    }
    if (memory !== undefined) memory.issuers = [...issuers];
    return [...issuers];
  }
}

function isEverything({ others, named }: CaScope): boolean {
  return others && !Object.values(named).includes(false);
}

function hexOf({ columns }: SourceRow): string {
  return Buffer.from(columns.fingerprint).toString('hex');
}

function lastOf(rows: readonly SourceRow[]): string | undefined {
  const last = rows.at(-1);
  return last === undefined ? undefined : hexOf(last);
}

function byFingerprint(a: SourceRow, b: SourceRow): number {
  return Buffer.compare(a.columns.fingerprint, b.columns.fingerprint);
}
