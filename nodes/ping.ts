/**
 * Flow node: round-trip time to a peer, application to application.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { connectorsFor, useConnectors } from './shared/connectors.ts';
import { handleInput } from './shared/handle-input.ts';
import { showStatus } from './shared/node-status.ts';

interface PingDef extends NodeDef {
  readonly connector: string;
}

export default function (RED: NodeAPI): void {
  function PeerPing(this: Node, config: PingDef): void {
    RED.nodes.createNode(this, config);
    const configured = config.connector ? [config.connector] : [];
    useConnectors(RED, this, configured);
    handleInput(this, async (message) => {
      const [connector] = connectorsFor(RED, configured, message['connector']);
      if (connector === undefined) return undefined;
      if (message.reset === true) connector.reset();
      const { roundTripMs, serverTime } = await connector.client().ping();
      const ms = Math.round(roundTripMs * 100) / 100;
      message.payload = ms;
      message['ping'] = {
        peer: connector.name || connector.id,
        url: connector.url,
        roundTripMs,
        serverTime,
        at: new Date().toISOString(),
      };
      showStatus(this, { fill: 'green', shape: 'dot', text: `${ms} ms` });
      return message;
    });
  }

  RED.nodes.registerType('peer-ping', PeerPing);
}
