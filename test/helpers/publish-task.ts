/**
 * Publishing without Node-RED.
 */
import type { PeerClient } from '../../lib/pool/peer-client.ts';
import { groupKey, PeerGroup, type PublishPeer } from '../../lib/publisher/peer-group.ts';
import { PeerPublisher } from '../../lib/publisher/peer-publisher.ts';
import type { PublishTask } from '../../lib/publisher/publish-report.ts';

/** A peer as publishing sees it. */
export function publishPeer(name: string, client: PeerClient): PublishPeer {
  const publisher = new PeerPublisher(client);
  return { name, client: () => client, publisher: () => publisher };
}

/** Past the queue, everything whole, to each of these peers. */
export function directTask(clients: Readonly<Record<string, PeerClient>>): PublishTask {
  const groups = Object.entries(clients).map(([name, client]) => {
    const peer = publishPeer(name, client);
    return new PeerGroup(groupKey([name]), () => peer);
  });
  return { groups, rules: { withCertificate: true, onlyRevoked: false }, mode: 'direct', queue: undefined };
}
