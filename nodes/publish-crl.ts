/**
 * Flow node: publishes a CRL to one or several peers, directly or by way of the publisher queue.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { publishCrlToPeers } from '../lib/publisher/publish-crl-to-peers.ts';
import { handleInput } from './shared/handle-input.ts';
import { Publishing, type PublishingDef, showReport } from './shared/publishing.ts';

export default function (RED: NodeAPI): void {
  function PeerPublishCrl(this: Node, config: NodeDef & PublishingDef): void {
    RED.nodes.createNode(this, config);
    const publishing = new Publishing(RED, this, config);
    handleInput(this, async (message) => {
      if (message['queue'] !== undefined) return [null, await publishing.command(message)];
      const destination = publishing.destination(message['connector']);
      const { rows, report, failure } = await publishCrlToPeers(message.payload, destination);
      message['publish'] = { ...report, rows };
      if (failure !== undefined) throw failure;
      message.payload = rows;
      showReport(RED, this, report, 'publish-crl');
      return [message, null];
    });
  }

  RED.nodes.registerType('peer-publish-crl', PeerPublishCrl);
}
