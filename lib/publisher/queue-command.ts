/**
 * What a flow may ask of the publisher queue: how it stands, what is on it, to try again, to forget.
 */
import { PeerError } from '../errors.ts';
import type { MarkSelection, QueueMark } from '../store/publisher-queue.ts';
import type { PublisherQueue } from './publisher-queue.ts';
import type { PeerQueueStatus } from './publisher-status.ts';

/** Commands, as a message names them. */
const QUEUE_COMMANDS = ['status', 'list', 'retry', 'empty'] as const;

/** A command as it comes from a flow: nothing is certain. */
export interface QueueRequest {
  readonly command: unknown;
  /** `waiting`, `parked` or `all`; default: all, but for `empty` parked. */
  readonly state: unknown;
  /** 40 hex digits, one or several; default any. */
  readonly fingerprints: unknown;
  /** `next` of the list before. */
  readonly after: unknown;
  /** Most marks of a list, 1 to 10,000; default 100. */
  readonly limit: unknown;
}

/** Whose queue it is about. */
export interface QueueScope {
  readonly queue: PublisherQueue;
  /** Keys of groups. */
  readonly peers: readonly string[];
  readonly outOfSyncAfterMs: number;
}

/** A mark on the queue. Flat, for tables; times are ISO 8601, empty = never. */
export interface QueueRow extends Pick<QueueMark, 'kind' | 'fingerprint' | 'attempts'> {
  readonly peer: string;
  readonly state: 'waiting' | 'parked';
  readonly addedAt: string;
  readonly lastAttemptAt: string;
  readonly code: string;
  readonly detail: string;
}

/** Rows of `status` or `list`, or how many marks `retry` or `empty` was about. */
export interface QueueAnswer {
  readonly payload: readonly PeerQueueStatus[] | readonly QueueRow[] | number;
  /** Where a list goes on; empty = that was all. */
  readonly next: string;
}

const MAX_LIST = 10_000;
const STATES = ['waiting', 'parked', 'all'] as const;

/** @throws PeerError ERR_INVALID_INPUT, and what the store throws */
export async function runQueueCommand(request: QueueRequest, scope: QueueScope): Promise<QueueAnswer> {
  const command = QUEUE_COMMANDS.find((name) => name === request.command);
  if (command === undefined)
    throw new PeerError('ERR_INVALID_INPUT', `"${request.command}" is not one of ${QUEUE_COMMANDS.join(', ')}`);
  const state = stateOf(request.state, command === 'empty' ? 'parked' : 'all');
  if (command === 'status') return { payload: await queueStatus(scope), next: '' };
  if (command === 'list') return listOf(request, state, scope);
  const fingerprints = fingerprintsOf(request.fingerprints);
  let payload = 0;
  for (const { key: peer } of await queueStatus(scope)) {
    const selection = { peer, state, ...(fingerprints && { fingerprints }) };
    payload += await (command === 'retry' ? scope.queue.retry(selection) : scope.queue.empty(selection));
  }
  return { payload, next: '' };
}

/** The queues of the peers asked for, and of those whose connectors are gone, which would be nobody's otherwise. */
export async function queueStatus({ queue, peers, outOfSyncAfterMs }: QueueScope): Promise<readonly PeerQueueStatus[]> {
  const statuses = await queue.status(peers, outOfSyncAfterMs);
  return statuses.filter(({ key, exists }) => peers.includes(key) || !exists);
}

async function listOf(
  request: QueueRequest,
  state: MarkSelection['state'],
  { queue, peers }: QueueScope,
): Promise<QueueAnswer> {
  const { after = '', limit = 100 } = request;
  if (typeof limit !== 'number' || !Number.isInteger(limit) || limit < 1 || limit > MAX_LIST)
    throw new PeerError('ERR_INVALID_INPUT', `"limit" is a whole number from 1 to ${MAX_LIST}`);
  if (typeof after !== 'string') throw new PeerError('ERR_INVALID_INPUT', '"after" is no text');
  const [only] = peers;
  const ofOne = peers.length === 1 && only !== undefined ? { peer: only } : {};
  const { marks, next } = await queue.list({ ...ofOne, state, after, limit });
  return { payload: marks.map((mark) => rowOf(mark, queue.group(mark.peer).name)), next };
}

function rowOf(mark: QueueMark, peer: string): QueueRow {
  const { kind, fingerprint, attempts, addedAt, lastAttemptAt, lastCode: code, lastDetail: detail } = mark;
  const state = mark.parkedAt === -1 ? 'waiting' : 'parked';
  return {
    peer,
    kind,
    fingerprint,
    state,
    addedAt: iso(addedAt),
    attempts,
    lastAttemptAt: iso(lastAttemptAt),
    code,
    detail,
  };
}

function iso(time: number): string {
  return time === -1 ? '' : new Date(time).toISOString();
}

function stateOf(value: unknown, otherwise: MarkSelection['state']): MarkSelection['state'] {
  if (value === undefined || value === '') return otherwise;
  const state = STATES.find((name) => name === value);
  if (state === undefined) throw new PeerError('ERR_INVALID_INPUT', `"${value}" is not one of ${STATES.join(', ')}`);
  return state;
}

function fingerprintsOf(value: unknown): readonly string[] | undefined {
  if (value === undefined || value === '') return undefined;
  const texts: readonly unknown[] = Array.isArray(value) ? value : [value];
  return texts.map((text) => {
    if (typeof text === 'string' && /^[0-9a-f]{40}$/i.test(text)) return text.toLowerCase();
    throw new PeerError('ERR_INVALID_INPUT', `"${String(text).slice(0, 50)}" is not a fingerprint of 40 hex digits`);
  });
}
