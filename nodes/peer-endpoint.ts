/**
 * Config node: the listener for incoming peers. Off until somebody allows incoming connections.
 */
import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import type { Node, NodeAPI, NodeDef } from 'node-red';
import type { Role } from '../lib/auth/role.ts';
import type { IncomingConnections, IncomingEvent } from '../lib/endpoint/incoming-connections.ts';
import { PeerServer, type PeerServerOptions } from '../lib/endpoint/peer-server.ts';
import { PeerError, toPeerError } from '../lib/errors.ts';
import type { ManagedKeyBinding } from '../lib/keybinding/offline-key-binding.ts';
import type { RemoteAuthenticator } from '../lib/keybinding/remote-authenticator.ts';
import type { EndpointFacts } from '../lib/overview/incoming-row.ts';
import { RaQueue } from '../lib/ra/ra-queue.ts';
import type { CertificateStoreNode } from './certificate-store.ts';
import type { OcspKeyBindingNode } from './ocsp-keybinding.ts';
import type { PeerRoleNode } from './peer-role.ts';
import type { RemoteAuthenticatorNode } from './remote-authenticator.ts';
import { configNode, numberField, tlsVersionField } from './shared/node-config.ts';
import { SOFTWARE } from './shared/software.ts';
import { switchesOf } from './shared/switches.ts';

interface PeerEndpointDef extends NodeDef {
  readonly port: number | string;
  readonly host: string;
  readonly authenticator: string;
  readonly store: string;
  readonly roles: readonly string[];
  /** Ids of OCSP key bindings that peers may renew; none in flows of earlier versions. */
  readonly keyBindings?: readonly string[];
  readonly incoming: boolean;
  /** Whether client certificates must be in the store. */
  readonly requireStored?: boolean;
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
  /** Cuts a peer off by the fingerprint of its certificate, at every endpoint, or admits it again. */
  setBlocked(fingerprint: string, isBlocked: boolean): void;
  /** What the overview shows; never throws. */
  overviewFacts(): EndpointFacts;
  /** Where CAs fetch requests. @throws PeerError ERR_RA_NO_CA while nobody can come in */
  raQueue(): RaQueue;
}

export default function (RED: NodeAPI): void {
  function PeerEndpoint(this: PeerEndpointNode, config: PeerEndpointDef): void {
    RED.nodes.createNode(this, config);
    const listener = new Listener(RED, this, config);
    const switches = switchesOf(RED);
    Object.assign(this, {
      users: {},
      events: listener.events,
      port: () => listener.port,
      incoming: () => listener.incoming,
      setBlocked: (fingerprint: string, isBlocked: boolean) => switches.setBlocked(fingerprint, isBlocked),
      overviewFacts: (): EndpointFacts => ({
        id: this.id,
        name: this.name || `${config.host}:${config.port}`,
        port: listener.port,
        isConfigured: config.incoming,
        error: listener.failure,
        peers: listener.incoming?.list() ?? [],
      }),
      raQueue: () => listener.queue(),
    });
    const onSwitch = (): void => {
      // At once: whoever refuses a peer sees it refused.
      listener.applyBlocked();
      listener.follow(config.incoming && switches.state.incoming);
    };
    const onDeployed = (): void => listener.follow(config.incoming && switches.state.incoming, true);
    // Not before: stores and roles are config nodes too and may come into being after this one.
    RED.events.on('flows:started', onDeployed);
    RED.events.once('flows:started', () => listener.whenClosed(switches.onChange(onSwitch)));
    this.on('close', (_removed: boolean, done: () => void) => {
      RED.events.off('flows:started', onDeployed);
      listener.close().then(done, done);
    });
  }

  RED.nodes.registerType('peer-endpoint', PeerEndpoint);
}

/** The listener of one endpoint node, open or shut; one step after the other. */
class Listener {
  readonly events = new EventEmitter().setMaxListeners(0);
  /** Why it does not listen although it should; empty = it does, or should not. */
  failure = '';
  readonly #RED: NodeAPI;
  readonly #node: Node;
  readonly #config: PeerEndpointDef;
  readonly #closers: (() => void)[] = [];
  #opened: Opened | undefined;
  #isListening = false;
  #isClosed = false;
  #turn: Promise<void> = Promise.resolve();

  constructor(RED: NodeAPI, node: Node, config: PeerEndpointDef) {
    this.#RED = RED;
    this.#node = node;
    this.#config = config;
  }

  get port(): number | undefined {
    return this.#isListening ? this.#opened?.server.port : undefined;
  }

  get incoming(): IncomingConnections | undefined {
    return this.#opened?.server.incoming;
  }

  /** @throws PeerError ERR_RA_NO_CA while nobody can come in */
  queue(): RaQueue {
    if (this.#opened !== undefined) return this.#opened.queue;
    throw new PeerError('ERR_RA_NO_CA', 'The peer endpoint does not listen, so no CA can come');
  }

  /** Listens or not, with the roles as they are now. */
  follow(isAllowed: boolean, isDeploy = false): void {
    this.#turn = this.#turn.then(() => this.#step(isAllowed, isDeploy)).catch((error) => this.#giveUp(error));
  }

  /** Cuts whoever is blocked now. */
  applyBlocked(): void {
    this.#opened?.server.applyBlocked();
  }

  /** Takes what is to be called when the node is closed. */
  whenClosed(closer: () => void): void {
    if (this.#isClosed) closer();
    else this.#closers.push(closer);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const closer of this.#closers) closer();
    const old = this.#opened;
    this.#isListening = false;
    await Promise.all([old?.close(), this.#turn]);
  }

  async #step(isAllowed: boolean, isDeploy: boolean): Promise<void> {
    if (this.#isClosed) return;
    if (!isAllowed) return this.#shut();
    if (this.#opened === undefined) return this.#open();
    // The runtime renews roles that were changed, but not what names them in a list.
    if (isDeploy) this.#opened.server.setRoles(rolesOf(this.#RED, this.#config));
  }

  async #open(): Promise<void> {
    const opened = openServer(this.#RED, this.#config, (event) => this.events.emit('event', event));
    this.#opened = opened;
    this.failure = '';
    opened.authenticator.onChange(() => this.#renewIdentity(opened));
    await opened.server.start();
    if (this.#isClosed) return opened.close();
    this.#isListening = true;
    this.events.emit('listening');
  }

  async #shut(): Promise<void> {
    const old = this.#opened;
    this.failure = '';
    this.#opened = undefined;
    this.#isListening = false;
    this.events.emit('off');
    await old?.close();
  }

  async #giveUp(error: unknown): Promise<void> {
    const failure = toPeerError(error);
    // With a message, so that Catch nodes beside the nodes that use this endpoint learn of it.
    this.#node.error(failure, {});
    await this.#shut();
    this.failure = failure.message;
  }

  /** New connections get the renewed certificate; one that cannot be read leaves the old one in place. */
  #renewIdentity({ server }: Opened): void {
    try {
      server.reset();
    } catch (error) {
      this.#node.warn(toPeerError(error).message);
    }
  }
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

/**
 * The bindings that are open, looked up for each request: a token takes a while to open, and a deploy may renew it.
 *
 * @throws PeerError ERR_INVALID_CONFIG when two have one name, which access rules could not tell apart
 */
function keyBindingsOf(RED: NodeAPI, { keyBindings = [] }: PeerEndpointDef): () => readonly ManagedKeyBinding[] {
  const nodes = keyBindings.map((id) => configNode<OcspKeyBindingNode>(RED, id, 'peer-ocsp-keybinding'));
  const twice = nodes.find(({ name }, index) => nodes.findIndex((each) => each.name === name) !== index);
  if (twice !== undefined) throw new PeerError('ERR_INVALID_CONFIG', `Two key bindings have the name "${twice.name}"`);
  return () => keyBindings.flatMap((id) => (RED.nodes.getNode(id) as OcspKeyBindingNode | null)?.managed() ?? []);
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
    mustBeStored: config.requireStored ?? false,
    isBlocked: (fingerprint) => switchesOf(RED).state.blockedPeers.includes(fingerprint),
    desk: queue,
    keyBindings: keyBindingsOf(RED, config),
    software: SOFTWARE,
    spoolFolder: join(RED.settings.userDir ?? process.cwd(), 'peer-spool'),
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
