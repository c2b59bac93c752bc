/**
 * What of the overview has changed since somebody looked: so that a thousand rows travel once, and then only those
 * that are others.
 */
import { randomUUID } from 'node:crypto';
import type { Overview } from './overview.ts';

type Section = keyof Overview;
type Row = { readonly id: string };

/** Changes of one section. */
export interface SectionChanges {
  /** New rows and rows with another value. */
  readonly changed: readonly Row[];
  /** Ids. */
  readonly removed: readonly string[];
}

/** What changed since a version. */
export interface OverviewChanges {
  /** To be asked with the next time. */
  readonly version: string;
  /** True when everything is in it, so that older rows must be dropped. */
  readonly isWhole: boolean;
  readonly sections: Readonly<Record<Section, SectionChanges>>;
}

interface Entry {
  readonly row: Row;
  readonly version: number;
}

const SECTIONS = [
  'outgoing',
  'syncs',
  'endpoints',
  'incoming',
  'validationAuthorities',
  'keyBindings',
  'renewers',
  'renewals',
] as const satisfies readonly Section[];
/** Who looked longer ago than so many removals gets everything anew. */
const MAX_REMOVALS = 5_000;

/** Compares each overview with the one before. */
export class OverviewLog {
  // Versions of another run of this program mean nothing here.
  readonly #epoch = randomUUID();
  readonly #entries = new Map<Section, Map<string, Entry>>(SECTIONS.map((section) => [section, new Map()]));
  #removals: { readonly section: Section; readonly id: string; readonly version: number }[] = [];
  #forgotten = 0;
  #version = 1;

  get version(): string {
    return `${this.#epoch}:${this.#version}`;
  }

  /**
   * Takes note of how things are.
   *
   * @returns whether anything is another than before
   */
  update(overview: Overview): boolean {
    const next = this.#version + 1;
    const changes = SECTIONS.map((section) => this.#updateSection(section, overview[section], next));
    if (!changes.includes(true)) return false;
    this.#version = next;
    const surplus = this.#removals.length - MAX_REMOVALS;
    for (const { version } of surplus > 0 ? this.#removals.splice(0, surplus) : []) this.#forgotten = version;
    return true;
  }

  /** @param version as it was given last; anything else gives everything */
  since(version: string): OverviewChanges {
    const [epoch, text = ''] = version.split(':');
    const known = epoch === this.#epoch && /^\d{1,15}$/.test(text) ? Number(text) : 0;
    const isWhole = known === 0 || known < this.#forgotten || known > this.#version;
    const sections = SECTIONS.map((section) => [section, this.#changesOf(section, isWhole ? 0 : known)] as const);
    return { version: this.version, isWhole, sections: Object.fromEntries(sections) as OverviewChanges['sections'] };
  }

  #updateSection(section: Section, rows: readonly Row[], version: number): boolean {
    const entries = this.#entries.get(section) as Map<string, Entry>;
    const gone = new Set(entries.keys());
    let isChanged = false;
    for (const row of rows) {
      gone.delete(row.id);
      if (isSameRow(entries.get(row.id)?.row, row)) continue;
      entries.set(row.id, { row, version });
      isChanged = true;
    }
    for (const id of gone) {
      entries.delete(id);
      this.#removals.push({ section, id, version });
    }
    return isChanged || gone.size > 0;
  }

  #changesOf(section: Section, known: number): SectionChanges {
    const entries = [...(this.#entries.get(section) as Map<string, Entry>).values()];
    const removed = this.#removals.filter((each) => known > 0 && each.section === section && each.version > known);
    return {
      changed: entries.filter(({ version }) => version > known).map(({ row }) => row),
      removed: removed.map(({ id }) => id),
    };
  }
}

/** Rows are flat, so their values are all there is to compare. */
function isSameRow(a: Row | undefined, b: Row): boolean {
  if (a === undefined) return false;
  const keys = Object.keys(b) as (keyof Row)[];
  return keys.length === Object.keys(a).length && keys.every((key) => a[key] === b[key]);
}
