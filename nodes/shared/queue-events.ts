/**
 * The state of a publisher queue as messages, at most four a second and always a last one.
 */
import type { Node } from 'node-red';
import type { PublisherQueue } from '../../lib/publisher/publisher-queue.ts';
import { type QueueScope, queueStatus } from '../../lib/publisher/queue-command.ts';

const MIN_INTERVAL_MS = 250;

/**
 * Tells whenever the queue has changed, for as long as the node lives.
 *
 * @param scope asked anew each time, because connectors come and go; what it throws is told by messages already
 */
export function tellQueue(node: Node, queue: PublisherQueue, scope: () => QueueScope): void {
  let timer: NodeJS.Timeout | undefined;
  let last = '';
  const tell = async (): Promise<void> => {
    timer = undefined;
    const payload = await queueStatus(scope());
    const text = JSON.stringify(payload);
    if (text === last) return;
    last = text;
    node.send([null, { topic: 'queue', payload }]);
  };
  const end = queue.onChange(() => {
    timer ??= setTimeout(() => void tell().catch(() => undefined), MIN_INTERVAL_MS).unref();
  });
  node.on('close', () => {
    end();
    clearTimeout(timer);
  });
}
