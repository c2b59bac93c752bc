/**
 * Flow node: the OCSP key bindings of a peer, as a table, and their renewal.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import type { CertificateAuthority } from '../lib/authority/certificate-authority.ts';
import { FlowAuthority, type FlowOrder } from '../lib/authority/flow-authority.ts';
import { PeerError } from '../lib/errors.ts';
import type { KeyBindingFacts } from '../lib/keybinding/key-binding-facts.ts';
import type { RenewerFacts } from '../lib/overview/renewal-row.ts';
import type { RenewalProgress } from '../lib/renewal/key-binding-renewal.ts';
import {
  type RenewalRow,
  type RenewalSelection,
  renewKeyBindings,
  requireRenewable,
} from '../lib/renewal/renew-key-bindings.ts';
import { RenewalLog } from '../lib/renewal/renewal-log.ts';
import type { CertificateAuthorityNode } from './certificate-authority.ts';
import type { PeerConnectorNode } from './peer-connector.ts';
import { connectorsFor, useConnectors } from './shared/connectors.ts';
import { type FlowMessage, handleInput } from './shared/handle-input.ts';
import { configNode, numberField } from './shared/node-config.ts';
import { showStatus } from './shared/node-status.ts';

interface RenewKeyBindingDef extends NodeDef {
  readonly connector: string;
  readonly authority: string;
  /** Days before the certificate expires. */
  readonly expiresWithin: number | string;
  readonly newKeyPair: boolean;
}

/** What the overview uses of a node that renews. */
export interface RenewKeyBindingNode extends Node {
  /** Never throws. */
  overviewFacts(): RenewerFacts;
  /**
   * Begins to renew one key binding of the peer of the dialog, by a message to this node, so that its flow sees it as any
   * other.
   *
   * @throws PeerError before anything begins: ERR_KEY_BINDING_UNKNOWN, ERR_INVALID_INPUT when it cannot be renewed,
   *   ERR_TASK_RUNNING, ERR_INVALID_CONFIG, and what the peer and the way to it say
   */
  beginRenewal(name: string, signal: AbortSignal): Promise<void>;
}

const AUTHORITY = 'peer-certificate-authority';
const DAY_MS = 86_400_000;

export default function (RED: NodeAPI): void {
  function PeerRenewKeyBinding(this: RenewKeyBindingNode, config: RenewKeyBindingDef): void {
    RED.nodes.createNode(this, config);
    const connectorIds = config.connector ? [config.connector] : [];
    useConnectors(RED, this, connectorIds);
    const controller = new AbortController();
    const ask = (order: FlowOrder): void =>
      this.send([null, { topic: 'order', payload: order.certificateRequest, renewal: order } as never]);
    const tell = (progress: RenewalProgress): void => {
      showStatus(this, { fill: 'blue', shape: 'dot', text: `${progress.binding}: ${progress.step}` });
      this.send([{ topic: 'progress', payload: progress, renewal: progress } as never, null]);
    };
    const authorities = new AuthorityOf(RED, config, ask);
    const log = new RenewalLog();
    Object.assign(this, {
      overviewFacts: () => overviewFactsOf(RED, this, config, log),
      beginRenewal: async (name: string, signal: AbortSignal) => {
        const [connector] = connectorsFor(RED, connectorIds, undefined) as [PeerConnectorNode];
        configNode(RED, config.authority, AUTHORITY);
        requireRenewable(await connector.client().listKeyBindings(signal), name);
        if (log.isUnderway(connector.id, name)) {
          throw new PeerError('ERR_TASK_RUNNING', `The key binding "${name}" is being renewed already`);
        }
        this.receive({ topic: 'peer-systems', payload: 'renew', keyBindings: [name] } as never);
      },
    });

    const renew = async (message: FlowMessage, connector: PeerConnectorNode): Promise<FlowMessage> => {
      const selection = selectionOf(message, config);
      const peer = connector.name || connector.id;
      const { rows, failure } = await log.follow(connector.id, selection, async (note) => {
        const task = {
          client: connector.client(),
          peer,
          authority: authorities.get(),
          newKeyPair: typeof message['newKeyPair'] === 'boolean' ? message['newKeyPair'] : config.newKeyPair,
          onProgress: (progress: RenewalProgress): void => {
            note(progress);
            tell(progress);
          },
        };
        return renewKeyBindings(task, selection, controller.signal);
      });
      if (failure !== undefined) throw failure;
      message.payload = rows;
      message['renewal'] = sumsOf(peer, rows);
      showSums(RED, this, rows);
      return message;
    };
    handleInput(this, async (message) => {
      const id = (message['renewal'] as { id?: unknown } | undefined)?.id;
      if (id !== undefined) {
        authorities.answer(id, message);
        return undefined;
      }
      const [connector] = connectorsFor(RED, connectorIds, message['connector']) as [PeerConnectorNode];
      if (message.payload !== 'list') return [await renew(message, connector), null];
      const bindings = await connector.client().listKeyBindings(controller.signal);
      message.payload = bindings.map((binding) => flatten(connector.name || connector.id, binding));
      message['renewal'] = { keyBindings: bindings };
      return [message, null];
    });
    this.on('close', () => controller.abort(new PeerError('ERR_CANCELLED', 'The node was closed')));
  }

  RED.nodes.registerType('peer-renew-keybinding', PeerRenewKeyBinding);
}

function overviewFactsOf(
  RED: NodeAPI,
  { id, name }: Node,
  { connector, authority }: RenewKeyBindingDef,
  log: RenewalLog,
): RenewerFacts {
  const issuer = RED.nodes.getNode(authority) as Node | null;
  const issuerName = issuer?.type === AUTHORITY ? issuer.name || issuer.id : '';
  return { id, name: name || id, connectorId: connector, authority: issuerName, renewals: log.list() };
}

/** The CA of the dialog, opened again when a deploy has renewed its node. */
class AuthorityOf {
  readonly #RED: NodeAPI;
  readonly #config: RenewKeyBindingDef;
  readonly #ask: (order: FlowOrder) => void;
  #node: CertificateAuthorityNode | undefined;
  #authority: CertificateAuthority | undefined;

  constructor(RED: NodeAPI, config: RenewKeyBindingDef, ask: (order: FlowOrder) => void) {
    this.#RED = RED;
    this.#config = config;
    this.#ask = ask;
  }

  /** @throws PeerError what opening it throws */
  get(): CertificateAuthority {
    const node = configNode<CertificateAuthorityNode>(this.#RED, this.#config.authority, AUTHORITY);
    if (this.#authority === undefined || this.#node !== node) this.#authority = node.authority(this.#ask);
    this.#node = node;
    return this.#authority;
  }

  /** @throws PeerError ERR_INVALID_INPUT when nobody waits for it */
  answer(id: unknown, { payload, error }: FlowMessage): void {
    if (!(this.#authority instanceof FlowAuthority)) {
      throw new PeerError('ERR_INVALID_INPUT', 'The CA of this node is not the flow: no certificate is waited for');
    }
    const refusal = error as { message?: unknown } | undefined;
    this.#authority.answer(id, refusal ? new Error(String(refusal.message ?? refusal)) : payload);
  }
}

/** @throws PeerError ERR_INVALID_INPUT, ERR_INVALID_CONFIG */
function selectionOf(message: FlowMessage, config: RenewKeyBindingDef): RenewalSelection {
  const named = message['keyBindings'];
  if (named === undefined || named === '') {
    const days = numberField(config.expiresWithin, 'Time before expiry', { min: 0, max: 36_500 });
    return { expiresWithinMs: days * DAY_MS };
  }
  const names = Array.isArray(named) ? named : [named];
  if (names.length === 0 || !names.every((name) => typeof name === 'string' && name !== '')) {
    throw new PeerError('ERR_INVALID_INPUT', 'msg.keyBindings holds no names of key bindings');
  }
  return { names };
}

function sumsOf(peer: string, rows: readonly RenewalRow[]) {
  const count = (outcome: RenewalRow['outcome']): number => rows.filter((row) => row.outcome === outcome).length;
  return { peer, renewed: count('renewed'), failed: count('failed'), unchanged: count('unchanged') };
}

function showSums(RED: NodeAPI, node: Node, rows: readonly RenewalRow[]): void {
  const { renewed, failed } = sumsOf('', rows);
  const text = RED._('renew-keybinding.status.renewed', { number: renewed });
  showStatus(node, { fill: failed > 0 ? 'yellow' : 'green', shape: 'dot', text });
}

/** Dashboards show rows of plain values. */
function flatten(peer: string, binding: KeyBindingFacts): Record<string, string | number | boolean> {
  const { orphanKeys, retiredKeys, ...facts } = binding;
  return { peer, ...facts, orphanKeys: orphanKeys.join(', '), retiredKeys: retiredKeys.join(', ') };
}
