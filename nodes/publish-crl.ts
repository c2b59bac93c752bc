/**
 * Flow node: publishes a CRL to one or several peers.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { type CrlPublishResult, publishCrlToPeers } from '../lib/publisher/publish-crl-to-peers.ts';
import { connectorsFor, useConnectors } from './shared/connectors.ts';
import { handleInput } from './shared/handle-input.ts';
import { showStatus } from './shared/node-status.ts';

interface PublishCrlDef extends NodeDef {
  readonly connectors: readonly string[];
}

export default function (RED: NodeAPI): void {
  function PeerPublishCrl(this: Node, config: PublishCrlDef): void {
    RED.nodes.createNode(this, config);
    const configured = config.connectors ?? [];
    useConnectors(RED, this, configured);
    handleInput(this, async (message) => {
      const peers = connectorsFor(RED, configured, message['connector']).map((connector) => ({
        name: connector.name || connector.id,
        client: () => connector.client(),
      }));
      const { rows, report, failure } = await publishCrlToPeers(message.payload, peers);
      message['publish'] = { ...report, rows };
      if (failure !== undefined) throw failure;
      message.payload = rows;
      showReport(this, report);
      return message;
    });
  }

  RED.nodes.registerType('peer-publish-crl', PeerPublishCrl);

  function showReport(node: Node, { stored, unchanged, refused, failed }: CrlPublishResult['report']): void {
    const isComplete = refused + failed === 0;
    const text = isComplete
      ? RED._('publish-crl.status.published', { stored, unchanged })
      : RED._('publish-crl.status.partly', { refused, failed });
    showStatus(node, { fill: isComplete ? 'green' : 'yellow', shape: 'dot', text });
  }
}
