/**
 * One publisher queue per certificate store, shared by all nodes that publish from it.
 */
import type { Node, NodeAPI } from 'node-red';
import type { PublishPeer } from '../../lib/publisher/peer-group.ts';
import { PublisherQueue } from '../../lib/publisher/publisher-queue.ts';
import type { CertificateStore } from '../../lib/store/certificate-store.ts';
import { isConnector } from './connectors.ts';
import { onFlowsStarted } from './flows-started.ts';

interface Shared {
  readonly queue: PublisherQueue;
  users: number;
}

const queues = new Map<CertificateStore, Shared>();

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
  const shared = queues.get(store) ?? {
    queue: new PublisherQueue({ store, find: (id) => findPublishPeer(RED, id) }),
    users: 0,
  };
  queues.set(store, shared);
  shared.users += 1;
  const { queue } = shared;
  onFlowsStarted(RED, node, () => {
    queue.tryAgain();
    queue.resume().catch((error: Error) => node.error(error.message));
  });
  node.on('close', (_removed: boolean, done: () => void) => {
    shared.users -= 1;
    if (shared.users > 0) return done();
    queues.delete(store);
    queue.close().then(done, done);
  });
  return queue;
}
