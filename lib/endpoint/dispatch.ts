/**
 * The way of a request: standing of the peer → operation → access rules → body → handler.
 */
import type { IncomingMessage } from 'node:http';
import { authorize } from '../auth/authorize.ts';
import type { Role } from '../auth/role.ts';
import { PeerError } from '../errors.ts';
import type { ManagedKeyBinding } from '../keybinding/offline-key-binding.ts';
import type { PublishedCrl } from '../protocol/messages.ts';
import {
  CRL_PARTITION_HEADER,
  CRL_TYPE,
  findOperation,
  OPERATIONS,
  type Operation,
  type OperationName,
} from '../protocol/operations.ts';
import type { RaDesk } from '../protocol/ra-messages.ts';
import type { CertificateStore, WriteResult } from '../store/certificate-store.ts';
import { HANDLERS } from './handlers.ts';
import type { IncomingPeerConnection } from './incoming-peer-connection.ts';
import { type BodyBudget, readBody } from './request-body.ts';
import type { Spool } from './spool.ts';

/** What of the endpoint a request is judged and served with. */
export interface DispatchContext {
  readonly roles: readonly Role[];
  readonly store: CertificateStore | undefined;
  readonly desk: RaDesk | undefined;
  readonly keyBindings: readonly ManagedKeyBinding[];
  readonly software: string;
  readonly budget: BodyBudget;
  /** Where bodies go that may be too large for memory. */
  readonly spool: Spool;
  readonly now: () => number;
  /** Told once the peer may do what it asked for. */
  readonly onOperation: (connection: IncomingPeerConnection, name: OperationName) => void;
  /** Told after certificates were written. */
  readonly onPublished: (connection: IncomingPeerConnection, result: WriteResult) => void;
  /** Told after a CRL was written. */
  readonly onPublishedCrl: (connection: IncomingPeerConnection, result: PublishedCrl) => void;
}

const NO_BODY = new Uint8Array(0);

/**
 * Serves one request; nothing of its body is read before the peer may do what it asks.
 *
 * @throws PeerError ERR_NOT_AUTHENTICATED, ERR_NOT_AUTHORIZED, ERR_UNKNOWN_OPERATION, ERR_MALFORMED_MESSAGE,
 *   ERR_TOO_LARGE and what the handler throws
 */
export async function dispatch(
  request: IncomingMessage,
  connection: IncomingPeerConnection,
  context: DispatchContext,
): Promise<unknown> {
  const now = context.now();
  const cause = connection.refusal(now);
  if (cause !== undefined) throw new PeerError('ERR_NOT_AUTHENTICATED', `The client certificate is ${cause}`);
  const roles = connection.rolesAmong(context.roles);
  const name = findOperation(request.method ?? '', request.url ?? '');
  // Who may not come in at all learns nothing of what there is.
  authorize(roles, name === undefined ? ['/peerincoming'] : OPERATIONS[name].rules);
  if (name === undefined) {
    throw new PeerError('ERR_UNKNOWN_OPERATION', 'This endpoint has no such operation');
  }
  context.onOperation(connection, name);
  const { store, desk, keyBindings, software, budget, spool } = context;
  const operation: Operation = OPERATIONS[name];
  const handlerContext = {
    roles,
    body: NO_BODY,
    file: '',
    crlPartitionIndex: headerOf(request, CRL_PARTITION_HEADER),
    store,
    desk,
    keyBindings,
    caller: connection,
    software,
    now,
    onPublished: (result: WriteResult) => context.onPublished(connection, result),
    onPublishedCrl: (result: PublishedCrl) => context.onPublishedCrl(connection, result),
  };
  if (operation.requestType === undefined) return HANDLERS[name](handlerContext);
  checkType(request, operation);
  if (operation.requestType === CRL_TYPE)
    return spool.receive(request, operation.maxBodyBytes, async (file) => HANDLERS[name]({ ...handlerContext, file }));
  return HANDLERS[name]({ ...handlerContext, body: await readBody(request, operation.maxBodyBytes, budget) });
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join() : value;
}

function checkType(request: IncomingMessage, operation: Operation): void {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (type !== operation.requestType) {
    throw new PeerError('ERR_MALFORMED_MESSAGE', `The body must be ${operation.requestType}`);
  }
  if (request.headers['content-encoding'] !== undefined) {
    throw new PeerError('ERR_MALFORMED_MESSAGE', 'The body must not be compressed');
  }
}
