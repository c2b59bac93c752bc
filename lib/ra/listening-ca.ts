/**
 * One run of a CA as the RA sees it: its long-hanging connections and what was handed to it.
 */
import { RA_HEARTBEAT_MS, type RaCall } from '../protocol/ra-messages.ts';
import type { RaEntry } from './ra-entry.ts';

/** A call that is held open. */
export interface HeldCall {
  readonly ca: ListeningCa;
  readonly types: readonly string[];
  /** Answers it, with a request or without. */
  readonly end: (entry: RaEntry | undefined) => void;
}

/** One long-hanging connection. */
export interface Slot {
  sequence: number;
  held: HeldCall | undefined;
  /** What the last call was answered with; the same call again is answered with it again. */
  handed: RaEntry | undefined;
}

/** A CA that calls. */
export class ListeningCa {
  readonly instance: string;
  subjectDN = '';
  types: readonly string[] = [];
  /** Requests it was handed and has not answered. */
  readonly handed = new Set<RaEntry>();
  readonly #slots = new Map<number, Slot>();
  #heardAt = 0;

  constructor(instance: string) {
    this.instance = instance;
  }

  /** Takes note of a sign of life. */
  heard(now: number): void {
    this.#heardAt = now;
  }

  /** Milliseconds since the last sign of life; an open call is one. */
  silentMs(now: number): number {
    return this.#held().length > 0 ? 0 : now - this.#heardAt;
  }

  /** Silent for longer than a CA that lives ever is. */
  isSilent(now: number): boolean {
    return this.silentMs(now) > 2 * RA_HEARTBEAT_MS;
  }

  /**
   * The slot of a call. A slot makes one call at a time, so a newer one ends the older, whose connection is broken.
   *
   * @returns undefined for a call that is older than one that came before
   */
  slotOf({ slot: number, sequence }: Pick<RaCall, 'slot' | 'sequence'>): Slot | undefined {
    const slot = this.#slots.get(number) ?? { sequence, held: undefined, handed: undefined };
    if (sequence < slot.sequence) return undefined;
    slot.held?.end(undefined);
    if (sequence > slot.sequence) slot.handed = undefined;
    slot.sequence = sequence;
    this.#slots.set(number, slot);
    return slot;
  }

  /** From now on it may have been begun here. */
  hand(slot: Slot, entry: RaEntry): void {
    slot.handed = entry;
    entry.handedTo.add(this.instance);
    this.handed.add(entry);
  }

  /** Ends all its open calls. */
  release(): void {
    for (const held of this.#held()) held.end(undefined);
  }

  #held(): readonly HeldCall[] {
    return [...this.#slots.values()].flatMap(({ held }) => held ?? []);
  }
}
