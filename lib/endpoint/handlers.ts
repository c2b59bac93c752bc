/**
 * What the receiving side does for each operation: one short function each.
 */
import { caScopeOf } from '../auth/authorize.ts';
import type { Role } from '../auth/role.ts';
import { PeerError } from '../errors.ts';
import type { KeyBinding } from '../keybinding/key-binding.ts';
import type { Capabilities, PingAnswer } from '../protocol/messages.ts';
import { OPERATIONS, type OperationName, PROTOCOL_VERSION } from '../protocol/operations.ts';
import type { CertificateStore, WriteResult } from '../store/certificate-store.ts';
import { deliverKeyBindingCertificate, listKeyBindings, requestKeyBindingCertificate } from './key-binding-handlers.ts';

/** What a handler may use. */
export interface HandlerContext {
  readonly roles: readonly Role[];
  readonly body: Uint8Array;
  /** undefined when the endpoint has none. */
  readonly store: CertificateStore | undefined;
  readonly keyBindings: readonly KeyBinding[];
  /** Name and version of this program. */
  readonly software: string;
  readonly now: number;
  readonly onPublished: (result: WriteResult) => void;
}

/** Gives the answer: bytes as they are, anything else as JSON. */
type Handler = (context: HandlerContext) => unknown;

/** A handler for every operation. */
export const HANDLERS: Readonly<Record<OperationName, Handler>> = {
  capabilities,
  ping,
  publishCertificates,
  compareRanges,
  compareRows,
  listKeyBindings,
  requestKeyBindingCertificate,
  deliverKeyBindingCertificate,
};

function capabilities({ software, now }: HandlerContext): Capabilities {
  const names = Object.keys(OPERATIONS) as OperationName[];
  return {
    protocol: PROTOCOL_VERSION,
    software,
    operations: names,
    maxBodyBytes: Object.fromEntries(names.map((name) => [name, OPERATIONS[name].maxBodyBytes])),
    serverTime: new Date(now).toISOString(),
  };
}

function ping({ now }: HandlerContext): PingAnswer {
  return { serverTime: new Date(now).toISOString() };
}

/** Answers after the store has committed: acknowledged means durable. */
async function publishCertificates({ store, body, roles, onPublished }: HandlerContext): Promise<WriteResult> {
  const result = await storeOf(store).writeRows([body], caScopeOf(roles));
  onPublished(result);
  return result;
}

function compareRanges({ store, body, roles }: HandlerContext): Promise<Uint8Array> {
  return storeOf(store).answerRanges(body, caScopeOf(roles));
}

function compareRows({ store, body, roles }: HandlerContext): Promise<Uint8Array> {
  return storeOf(store).answerRows(body, caScopeOf(roles));
}

function storeOf(store: CertificateStore | undefined): CertificateStore {
  if (store === undefined) throw new PeerError('ERR_STORE_UNAVAILABLE', 'The endpoint has no certificate store');
  return store;
}
