/**
 * The CAs that listen at an RA, and the calls of theirs that are held open.
 */
import { randomInt } from 'node:crypto';
import { PeerError } from '../errors.ts';
import { RA_WAIT_MS, type RaCall, type RaCaller } from '../protocol/ra-messages.ts';
import { type HeldCall, ListeningCa, type Slot } from './listening-ca.ts';
import type { RaEntry } from './ra-entry.ts';
import { accepts } from './waiting-requests.ts';

const MAX_CAS = 1_000;

/** All of them. */
export class ListeningCas {
  readonly #cas = new Map<string, ListeningCa>();
  readonly #held = new Set<HeldCall>();
  #lastLeftAt = 0;

  /** Connections that wait for work. */
  get idle(): number {
    return this.#held.size;
  }

  /** Epoch milliseconds at which the last one that left did so; 0 = none has. */
  get lastLeftAt(): number {
    return this.#lastLeftAt;
  }

  /** Subject DN of each, once. */
  names(): readonly string[] {
    return [...new Set([...this.#cas.values()].map(({ subjectDN }) => subjectDN))];
  }

  get(instance: string): ListeningCa | undefined {
    return this.#cas.get(instance);
  }

  hasFor(type: string): boolean {
    return [...this.#cas.values()].some((ca) => accepts(ca.types, type));
  }

  silentFor(ms: number): readonly ListeningCa[] {
    const now = Date.now();
    return [...this.#cas.values()].filter((ca) => ca.silentMs(now) > ms);
  }

  /** The CA behind a call, and that it lives. @throws PeerError ERR_OVERLOADED */
  callOf({ instance, types }: RaCall, { subjectDN }: RaCaller): ListeningCa {
    const known = this.#cas.get(instance);
    if (known === undefined && this.#cas.size >= MAX_CAS) {
      throw new PeerError('ERR_OVERLOADED', `${MAX_CAS} CAs are listening already`);
    }
    const ca = known ?? new ListeningCa(instance);
    this.#cas.set(instance, ca);
    ca.subjectDN = subjectDN;
    ca.types = types;
    ca.heard(Date.now());
    return ca;
  }

  remove(ca: ListeningCa): void {
    this.#cas.delete(ca.instance);
    this.#lastLeftAt = Date.now();
    ca.release();
  }

  /**
   * Gives a request to the CA of one of the idle connections, whichever: a CA with more of them gets more. Of its
   * connections the one that called last takes it: it is the quickest, and those that are too many may end.
   */
  give(entry: RaEntry): boolean {
    const idle = [...this.#held].filter(({ types }) => accepts(types, entry.question.type));
    if (idle.length === 0) return false;
    const chosen = idle[randomInt(idle.length)];
    idle.findLast(({ ca }) => ca === chosen?.ca)?.end(entry);
    return true;
  }

  /** Holds a call open until there is a request, or time is up, or the connection closes. */
  hold(ca: ListeningCa, slot: Slot, call: RaCall, caller: RaCaller): Promise<RaEntry | undefined> {
    return new Promise((resolve) => {
      const end = (entry: RaEntry | undefined): void => {
        clearTimeout(timer);
        forget();
        this.#held.delete(held);
        slot.held = undefined;
        ca.heard(Date.now());
        if (entry !== undefined) ca.hand(slot, entry);
        resolve(entry);
      };
      const held: HeldCall = { ca, types: call.types, end };
      const timer = setTimeout(() => end(undefined), Math.min(call.waitMs, RA_WAIT_MS));
      const forget = caller.onDisconnect(() => end(undefined));
      slot.held = held;
      this.#held.add(held);
    });
  }

  /** Ends all calls that are held open. */
  release(): void {
    for (const { end } of [...this.#held]) end(undefined);
  }
}
