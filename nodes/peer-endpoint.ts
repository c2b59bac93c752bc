/**
 * Config node: the listener for incoming peers. Off until somebody allows incoming connections.
 */
import { EventEmitter } from 'node:events';
import type { Node, NodeAPI, NodeDef } from 'node-red';
import type { Role } from '../lib/auth/role.ts';
import type { IncomingConnections, IncomingEvent } from '../lib/endpoint/incoming-connections.ts';
import { PeerServer, type PeerServerOptions } from '../lib/endpoint/peer-server.ts';
import { PeerError, toPeerError } from '../lib/errors.ts';
import type { RemoteAuthenticator } from '../lib/keybinding/remote-authenticator.ts';
import { RaQueue } from '../lib/ra/ra-queue.ts';
import type { CertificateStoreNode } from './certificate-store.ts';
import type { PeerRoleNode } from './peer-role.ts';
import type { RemoteAuthenticatorNode } from './remote-authenticator.ts';
import { configNode, numberField, tlsVersionField } from './shared/node-config.ts';
import { SOFTWARE } from './shared/software.ts';

interface PeerEndpointDef extends NodeDef {
  readonly port: number | string;
  readonly host: string;
  readonly authenticator: string;
  readonly store: string;
  readonly roles: readonly string[];
  readonly incoming: boolean;
  readonly minTlsVersion: string;
  /** RA requests that may wait for a CA. */
  readonly raMaxWaiting?: number | string;
}

/** What other nodes use of an endpoint. */
export interface PeerEndpointNode extends Node {
  /** Flow nodes that use it, by id; a plain object, because the runtime hands status and errors on to just these. */
  readonly users: Record<string, Node>;
  /** `event` with an IncomingEvent, `listening`, `off`. */
  readonly events: EventEmitter;
  /** The port listened on; undefined while nothing is. */
  port(): number | undefined;
  incoming(): IncomingConnections | undefined;
  /** Where CAs fetch requests. @throws PeerError ERR_RA_NO_CA while nobody can come in */
  raQueue(): RaQueue;
}

export default function (RED: NodeAPI): void {
  function PeerEndpoint(this: PeerEndpointNode, config: PeerEndpointDef): void {
    RED.nodes.createNode(this, config);
    const events = new EventEmitter().setMaxListeners(0);
    let opened: Opened | undefined;
    let isListening = false;
    Object.assign(this, {
      users: {},
      events,
      port: () => (isListening ? opened?.server.port : undefined),
      incoming: () => opened?.server.incoming,
      raQueue: () => {
        if (opened !== undefined) return opened.queue;
        throw new PeerError('ERR_RA_NO_CA', 'The peer endpoint does not listen, so no CA can come');
      },
    });
    // New connections get the renewed certificate; one that cannot be read leaves the old one in place.
    const renewIdentity = (): void => {
      try {
        opened?.server.reset();
      } catch (error) {
        this.warn(toPeerError(error).message);
      }
    };
    const open = async (): Promise<void> => {
      opened = openServer(RED, config, (event) => events.emit('event', event));
      opened.authenticator.onChange(renewIdentity);
      await opened.server.start();
      isListening = true;
      events.emit('listening');
    };
    // The runtime renews roles that were changed, but not what names them in a list.
    const update = async (): Promise<void> => opened?.server.setRoles(rolesOf(RED, config));
    const giveUp = (error: unknown): void => {
      // With a message, so that Catch nodes beside the nodes that use this endpoint learn of it.
      this.error(toPeerError(error), {});
      void opened?.close();
      opened = undefined;
      isListening = false;
      events.emit('off');
    };
    const onDeployed = (): void => {
      if (config.incoming) (opened === undefined ? open() : update()).catch(giveUp);
    };
    // Not before: stores and roles are config nodes too and may come into being after this one.
    RED.events.on('flows:started', onDeployed);
    this.on('close', (_removed: boolean, done: () => void) => {
      RED.events.off('flows:started', onDeployed);
      isListening = false;
      if (opened === undefined) return done();
      opened.close().then(done, done);
    });
  }

  RED.nodes.registerType('peer-endpoint', PeerEndpoint);
}

interface Opened {
  readonly server: PeerServer;
  readonly queue: RaQueue;
  readonly authenticator: RemoteAuthenticator;
  close(): Promise<void>;
}

function rolesOf(RED: NodeAPI, { roles }: PeerEndpointDef): readonly Role[] {
  return roles.map((id) => configNode<PeerRoleNode>(RED, id, 'peer-role').role());
}

function openServer(RED: NodeAPI, config: PeerEndpointDef, onEvent: (event: IncomingEvent) => void): Opened {
  const port = numberField(config.port, 'Port', { min: 0, max: 65_535 });
  const roles = rolesOf(RED, config);
  const store = config.store
    ? configNode<CertificateStoreNode>(RED, config.store, 'peer-certificate-store').store()
    : undefined;
  const maxWaiting = numberField(config.raMaxWaiting ?? 1_000, 'Waiting RA requests', { min: 1, max: 10_000 });
  const authenticator = configNode<RemoteAuthenticatorNode>(
    RED,
    config.authenticator,
    'peer-remote-authenticator',
  ).open();
  const queue = new RaQueue({ maxWaiting });
  const options: PeerServerOptions = {
    port,
    ...(config.host.trim() !== '' && { host: config.host.trim() }),
    authenticator,
    roles,
    ...(store !== undefined && { store }),
    desk: queue,
    software: SOFTWARE,
    minTlsVersion: tlsVersionField(config.minTlsVersion),
    onEvent,
  };
  const server = createServer(options, queue);
  return {
    server,
    queue,
    authenticator,
    close: () => {
      authenticator.close();
      queue.close();
      return server.close();
    },
  };
}

/** An identity that can't be read leaves nothing behind that watches its files. */
function createServer(options: PeerServerOptions, queue: RaQueue): PeerServer {
  try {
    return new PeerServer(options);
  } catch (error) {
    options.authenticator.close();
    queue.close();
    throw error;
  }
}
