/**
 * Config node: the listener for incoming peers. Off until somebody allows incoming connections.
 */
import { EventEmitter } from 'node:events';
import type { Node, NodeAPI, NodeDef } from 'node-red';
import type { Role } from '../lib/auth/role.ts';
import type { IncomingConnections, IncomingEvent } from '../lib/endpoint/incoming-connections.ts';
import { PeerServer, type PeerServerOptions } from '../lib/endpoint/peer-server.ts';
import { PeerError, toPeerError } from '../lib/errors.ts';
import type { KeyBinding } from '../lib/keybinding/key-binding.ts';
import type { RemoteAuthenticator } from '../lib/keybinding/remote-authenticator.ts';
import type { CertificateStoreNode } from './certificate-store.ts';
import type { OcspKeyBindingNode } from './ocsp-keybinding.ts';
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
  /** Ids of OCSP key bindings that peers may renew; none in flows of earlier versions. */
  readonly keyBindings?: readonly string[];
  readonly incoming: boolean;
  readonly minTlsVersion: string;
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
  readonly authenticator: RemoteAuthenticator;
  close(): Promise<void>;
}

function rolesOf(RED: NodeAPI, { roles }: PeerEndpointDef): readonly Role[] {
  return roles.map((id) => configNode<PeerRoleNode>(RED, id, 'peer-role').role());
}

/**
 * The bindings that are open, looked up for each request: a token takes a while to open, and a deploy may renew it.
 *
 * @throws PeerError ERR_INVALID_CONFIG when two have one name, which access rules could not tell apart
 */
function keyBindingsOf(RED: NodeAPI, { keyBindings = [] }: PeerEndpointDef): () => readonly KeyBinding[] {
  const nodes = keyBindings.map((id) => configNode<OcspKeyBindingNode>(RED, id, 'peer-ocsp-keybinding'));
  const twice = nodes.find(({ name }, index) => nodes.findIndex((each) => each.name === name) !== index);
  if (twice !== undefined) throw new PeerError('ERR_INVALID_CONFIG', `Two key bindings have the name "${twice.name}"`);
  return () => keyBindings.flatMap((id) => (RED.nodes.getNode(id) as OcspKeyBindingNode | null)?.opened() ?? []);
}

function openServer(RED: NodeAPI, config: PeerEndpointDef, onEvent: (event: IncomingEvent) => void): Opened {
  const port = numberField(config.port, 'Port', { min: 0, max: 65_535 });
  const roles = rolesOf(RED, config);
  const store = config.store
    ? configNode<CertificateStoreNode>(RED, config.store, 'peer-certificate-store').store()
    : undefined;
  const authenticator = configNode<RemoteAuthenticatorNode>(
    RED,
    config.authenticator,
    'peer-remote-authenticator',
  ).open();
  const server = createServer({
    port,
    ...(config.host.trim() !== '' && { host: config.host.trim() }),
    authenticator,
    roles,
    ...(store !== undefined && { store }),
    keyBindings: keyBindingsOf(RED, config),
    software: SOFTWARE,
    minTlsVersion: tlsVersionField(config.minTlsVersion),
    onEvent,
  });
  return {
    server,
    authenticator,
    close: () => {
      authenticator.close();
      return server.close();
    },
  };
}

/** An identity that can't be read leaves nothing behind that watches its files. */
function createServer(options: PeerServerOptions): PeerServer {
  try {
    return new PeerServer(options);
  } catch (error) {
    options.authenticator.close();
    throw error;
  }
}
