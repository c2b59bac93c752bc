/**
 * Config node: one downstream peer and the pool of connections to it.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { PeerError, toPeerError } from '../lib/errors.ts';
import type { RemoteAuthenticator } from '../lib/keybinding/remote-authenticator.ts';
import type { ConnectorFacts } from '../lib/overview/outgoing-row.ts';
import { ConnectionPool, type PoolFacts, type PoolOptions } from '../lib/pool/connection-pool.ts';
import { PeerClient } from '../lib/pool/peer-client.ts';
import { renderPeerUrl } from '../lib/pool/peer-url.ts';
import { RA_WAIT_MS } from '../lib/protocol/ra-messages.ts';
import { PeerPublisher } from '../lib/publisher/peer-publisher.ts';
import { RaReception } from '../lib/ra/ra-reception.ts';
import type { RaWorkerState } from '../lib/ra/ra-worker.ts';
import type { PeerRoleNode } from './peer-role.ts';
import type { RemoteAuthenticatorNode } from './remote-authenticator.ts';
import { configNode, numberField, tlsVersionField } from './shared/node-config.ts';
import { queuesOf } from './shared/publisher-queues.ts';
import { switchesOf } from './shared/switches.ts';

interface PeerConnectorDef extends NodeDef {
  readonly url: string;
  readonly authenticator: string;
  readonly enabled: boolean;
  readonly maxConnections: number | string;
  readonly connectTimeoutMs: number | string;
  readonly requestTimeoutMs: number | string;
  readonly minTlsVersion: string;
  /** Process incoming requests: fetch and answer the requests of an RA. */
  readonly raEnabled?: boolean;
  readonly raMinimum?: number | string;
  readonly raMaximum?: number | string;
  /** Role of the RA at this CA. */
  readonly raRole?: string;
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
  /** Where to listen for the requests of an RA. @throws PeerError ERR_CONNECTOR_DISABLED, ERR_INVALID_CONFIG when off */
  raReception(): RaReception;
  /** undefined while nobody listens for requests of an RA. */
  raState(): RaWorkerState | undefined;
  reset(): void;
}

interface Parts {
  readonly authenticator: RemoteAuthenticator;
  readonly pool: ConnectionPool;
  readonly client: PeerClient;
  readonly publisher: PeerPublisher;
  readonly reception: RaReception;
}

/** Beside the time for which the RA holds a call open. */
const ANSWER_MS = 5_000;
/** So that connections beyond the minimum are gone within a minute of idleness. */
const RA_KEEP_ALIVE_MS = 30_000;

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
    const endSwitches = parts instanceof PeerError ? () => undefined : followSwitches(RED, this, config, parts);
    Object.assign(this, {
      url: config.url,
      users: {},
      client: () => usable().client,
      publisher: () => usable().publisher,
      facts: () => usable().pool.facts(),
      raReception: () => {
        if (!config.enabled) throw new PeerError('ERR_CONNECTOR_DISABLED', 'The peer connector is disabled');
        if (!config.raEnabled) {
          throw new PeerError('ERR_INVALID_CONFIG', 'The peer connector does not process incoming requests');
        }
        return usable().reception;
      },
      raState: () => usable().reception.state(),
      reset: () => {
        usable().pool.reset();
        usable().reception.reset();
      },
      overviewFacts: () => overviewFactsOf(RED, this, config, parts),
    });
    this.on('close', (_removed: boolean, done: () => void) => {
      endSwitches();
      if (parts instanceof PeerError) return done();
      parts.authenticator.close();
      Promise.all([parts.reception.close(), parts.pool.close()]).then(() => done(), done);
    });
  }

  RED.nodes.registerType('peer-connector', PeerConnector);
}

/** Enabled is who is so in its dialog, by the global switch and by its own switch in the overview. */
function followSwitches(RED: NodeAPI, node: Node, config: PeerConnectorDef, parts: Parts): () => void {
  const { pool, reception } = parts;
  const switches = switchesOf(RED);
  const apply = (): void => {
    const isAllowed = config.enabled && switches.isConnectorAllowed(node.id);
    if (isAllowed) pool.enable();
    else void pool.disable();
    reception.allow(isAllowed).catch((error: unknown) => node.error(toPeerError(error).message));
  };
  apply();
  return switches.onChange(apply);
}

/** For people; a role that is missing is told when a request comes. */
function roleNames(RED: NodeAPI, id: string | undefined): readonly string[] {
  const role = RED.nodes.getNode(id ?? '') as Node | null;
  return role === null ? [] : [role.name || role.id];
}

function overviewFactsOf(
  RED: NodeAPI,
  node: PeerConnectorNode,
  config: PeerConnectorDef,
  parts: Parts | PeerError,
): ConnectorFacts {
  const isUsable = !(parts instanceof PeerError);
  return {
    id: node.id,
    name: node.name || node.url || node.id,
    url: config.url,
    isConfigured: config.enabled,
    configError: isUsable ? '' : parts.message,
    pool: isUsable ? parts.pool.facts() : undefined,
    lastPing: isUsable ? parts.client.lastPing : undefined,
    queues: queuesOf(node.id),
    incomingRoles: config.raEnabled ? roleNames(RED, config.raRole) : [],
    ra: isUsable ? parts.reception.state() : undefined,
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
  const reception = openReception(RED, config, (more) => new ConnectionPool({ ...options, ...more }, authenticator));
  return { authenticator, pool, client, publisher: new PeerPublisher(client), reception };
}

function openReception(
  RED: NodeAPI,
  config: PeerConnectorDef,
  openPool: (options: Partial<PoolOptions>) => ConnectionPool,
): RaReception {
  const minimum = numberField(config.raMinimum ?? 2, 'Minimum of parallel requests', { min: 1, max: 100 });
  const maximum = numberField(config.raMaximum ?? 10, 'Maximum of parallel requests', { min: minimum, max: 100 });
  return new RaReception({
    // One more for signs of life while all others are in use.
    openPool: () =>
      openPool({
        maxConnections: maximum + 1,
        requestTimeoutMs: RA_WAIT_MS + ANSWER_MS,
        keepAliveMs: RA_KEEP_ALIVE_MS,
      }),
    minimum,
    maximum,
    // Looked up for every request: a role that is changed counts at once.
    roles: () => [configNode<PeerRoleNode>(RED, config.raRole, 'peer-role').role()],
  });
}
