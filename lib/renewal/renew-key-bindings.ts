/**
 * Renews those key bindings of a peer that are named, or all that are due; one that fails harms no other.
 *
 * @see EJBCA, Remote Internal Key Bindings Updater
 */
import { PeerError, type PeerErrorCode, toPeerError } from '../errors.ts';
import type { KeyBindingFacts } from '../keybinding/key-binding-facts.ts';
import { type RenewalTask, renewKeyBinding } from './key-binding-renewal.ts';

/** Which bindings: those with these names, whenever they expire, or all that expire within a time. */
export type RenewalSelection = { readonly names: readonly string[] } | { readonly expiresWithinMs: number };

/** One binding and how it went. Flat, for tables. */
export interface RenewalRow {
  readonly peer: string;
  readonly name: string;
  /** `unchanged`: it was not due. */
  readonly outcome: 'renewed' | 'failed' | 'unchanged';
  readonly issuerDN: string;
  /** Decimal; of the certificate in use afterwards. */
  readonly serialNumber: string;
  /** ISO 8601. */
  readonly expires: string;
  /** Why it failed; empty when there is nothing to say. */
  readonly code: PeerErrorCode | '';
  readonly detail: string;
}

/** All rows; `failure` when bindings were to be renewed and not one was. */
export interface RenewalResult {
  readonly rows: readonly RenewalRow[];
  readonly failure: PeerError | undefined;
}

/**
 * Runs the renewals of a selection, all at once.
 *
 * @throws PeerError when the bindings of the peer cannot be listed
 */
export async function renewKeyBindings(
  task: RenewalTask,
  selection: RenewalSelection,
  signal: AbortSignal,
  now: number = Date.now(),
): Promise<RenewalResult> {
  const bindings = await task.client.listKeyBindings(signal);
  const rows = await Promise.all(
    'names' in selection
      ? [...new Set(selection.names)].map((name) => renewNamed(task, bindings, name, signal))
      : bindings.map((binding) =>
          isDue(binding, selection.expiresWithinMs, now)
            ? renewOne(task, binding, signal)
            : rowOf(task, binding, 'unchanged'),
        ),
  );
  return { rows, failure: failureOfAll(rows) };
}

/**
 * Whether a binding is renewed without being asked for by name: it may be, and its certificate is missing, has expired
 * or expires within the time. After a revocation somebody has to decide.
 *
 * @param now epoch milliseconds
 */
export function isDue({ canRenew, status, expires }: KeyBindingFacts, expiresWithinMs: number, now: number): boolean {
  if (!canRenew || status === 'revoked') return false;
  return expires === '' || !(Date.parse(expires) - now > expiresWithinMs);
}

/**
 * Looks whether a binding can be renewed from this side.
 *
 * @param bindings as the peer lists them
 * @throws PeerError ERR_KEY_BINDING_UNKNOWN; ERR_INVALID_INPUT when the peer says that it cannot be renewed
 */
export function requireRenewable(bindings: readonly KeyBindingFacts[], name: string): void {
  const binding = bindings.find((each) => each.name === name);
  if (binding === undefined) throw unknownBinding(name);
  if (binding.canRenew) return;
  const why = binding.status === 'disabled' ? 'it is disabled' : 'a right is missing there';
  throw new PeerError('ERR_INVALID_INPUT', `The peer does not let the key binding "${name}" be renewed: ${why}`);
}

function unknownBinding(name: string): PeerError {
  return new PeerError('ERR_KEY_BINDING_UNKNOWN', `The peer shows no key binding "${name}"`);
}

function renewNamed(
  task: RenewalTask,
  bindings: readonly KeyBindingFacts[],
  name: string,
  signal: AbortSignal,
): Promise<RenewalRow> | RenewalRow {
  const binding = bindings.find((each) => each.name === name);
  if (binding !== undefined) return renewOne(task, binding, signal);
  const { code, message: detail } = unknownBinding(name);
  return { ...NOTHING, peer: task.peer, name, outcome: 'failed', code, detail };
}

async function renewOne(task: RenewalTask, binding: KeyBindingFacts, signal: AbortSignal): Promise<RenewalRow> {
  try {
    return rowOf(task, await renewKeyBinding(task, binding, signal), 'renewed');
  } catch (error) {
    const { code, message: detail } = toPeerError(error, signal.aborted ? 'ERR_CANCELLED' : 'ERR_INTERNAL');
    return { ...rowOf(task, binding, 'failed'), code, detail };
  }
}

const NOTHING = { issuerDN: '', serialNumber: '', expires: '', code: '', detail: '' } as const;

function rowOf({ peer }: RenewalTask, binding: KeyBindingFacts, outcome: RenewalRow['outcome']): RenewalRow {
  const { name, issuerDN, serialNumber, expires } = binding;
  return { peer, name, outcome, issuerDN, serialNumber, expires, code: '', detail: '' };
}

function failureOfAll(rows: readonly RenewalRow[]): PeerError | undefined {
  const failed = rows.filter(({ outcome }) => outcome === 'failed');
  const [first] = failed;
  if (first === undefined || rows.some(({ outcome }) => outcome === 'renewed')) return undefined;
  const others = failed.length === 1 ? '' : ` (and ${failed.length - 1} more)`;
  return new PeerError(first.code === '' ? 'ERR_INTERNAL' : first.code, `${first.name}: ${first.detail}${others}`);
}
