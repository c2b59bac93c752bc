/**
 * Flow node: publishes certificates and their status to one or several peers, directly or by way of the publisher queue.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { PeerError, toPeerError } from '../lib/errors.ts';
import { readGroups } from '../lib/publisher/group-list.ts';
import { groupKey, PeerGroup } from '../lib/publisher/peer-group.ts';
import { PUBLISH_MODES, type PublishMode, type PublishReport } from '../lib/publisher/publish-report.ts';
import type { PublishRules } from '../lib/publisher/publish-rules.ts';
import { publishToPeers } from '../lib/publisher/publish-to-peers.ts';
import type { PublisherQueue } from '../lib/publisher/publisher-queue.ts';
import { statusAnswer } from '../lib/publisher/publisher-status.ts';
import { type QueueScope, queueStatus, runQueueCommand } from '../lib/publisher/queue-command.ts';
import type { CertificateStoreNode } from './certificate-store.ts';
import { connectorsFor, useConnectors } from './shared/connectors.ts';
import { type FlowMessage, handleInput } from './shared/handle-input.ts';
import { configNode, numberField } from './shared/node-config.ts';
import { showStatus } from './shared/node-status.ts';
import { findPublishPeer, usePublisherQueue } from './shared/publisher-queues.ts';
import { tellQueue } from './shared/queue-events.ts';
import { serveStatus } from './shared/status-route.ts';

interface PublishCertDef extends NodeDef {
  readonly connectors: readonly string[];
  /** Names of connectors, one per line, an empty line between groups; empty = each connector gets everything. */
  readonly groups?: string;
  /** Default direct. */
  readonly mode?: PublishMode;
  readonly store?: string;
  /** Default true. */
  readonly withCertificate?: boolean;
  readonly onlyRevoked?: boolean;
  /** Minutes. Default 60. */
  readonly outOfSyncAfter?: number | string;
  /** Below `httpNodeRoot`; empty = none. */
  readonly statusPath?: string;
}

interface Settings {
  readonly mode: PublishMode;
  readonly rules: PublishRules;
  readonly outOfSyncAfterMs: number;
  /** undefined in the mode direct. */
  readonly queue: PublisherQueue | undefined;
}

export default function (RED: NodeAPI): void {
  function PeerPublishCert(this: Node, config: PublishCertDef): void {
    RED.nodes.createNode(this, config);
    useConnectors(RED, this, config.connectors ?? []);
    const groupsFor = groupFinder(RED, config);
    const settings = openSettings(RED, this, config);
    const scopeOf = (named?: unknown): QueueScope => {
      const { queue, outOfSyncAfterMs } = usable(settings);
      if (queue === undefined)
        throw new PeerError('ERR_INVALID_CONFIG', 'This node publishes directly, without a queue');
      return { queue, outOfSyncAfterMs, peers: groupsFor(named).map(({ key }) => key) };
    };
    if (!(settings instanceof PeerError) && settings.queue !== undefined) {
      tellQueue(this, settings.queue, scopeOf);
      serveQueueStatus(RED, this, config, scopeOf);
    }

    handleInput(this, async (message) => {
      const { rules, mode, queue } = usable(settings);
      if (message['queue'] !== undefined) return [null, await command(message, scopeOf(message['connector']))];
      const task = { groups: groupsFor(message['connector']), rules, mode, queue };
      const { rows, report, failure } = await publishToPeers(message.payload, task);
      message['publish'] = report;
      if (failure !== undefined) throw failure;
      message.payload = rows;
      showReport(this, report);
      return [message, null];
    });
  }

  RED.nodes.registerType('peer-publish-cert', PeerPublishCert);

  function showReport(node: Node, { stored, unchanged, queued, refused, failed }: PublishReport): void {
    const isComplete = refused + failed === 0;
    const fill = isComplete && queued === 0 ? 'green' : 'yellow';
    showStatus(node, { fill, shape: 'dot', text: RED._(...textOf({ stored, unchanged, queued, refused, failed })) });
  }
}

type Counts = Pick<PublishReport, 'stored' | 'unchanged' | 'queued' | 'refused' | 'failed'>;

function textOf({ stored, unchanged, queued, refused, failed }: Counts): [string, Record<string, string>] {
  const texts = (values: Record<string, number>) =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));
  if (refused + failed > 0) return ['publish-cert.status.partly', texts({ refused, failed })];
  if (queued > 0) return ['publish-cert.status.queued', texts({ queued })];
  return ['publish-cert.status.published', texts({ stored, unchanged })];
}

/** Gives the groups a message goes to; a group remembers which of its members failed lately. */
function groupFinder(RED: NodeAPI, { connectors = [], groups = '' }: PublishCertDef) {
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
function openSettings(RED: NodeAPI, node: Node, config: PublishCertDef): Settings | PeerError {
  const { mode = 'direct', withCertificate = true, onlyRevoked = false, outOfSyncAfter = 60 } = config;
  try {
    if (!PUBLISH_MODES.includes(mode)) throw new PeerError('ERR_INVALID_CONFIG', `"${mode}" is not a way to publish`);
    const minutes = numberField(outOfSyncAfter, 'Out of sync after', { min: 1, max: 100_000 });
    const base = { mode, rules: { withCertificate, onlyRevoked }, outOfSyncAfterMs: minutes * 60_000 };
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
function serveQueueStatus(RED: NodeAPI, node: Node, config: PublishCertDef, scopeOf: () => QueueScope): void {
  const path = config.statusPath?.trim() ?? '';
  if (path === '') return;
  try {
    serveStatus(RED, node, path, async (peer) => statusAnswer(await queueStatus(scopeOf()), peer));
  } catch (error) {
    node.error(toPeerError(error).message);
  }
}

async function command(message: FlowMessage, scope: QueueScope): Promise<FlowMessage> {
  const { queue, state, fingerprints, after, limit } = message as Record<string, unknown>;
  const { payload, next } = await runQueueCommand({ command: queue, state, fingerprints, after, limit }, scope);
  message.payload = payload;
  message['next'] = next;
  return message;
}
