/**
 * What the receiving side does about its key bindings.
 *
 * Rights are asked for before it is said whether a binding exists.
 *
 * @see EJBCA, Peer Systems Operations › Remote Internal Key Bindings
 */
import { authorize, isAuthorized } from '../auth/authorize.ts';
import type { Role } from '../auth/role.ts';
import { PeerError } from '../errors.ts';
import type { KeyBindingFacts } from '../keybinding/key-binding-facts.ts';
import type { ManagedKeyBinding } from '../keybinding/offline-key-binding.ts';
import {
  type KeyBindingVerdict,
  parseKeyBindingDelivery,
  parseKeyBindingQuestion,
  printKeyBindingRequest,
} from '../protocol/key-binding-messages.ts';
import { parseJson } from '../protocol/messages.ts';

/** What the handlers may use. */
export interface KeyBindingContext {
  readonly roles: readonly Role[];
  readonly body: Uint8Array;
  readonly keyBindings: readonly ManagedKeyBinding[];
}

const VIEW = '/internalkeybinding/view';
const MODIFY = '/internalkeybinding/modify';
const VIEW_TOKEN = '/cryptotoken/view';
const GENERATE = '/cryptotoken/keys/generate';

/** The bindings that the peer may see. None of several is a missing rule, named without naming a binding. */
export function listKeyBindings({ roles, keyBindings }: KeyBindingContext): object {
  const visible = keyBindings.filter(({ name }) => isAuthorized(roles, `${VIEW}/${name}`));
  if (visible.length === 0 && keyBindings.length > 0) authorize(roles, [VIEW]);
  return { keyBindings: visible.map((binding) => factsFor(roles, binding)) };
}

/** A certificate request; a next key pair is on the disk before it is given. */
export async function requestKeyBindingCertificate(context: KeyBindingContext): Promise<object> {
  const { name, newKeyPair } = parseKeyBindingQuestion(parseJson(context.body));
  const binding = modifiable(context, name);
  if (binding.needsNewKey(newKeyPair)) authorize(context.roles, [`${GENERATE}/${binding.cryptoToken}`]);
  return printKeyBindingRequest(await binding.request(newKeyPair));
}

/** Answers after the switch has reached the disk. */
export async function deliverKeyBindingCertificate(context: KeyBindingContext): Promise<KeyBindingVerdict> {
  const { name, certificates } = parseKeyBindingDelivery(parseJson(context.body));
  const binding = modifiable(context, name);
  const activated = await binding.importCertificate(certificates);
  return { activated, keyBinding: factsFor(context.roles, binding) };
}

function modifiable({ roles, keyBindings }: KeyBindingContext, name: string): ManagedKeyBinding {
  authorize(roles, [`${VIEW}/${name}`, `${MODIFY}/${name}`]);
  const binding = keyBindings.find((each) => each.name === name);
  if (binding === undefined) {
    throw new PeerError('ERR_KEY_BINDING_UNKNOWN', `This endpoint has no key binding "${name}"`);
  }
  authorize(roles, [`${VIEW_TOKEN}/${binding.cryptoToken}`]);
  return binding;
}

/** Who lacks a right that a renewal needs cannot renew, whatever the state of the binding. */
function factsFor(roles: readonly Role[], binding: ManagedKeyBinding): KeyBindingFacts {
  const facts = binding.facts();
  const needed = [`${MODIFY}/${binding.name}`, `${VIEW_TOKEN}/${binding.cryptoToken}`];
  return { ...facts, canRenew: facts.canRenew && needed.every((rule) => isAuthorized(roles, rule)) };
}
