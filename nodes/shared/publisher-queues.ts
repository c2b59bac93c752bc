/**
 * One publisher queue per certificate store, shared by all nodes that publish from it.
 */
import type { Node, NodeAPI } from 'node-red';
import type { PublishPeer } from '../../lib/publisher/peer-group.ts';
import { PublisherQueue } from '../../lib/publisher/publisher-queue.ts';
import type { PeerQueueStatus } from '../../lib/publisher/publisher-status.ts';
import { type QueueRequest, runQueueCommand } from '../../lib/publisher/queue-command.ts';
import type { CertificateStore } from '../../lib/store/certificate-store.ts';
import { isConnector } from './connectors.ts';
import { onFlowsStarted } from './flows-started.ts';

interface Shared {
  readonly queue: PublisherQueue;
  users: number;
  /** As it was a moment ago, for the overview, which asks at once. */
  status: readonly PeerQueueStatus[];
  endWatch: () => void;
}

/** How often ages are looked at, and at most how often changes. */
const LOOK_MS = 5_000;
const LOOK_SOON_MS = 250;
/** Where no node says otherwise. */
const OUT_OF_SYNC_MS = 3_600_000;

const queues = new Map<CertificateStore, Shared>();

/** The queues that have marks for a connector, alone or as a member of a group. */
export function queuesOf(connectorId: string): readonly PeerQueueStatus[] {
  const all = [...queues.values()].flatMap(({ status }) => status);
  return all.filter(({ key }) => key.split('+').includes(connectorId));
}

/**
 * Gives a command to every queue that has marks for a connector.
 *
 * @returns the rows of all, or how many marks it was about in all
 * @throws PeerError ERR_INVALID_INPUT, and what the stores throw
 */
export async function commandQueues(connectorId: string, request: QueueRequest): Promise<readonly object[] | number> {
  const answers = await Promise.all(
    [...queues.values()].map(async ({ queue }) => {
      const all = await queue.status([], OUT_OF_SYNC_MS);
      const peers = all.map(({ key }) => key).filter((key) => key.split('+').includes(connectorId));
      if (peers.length === 0) return [];
      return (await runQueueCommand(request, { queue, peers, outOfSyncAfterMs: OUT_OF_SYNC_MS })).payload;
    }),
  );
  const counts = answers.filter((answer) => typeof answer === 'number');
  if (counts.length > 0) return counts.reduce((sum, count) => sum + count, 0);
  return answers.flatMap((answer) => (typeof answer === 'number' ? [] : [...answer]));
}

/** A connector as publishing sees it; undefined = it is not deployed. */
export function findPublishPeer(RED: NodeAPI, id: string): PublishPeer | undefined {
  const connector: unknown = RED.nodes.getNode(id);
  if (!isConnector(connector)) return undefined;
  return {
    name: connector.name || connector.id,
    client: () => connector.client(),
    publisher: () => connector.publisher(),
  };
}

/** The queue of a store, for as long as the node lives; it drains from the start of the flows on. */
export function usePublisherQueue(RED: NodeAPI, node: Node, store: CertificateStore): PublisherQueue {
  const shared: Shared = queues.get(store) ?? {
    queue: new PublisherQueue({ store, find: (id) => findPublishPeer(RED, id) }),
    users: 0,
    status: [],
    endWatch: () => undefined,
  };
  queues.set(store, shared);
  shared.users += 1;
  const { queue } = shared;
  if (shared.users === 1) shared.endWatch = watchStatus(shared);
  onFlowsStarted(RED, node, () => {
    queue.tryAgain();
    queue.resume().catch((error: Error) => node.error(error.message));
  });
  node.on('close', (_removed: boolean, done: () => void) => {
    shared.users -= 1;
    if (shared.users > 0) return done();
    queues.delete(store);
    shared.endWatch();
    queue.close().then(done, done);
  });
  return queue;
}

/** Keeps the status of a queue current; while the store cannot be read, it stays as it was. */
function watchStatus(shared: Shared): () => void {
  let soon: NodeJS.Timeout | undefined;
  const look = async (): Promise<void> => {
    soon = undefined;
    shared.status = await shared.queue.status([], OUT_OF_SYNC_MS).catch(() => shared.status);
  };
  const timer = setInterval(() => void look(), LOOK_MS).unref();
  const end = shared.queue.onChange(() => {
    soon ??= setTimeout(() => void look(), LOOK_SOON_MS).unref();
  });
  return () => {
    clearInterval(timer);
    clearTimeout(soon);
    end();
  };
}
