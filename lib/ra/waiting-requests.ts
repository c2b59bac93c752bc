/**
 * Requests that no CA has taken yet: the highest priority first, within it the oldest.
 */
import type { RaEntry } from './ra-entry.ts';

/** Whether a list of accepted types, empty = all, holds a type. */
export function accepts(types: readonly string[], type: string): boolean {
  return types.length === 0 || types.includes(type);
}

/** An ordered list. */
export class WaitingRequests {
  readonly #entries: RaEntry[] = [];
  readonly #perType = new Map<string, number>();

  get size(): number {
    return this.#entries.length;
  }

  countOf(type: string): number {
    return this.#perType.get(type) ?? 0;
  }

  list(): readonly RaEntry[] {
    return [...this.#entries];
  }

  add(entry: RaEntry): void {
    // Nearly always it is the last.
    let at = this.#entries.length;
    while (at > 0 && isBefore(entry, this.#entries[at - 1])) at -= 1;
    this.#entries.splice(at, 0, entry);
    this.#count(entry, 1);
  }

  /** Takes the first of these types out. */
  take(types: readonly string[]): RaEntry | undefined {
    const at = this.#entries.findIndex(({ question }) => accepts(types, question.type));
    return at === -1 ? undefined : this.#removeAt(at);
  }

  remove(entry: RaEntry): boolean {
    const at = this.#entries.indexOf(entry);
    return at !== -1 && this.#removeAt(at) !== undefined;
  }

  #removeAt(at: number): RaEntry | undefined {
    const [entry] = this.#entries.splice(at, 1);
    if (entry !== undefined) this.#count(entry, -1);
    return entry;
  }

  #count({ question }: RaEntry, change: number): void {
    const count = this.countOf(question.type) + change;
    if (count === 0) this.#perType.delete(question.type);
    else this.#perType.set(question.type, count);
  }
}

function isBefore(entry: RaEntry, other: RaEntry | undefined): boolean {
  if (other === undefined) return false;
  return entry.priority > other.priority || (entry.priority === other.priority && entry.number < other.number);
}
