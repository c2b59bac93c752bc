/**
 * Config node: one downstream peer and the pool of connections to it.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { PeerError, toPeerError } from '../lib/errors.ts';
import type { RemoteAuthenticator } from '../lib/keybinding/remote-authenticator.ts';
import type { ConnectorFacts } from '../lib/overview/outgoing-row.ts';
import { ConnectionPool, type PoolFacts } from '../lib/pool/connection-pool.ts';
import { PeerClient } from '../lib/pool/peer-client.ts';
import { renderPeerUrl } from '../lib/pool/peer-url.ts';
import { PeerPublisher } from '../lib/publisher/peer-publisher.ts';
import type { RemoteAuthenticatorNode } from './remote-authenticator.ts';
import { configNode, numberField, tlsVersionField } from './shared/node-config.ts';
import { switchesOf } from './shared/switches.ts';

interface PeerConnectorDef extends NodeDef {
  readonly url: string;
  readonly authenticator: string;
  readonly enabled: boolean;
  readonly maxConnections: number | string;
  readonly connectTimeoutMs: number | string;
  readonly requestTimeoutMs: number | string;
  readonly minTlsVersion: string;
}

/** What other nodes use of a connector. Every part throws the connector's own error while it is not usable. */
export interface PeerConnectorNode extends Node {
  readonly url: string;
  /** Flow nodes that use it, by id; a plain object, because the runtime hands status and errors on to just these. */
  readonly users: Record<string, Node>;
  client(): PeerClient;
  publisher(): PeerPublisher;
  facts(): PoolFacts;
  /** What the overview shows; never throws. */
  overviewFacts(): ConnectorFacts;
  reset(): void;
}

interface Parts {
  readonly authenticator: RemoteAuthenticator;
  readonly pool: ConnectionPool;
  readonly client: PeerClient;
  readonly publisher: PeerPublisher;
}

export default function (RED: NodeAPI): void {
  function PeerConnector(this: PeerConnectorNode, config: PeerConnectorDef): void {
    RED.nodes.createNode(this, config);
    let parts: Parts | PeerError;
    try {
      parts = openParts(RED, config);
      parts.authenticator.onChange(() =>
        this.warn('The files of the remote authenticator have changed: reset the connector to use them'),
      );
    } catch (error) {
      // The node stays, so that every message that needs it is told why it cannot work.
      parts = toPeerError(error, 'ERR_INVALID_CONFIG');
      this.error(parts.message);
    }
    const usable = (): Parts => {
      if (parts instanceof PeerError) throw parts;
      return parts;
    };
    const endSwitches = parts instanceof PeerError ? () => undefined : followSwitches(RED, this.id, config, parts.pool);
    Object.assign(this, {
      url: config.url,
      users: {},
      client: () => usable().client,
      publisher: () => usable().publisher,
      facts: () => usable().pool.facts(),
      reset: () => usable().pool.reset(),
      overviewFacts: () => overviewFactsOf(this, config, parts),
    });
    this.on('close', (_removed: boolean, done: () => void) => {
      endSwitches();
      if (parts instanceof PeerError) return done();
      parts.authenticator.close();
      parts.pool.close().then(done, done);
    });
  }

  RED.nodes.registerType('peer-connector', PeerConnector);
}

/** Enabled is who is so in its dialog, by the global switch and by its own switch in the overview. */
function followSwitches(RED: NodeAPI, id: string, config: PeerConnectorDef, pool: ConnectionPool): () => void {
  const switches = switchesOf(RED);
  const apply = (): void => {
    if (config.enabled && switches.isConnectorAllowed(id)) pool.enable();
    else void pool.disable();
  };
  apply();
  return switches.onChange(apply);
}

function overviewFactsOf(node: PeerConnectorNode, config: PeerConnectorDef, parts: Parts | PeerError): ConnectorFacts {
  const isUsable = !(parts instanceof PeerError);
  return {
    id: node.id,
    name: node.name || node.url || node.id,
    url: config.url,
    isConfigured: config.enabled,
    configError: isUsable ? '' : parts.message,
    pool: isUsable ? parts.pool.facts() : undefined,
    lastPing: isUsable ? parts.client.lastPing : undefined,
  };
}

function openParts(RED: NodeAPI, config: PeerConnectorDef): Parts {
  const url = renderPeerUrl(config.url, (name) => process.env[name]);
  const options = {
    url,
    maxConnections: numberField(config.maxConnections, 'Maximum of connections', { min: 1, max: 1_000 }),
    connectTimeoutMs: numberField(config.connectTimeoutMs, 'Connect timeout', { min: 100, max: 600_000 }),
    requestTimeoutMs: numberField(config.requestTimeoutMs, 'Request timeout', { min: 100, max: 3_600_000 }),
    minTlsVersion: tlsVersionField(config.minTlsVersion),
  };
  const authenticator = configNode<RemoteAuthenticatorNode>(
    RED,
    config.authenticator,
    'peer-remote-authenticator',
  ).open();
  const pool = new ConnectionPool(options, authenticator);
  const client = new PeerClient(pool);
  return { authenticator, pool, client, publisher: new PeerPublisher(client) };
}
