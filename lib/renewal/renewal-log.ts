/**
 * What became lately of the renewals of one node: each key binding with the step it has reached, or how it ended.
 *
 * Owns this memory and nothing of the renewals themselves; it is bounded, and gone with the node.
 */
import { type PeerErrorCode, toPeerError } from '../errors.ts';
import type { RenewalProgress } from './key-binding-renewal.ts';
import type { RenewalResult, RenewalSelection } from './renew-key-bindings.ts';

/** The renewal of one key binding, under way or ended. Plain data. */
export interface RenewalState {
  /** The peer connector that leads to the key binding. */
  readonly connectorId: string;
  /** Name of the key binding. */
  readonly binding: string;
  /** The step that was over last; empty = none yet. */
  readonly step: RenewalProgress['step'] | '';
  /** Empty while it is under way. */
  readonly outcome: 'renewed' | 'failed' | '';
  /** Why it failed; empty when there is nothing to say. */
  readonly code: PeerErrorCode | '';
  readonly detail: string;
  /** Epoch milliseconds. */
  readonly startedAt: number;
  /** Epoch milliseconds; 0 while it is under way. */
  readonly endedAt: number;
}

type Change = Partial<Pick<RenewalState, 'step' | 'outcome' | 'code' | 'detail'>>;

/** Names come with messages, so that there may be any number of them. */
const MAX_STATES = 200;

/** Remembers renewals, each key binding once. */
export class RenewalLog {
  readonly #now: () => number;
  /** The one begun last at the end. */
  readonly #states = new Map<string, RenewalState>();

  /** @param now epoch milliseconds */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Copies, the one begun last at the end. */
  list(): readonly RenewalState[] {
    return [...this.#states.values()];
  }

  isUnderway(connectorId: string, binding: string): boolean {
    return this.#states.get(keyOf(connectorId, binding))?.outcome === '';
  }

  /**
   * Follows renewals from their begin to their end. Those that are named are under way at once; those that are found to
   * be due, from their first step on.
   *
   * @param run the renewals; to be told of each step
   * @throws PeerError what the renewals throw
   */
  async follow(
    connectorId: string,
    selection: RenewalSelection,
    run: (onProgress: (progress: RenewalProgress) => void) => Promise<RenewalResult>,
  ): Promise<RenewalResult> {
    const open = new Set<string>();
    const begin = (binding: string): void => {
      if (open.has(binding)) return;
      open.add(binding);
      this.#begin(connectorId, binding);
    };
    const end = (binding: string, change: Change): void => {
      if (open.delete(binding)) this.#change(connectorId, binding, change);
    };
    for (const name of 'names' in selection ? selection.names : []) begin(name);
    try {
      const result = await run(({ binding, step }) => {
        begin(binding);
        this.#change(connectorId, binding, { step });
      });
      for (const { name, outcome, code, detail } of result.rows) {
        if (outcome === 'unchanged') continue;
        // One may fail before its first step.
        begin(name);
        end(name, { outcome, code, detail });
      }
      return result;
    } catch (error) {
      const { code, message: detail } = toPeerError(error);
      for (const binding of [...open]) end(binding, { outcome: 'failed', code, detail });
      throw error;
    }
  }

  #begin(connectorId: string, binding: string): void {
    const key = keyOf(connectorId, binding);
    const state = { connectorId, binding, step: '', outcome: '', code: '', detail: '', endedAt: 0 } as const;
    this.#states.delete(key);
    this.#states.set(key, { ...state, startedAt: this.#now() });
    const oldest = this.#states.keys().next().value;
    if (this.#states.size > MAX_STATES && oldest !== undefined) this.#states.delete(oldest);
  }

  #change(connectorId: string, binding: string, change: Change): void {
    const key = keyOf(connectorId, binding);
    const state = this.#states.get(key);
    if (state === undefined) return;
    const isOver = (change.outcome ?? '') !== '';
    this.#states.set(key, { ...state, ...change, ...(isOver && { endedAt: this.#now() }) });
  }
}

function keyOf(connectorId: string, binding: string): string {
  return `${connectorId} ${binding}`;
}
