/**
 * Flow node: publishes certificates and their status to one or several peers.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { type PublishReport, publishToPeers } from '../lib/publisher/publish-to-peers.ts';
import { connectorsFor, useConnectors } from './shared/connectors.ts';
import { handleInput } from './shared/handle-input.ts';
import { showStatus } from './shared/node-status.ts';

interface PublishCertDef extends NodeDef {
  readonly connectors: readonly string[];
}

export default function (RED: NodeAPI): void {
  function PeerPublishCert(this: Node, config: PublishCertDef): void {
    RED.nodes.createNode(this, config);
    const configured = config.connectors ?? [];
    useConnectors(RED, this, configured);
    handleInput(this, async (message) => {
      const peers = connectorsFor(RED, configured, message['connector']).map((connector) => ({
        name: connector.name || connector.id,
        publisher: () => connector.publisher(),
      }));
      const { rows, report, failure } = await publishToPeers(message.payload, peers);
      message['publish'] = report;
      if (failure !== undefined) throw failure;
      message.payload = rows;
      showReport(this, report);
      return message;
    });
  }

  RED.nodes.registerType('peer-publish-cert', PeerPublishCert);

  function showReport(node: Node, { stored, unchanged, refused, failed }: PublishReport): void {
    const isComplete = refused + failed === 0;
    const text = isComplete
      ? RED._('publish-cert.status.published', { stored, unchanged })
      : RED._('publish-cert.status.partly', { refused, failed });
    showStatus(node, { fill: isComplete ? 'green' : 'yellow', shape: 'dot', text });
  }
}
