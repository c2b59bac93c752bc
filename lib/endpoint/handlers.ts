/**
 * What the receiving side does for each operation: one short function each.
 */
import { caScopeOf } from '../auth/authorize.ts';
import type { Role } from '../auth/role.ts';
import { PeerError } from '../errors.ts';
import type { ManagedKeyBinding } from '../keybinding/offline-key-binding.ts';
import type { Capabilities, PingAnswer, PublishedCrl } from '../protocol/messages.ts';
import { OPERATIONS, type OperationName, PROTOCOL_VERSION } from '../protocol/operations.ts';
import { decodeRaCall, encodeRaNext } from '../protocol/ra-codec.ts';
import type { RaCaller, RaDesk } from '../protocol/ra-messages.ts';
import type { CertificateStore, WriteResult } from '../store/certificate-store.ts';
import { deliverKeyBindingCertificate, listKeyBindings, requestKeyBindingCertificate } from './key-binding-handlers.ts';

/** What a handler may use. */
export interface HandlerContext {
  readonly roles: readonly Role[];
  readonly body: Uint8Array;
  /** File with the body of `publishCrl`, which is not in memory; '' for other operations. */
  readonly file: string;
  /** Index of the CRL partition, as the request has it; undefined = it says nothing. */
  readonly crlPartitionIndex: string | undefined;
  /** undefined when the endpoint has none. */
  readonly store: CertificateStore | undefined;
  readonly keyBindings: readonly ManagedKeyBinding[];
  /** Name and version of this program. */
  readonly software: string;
  readonly now: number;
  readonly onPublished: (result: WriteResult) => void;
  readonly onPublishedCrl: (result: PublishedCrl) => void;
  /** undefined when the endpoint takes no RA requests. */
  readonly desk: RaDesk | undefined;
  readonly caller: RaCaller;
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
  publishCrl,
  raNext,
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

/** Answers after the store has committed, like `publishCertificates`. */
async function publishCrl(context: HandlerContext): Promise<PublishedCrl> {
  const { store, file, roles, onPublishedCrl } = context;
  const options = { scope: caScopeOf(roles), crlPartitionIndex: partitionOf(context) };
  const { verdict, crl } = await storeOf(store).crls.write({ file }, options);
  const { fingerprint, issuerDN, crlPartitionIndex, cRLNumber, deltaCRLIndicator, entries } = crl;
  const result: PublishedCrl = {
    verdict,
    fingerprint,
    issuerDN,
    crlPartitionIndex,
    cRLNumber,
    deltaCRLIndicator,
    thisUpdate: new Date(crl.thisUpdate).toISOString(),
    nextUpdate: new Date(crl.nextUpdate).toISOString(),
    entries,
  };
  onPublishedCrl(result);
  return result;
}

function partitionOf({ crlPartitionIndex = '0' }: HandlerContext): number {
  if (/^\d{1,10}$/.test(crlPartitionIndex)) return Number(crlPartitionIndex);
  throw new PeerError('ERR_MALFORMED_MESSAGE', 'The index of the CRL partition is not a number');
}

async function raNext({ desk, body, caller }: HandlerContext): Promise<Uint8Array> {
  if (desk === undefined) throw new PeerError('ERR_UNKNOWN_OPERATION', 'This endpoint takes no RA requests');
  return encodeRaNext(await desk.next(decodeRaCall(body), caller));
}

function storeOf(store: CertificateStore | undefined): CertificateStore {
  if (store === undefined) throw new PeerError('ERR_STORE_UNAVAILABLE', 'The endpoint has no certificate store');
  return store;
}
