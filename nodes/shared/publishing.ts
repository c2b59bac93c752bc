/**
 * What the nodes that publish have in common: whom a message goes to, the way it goes, and the queue behind it.
 */
import type { Node, NodeAPI } from 'node-red';
import { PeerError, toPeerError } from '../../lib/errors.ts';
import { readGroups } from '../../lib/publisher/group-list.ts';
import { groupKey, PeerGroup } from '../../lib/publisher/peer-group.ts';
import { PUBLISH_MODES, type PublishMode } from '../../lib/publisher/publish-report.ts';
import type { PublisherQueue } from '../../lib/publisher/publisher-queue.ts';
import { statusAnswer } from '../../lib/publisher/publisher-status.ts';
import { type QueueScope, queueStatus, runQueueCommand } from '../../lib/publisher/queue-command.ts';
import type { CertificateStoreNode } from '../certificate-store.ts';
import { connectorsFor, useConnectors } from './connectors.ts';
import type { FlowMessage } from './handle-input.ts';
import { configNode, numberField } from './node-config.ts';
import { showStatus } from './node-status.ts';
import { findPublishPeer, usePublisherQueue } from './publisher-queues.ts';
import { tellQueue } from './queue-events.ts';
import { serveStatus } from './status-route.ts';

/** The part of the dialog that is the same. */
export interface PublishingDef {
  readonly connectors?: readonly string[];
  /** Names of connectors, one per line, an empty line between groups; empty = each connector gets everything. */
  readonly groups?: string;
  /** Default direct. */
  readonly mode?: PublishMode;
  readonly store?: string;
  /** Minutes. Default 60. */
  readonly outOfSyncAfter?: number | string;
  /** Below `httpNodeRoot`; empty = none. */
  readonly statusPath?: string;
}

/** Where a message goes, and how. */
export interface Destination {
  readonly groups: readonly PeerGroup[];
  readonly mode: PublishMode;
  /** undefined in the mode direct. */
  readonly queue: PublisherQueue | undefined;
}

interface Settings extends Omit<Destination, 'groups'> {
  readonly outOfSyncAfterMs: number;
}

/** The way out of one node, for as long as it lives. What is wrong with its dialog is told by every call. */
export class Publishing {
  readonly #groupsFor: (named: unknown) => readonly PeerGroup[];
  readonly #settings: Settings | PeerError;

  constructor(RED: NodeAPI, node: Node, config: PublishingDef) {
    useConnectors(RED, node, config.connectors ?? []);
    this.#groupsFor = groupFinder(RED, config);
    this.#settings = openSettings(RED, node, config);
    if (this.#settings instanceof PeerError || this.#settings.queue === undefined) return;
    tellQueue(node, this.#settings.queue, () => this.#scope(undefined));
    serveQueueStatus(RED, node, config, () => this.#scope(undefined));
  }

  /**
   * @param named `msg.connector`
   * @throws PeerError ERR_PEER_UNKNOWN, and what is wrong with the dialog
   */
  destination(named: unknown): Destination {
    const { mode, queue } = usable(this.#settings);
    return { groups: this.#groupsFor(named), mode, queue };
  }

  /**
   * Answers `msg.queue`.
   *
   * @throws PeerError ERR_INVALID_INPUT, ERR_INVALID_CONFIG without a queue, and what the store throws
   */
  async command(message: FlowMessage): Promise<FlowMessage> {
    const { queue: command, connector, state, fingerprints, after, limit } = message as Record<string, unknown>;
    const request = { command, state, fingerprints, after, limit };
    const { payload, next } = await runQueueCommand(request, this.#scope(connector));
    message.payload = payload;
    message['next'] = next;
    return message;
  }

  #scope(named: unknown): QueueScope {
    const { queue, outOfSyncAfterMs } = usable(this.#settings);
    if (queue === undefined) throw new PeerError('ERR_INVALID_CONFIG', 'This node publishes directly, without a queue');
    return { queue, outOfSyncAfterMs, peers: this.#groupsFor(named).map(({ key }) => key) };
  }
}

/** Gives the groups a message goes to; a group remembers which of its members failed lately. */
function groupFinder(RED: NodeAPI, { connectors = [], groups = '' }: PublishingDef) {
  const known = new Map<string, PeerGroup>();
  const groupOf = (key: string): PeerGroup => {
    const group = known.get(key) ?? new PeerGroup(key, (id) => findPublishPeer(RED, id));
    known.set(key, group);
    return group;
  };
  return (named: unknown): readonly PeerGroup[] => {
    const isNamed = named !== undefined && named !== '';
    const chosen = connectorsFor(RED, connectors, named).map(({ id, name = '' }) => ({ id, name }));
    return readGroups(isNamed ? '' : groups, chosen).map((ids) => groupOf(groupKey(ids)));
  };
}

/** What is wrong with the dialog is told at the deploy, and to every message. */
function openSettings(RED: NodeAPI, node: Node, config: PublishingDef): Settings | PeerError {
  const { mode = 'direct', outOfSyncAfter = 60 } = config;
  try {
    if (!PUBLISH_MODES.includes(mode)) throw new PeerError('ERR_INVALID_CONFIG', `"${mode}" is not a way to publish`);
    const minutes = numberField(outOfSyncAfter, 'Out of sync after', { min: 1, max: 100_000 });
    const base = { mode, outOfSyncAfterMs: minutes * 60_000 };
    if (mode === 'direct') return { ...base, queue: undefined };
    const store = configNode<CertificateStoreNode>(RED, config.store, 'peer-certificate-store').store();
    return { ...base, queue: usePublisherQueue(RED, node, store) };
  } catch (error) {
    const failure = toPeerError(error, 'ERR_INVALID_CONFIG');
    node.error(failure.message);
    return failure;
  }
}

function usable(settings: Settings | PeerError): Settings {
  if (settings instanceof PeerError) throw settings;
  return settings;
}

/** For load balancers, where that is wanted. */
function serveQueueStatus(RED: NodeAPI, node: Node, config: PublishingDef, scope: () => QueueScope): void {
  const path = config.statusPath?.trim() ?? '';
  if (path === '') return;
  try {
    serveStatus(RED, node, path, async (peer) => statusAnswer(await queueStatus(scope()), peer));
  } catch (error) {
    node.error(toPeerError(error).message);
  }
}

/** The sums of one message. */
type Counts = Readonly<Record<'stored' | 'unchanged' | 'queued' | 'refused' | 'failed', number>>;

/** Shows below the node what became of its last message. @param texts key of the node's texts */
export function showReport(RED: NodeAPI, node: Node, counts: Counts, texts: string): void {
  const { stored, unchanged, queued, refused, failed } = counts;
  const isComplete = refused + failed === 0;
  const fill = isComplete && queued === 0 ? 'green' : 'yellow';
  const [key, values] = told({ stored, unchanged, queued, refused, failed });
  const shown = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));
  showStatus(node, { fill, shape: 'dot', text: RED._(`${texts}.status.${key}`, shown) });
}

function told({ stored, unchanged, queued, refused, failed }: Counts): [string, Record<string, number>] {
  if (refused + failed > 0) return ['partly', { refused, failed }];
  return queued > 0 ? ['queued', { queued }] : ['published', { stored, unchanged }];
}
