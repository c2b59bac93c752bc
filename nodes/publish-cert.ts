/**
 * Flow node: publishes certificates and their status to one or several peers, directly or by way of the publisher queue.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { publishToPeers } from '../lib/publisher/publish-to-peers.ts';
import { handleInput } from './shared/handle-input.ts';
import { Publishing, type PublishingDef, showReport } from './shared/publishing.ts';

interface PublishCertDef extends NodeDef, PublishingDef {
  /** Default true. */
  readonly withCertificate?: boolean;
  readonly onlyRevoked?: boolean;
}

export default function (RED: NodeAPI): void {
  function PeerPublishCert(this: Node, config: PublishCertDef): void {
    RED.nodes.createNode(this, config);
    const { withCertificate = true, onlyRevoked = false } = config;
    const rules = { withCertificate, onlyRevoked };
    const publishing = new Publishing(RED, this, config);
    handleInput(this, async (message) => {
      if (message['queue'] !== undefined) return [null, await publishing.command(message)];
      const task = { ...publishing.destination(message['connector']), rules };
      const { rows, report, failure } = await publishToPeers(message.payload, task);
      message['publish'] = report;
      if (failure !== undefined) throw failure;
      message.payload = rows;
      showReport(RED, this, report, 'publish-cert');
      return [message, null];
    });
  }

  RED.nodes.registerType('peer-publish-cert', PeerPublishCert);
}
