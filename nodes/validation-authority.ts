/**
 * Flow node: the public face of a VA, over plain HTTP on a port of its own.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { PeerError, toPeerError } from '../lib/errors.ts';
import type { KeyBinding } from '../lib/keybinding/key-binding.ts';
import { OcspResponder } from '../lib/ocsp/ocsp-responder.ts';
import type { ServedKeyBinding, ValidationAuthorityFacts } from '../lib/overview/validation-authority-row.ts';
import { AnswerCounts } from '../lib/validation-authority/answer-counts.ts';
import { ocspFaces, ocspNumbers } from '../lib/validation-authority/ocsp-face.ts';
import { type Face, PublicServer } from '../lib/validation-authority/public-server.ts';
import { certificateFace, crlFace } from '../lib/validation-authority/store-faces.ts';
import type { CertificateStoreNode } from './certificate-store.ts';
import type { OcspKeyBindingNode } from './ocsp-keybinding.ts';
import { handleInput } from './shared/handle-input.ts';
import { configNode, numberField } from './shared/node-config.ts';
import { showError, showStatus } from './shared/node-status.ts';

interface ValidationAuthorityDef extends NodeDef {
  readonly store: string;
  readonly port: number | string;
  readonly host: string;
  readonly crls: boolean;
  readonly certificates: boolean;
  /** Ids of OCSP key bindings; empty = no OCSP. */
  readonly keyBindings?: readonly string[];
}

/** What the overview uses of a validation authority. */
export interface ValidationAuthorityNode extends Node {
  /** Never throws. */
  overviewFacts(): ValidationAuthorityFacts;
}

/** How far the server of a node is. */
interface Standing {
  opened: Opened | undefined;
  isListening: boolean;
  /** Why there is none; empty = no reason known. */
  failure: string;
}

const TELL_INTERVAL_MS = 1_000;

export default function (RED: NodeAPI): void {
  function PeerValidationAuthority(this: ValidationAuthorityNode, config: ValidationAuthorityDef): void {
    RED.nodes.createNode(this, config);
    const counts = new AnswerCounts();
    const standing: Standing = { opened: undefined, isListening: false, failure: '' };
    Object.assign(this, { overviewFacts: () => overviewFactsOf(RED, this, { config, standing, counts }) });
    const numbers = () => {
      const responder = standing.opened?.responder;
      return { ...counts.take(), ...(responder && ocspNumbers(responder)) };
    };
    const onAnswer: OnAnswer = (path, status, error) => {
      counts.add(path, status);
      if (error !== undefined) this.warn(`${path}: ${error.code}: ${error.message}`);
    };
    const open = async (): Promise<void> => {
      const opened = openServer(RED, config, onAnswer);
      Object.assign(standing, { opened, failure: '' });
      await opened.server.start();
      standing.isListening = true;
      const text = RED._('validation-authority.status.listening', { port: opened.server.port });
      showStatus(this, { fill: 'green', shape: 'dot', text });
    };
    const onStarted = (): void => {
      if (standing.opened !== undefined) return;
      open().catch((cause: unknown) => {
        const error = toPeerError(cause);
        Object.assign(standing, { opened: undefined, failure: error.message });
        showError(this, error);
        this.error(error, {});
      });
    };
    const timer = setInterval(() => {
      if (counts.hasNews()) this.send({ topic: 'answers', payload: numbers() });
    }, TELL_INTERVAL_MS).unref();
    handleInput(this, async (message) => {
      message.payload = numbers();
      return message;
    });
    // Not before: the store is a config node too and may come into being after this one.
    RED.events.on('flows:started', onStarted);
    this.on('close', (_removed: boolean, done: () => void) => {
      RED.events.off('flows:started', onStarted);
      clearInterval(timer);
      if (standing.opened === undefined) return done();
      standing.opened.server.close().then(done, done);
    });
  }

  RED.nodes.registerType('peer-validation-authority', PeerValidationAuthority);
}

type OnAnswer = (path: string, status: number, error?: PeerError) => void;

interface Opened {
  readonly server: PublicServer;
  /** undefined without key bindings. */
  readonly responder: OcspResponder | undefined;
}

function overviewFactsOf(
  RED: NodeAPI,
  { id, name }: Node,
  parts: { readonly config: ValidationAuthorityDef; readonly standing: Standing; readonly counts: AnswerCounts },
): ValidationAuthorityFacts {
  const { config, standing, counts } = parts;
  const { opened, isListening, failure } = standing;
  return {
    id,
    name: name || id,
    host: (config.host ?? '').trim(),
    port: isListening ? opened?.server.port : undefined,
    error: failure,
    servesCrls: config.crls,
    answers: counts.numbers(),
    ocsp: opened?.responder && ocspNumbers(opened.responder),
    keyBindings: (config.keyBindings ?? []).map((bindingId) => servedKeyBinding(RED, bindingId)),
  };
}

function servedKeyBinding(RED: NodeAPI, id: string): ServedKeyBinding {
  const name = (RED.nodes.getNode(id) as Node | null)?.name || id;
  try {
    const facts = configNode<OcspKeyBindingNode>(RED, id, 'peer-ocsp-keybinding').binding().facts();
    return { id, name, facts, error: '' };
  } catch (error) {
    return { id, name, facts: undefined, error: toPeerError(error).message };
  }
}

/** Those that are open; the same array as long as they are the same. A deploy may renew them at any time. */
function openBindings(RED: NodeAPI, { keyBindings = [] }: ValidationAuthorityDef): () => readonly KeyBinding[] {
  let last: readonly KeyBinding[] = [];
  return () => {
    const nodes = keyBindings.map((id) => RED.nodes.getNode(id) as OcspKeyBindingNode | null);
    const found = nodes.flatMap((node) => node?.opened?.() ?? []);
    const isSame = found.length === last.length && found.every((binding, index) => binding === last[index]);
    if (!isSame) last = found;
    return last;
  };
}

function openServer(RED: NodeAPI, config: ValidationAuthorityDef, onAnswer: OnAnswer): Opened {
  const host = (config.host ?? '').trim();
  const store = configNode<CertificateStoreNode>(RED, config.store, 'peer-certificate-store').store();
  const responder =
    (config.keyBindings ?? []).length > 0
      ? new OcspResponder({ store, bindings: openBindings(RED, config) })
      : undefined;
  if (!(config.crls || config.certificates || responder !== undefined)) {
    throw new PeerError('ERR_INVALID_CONFIG', 'The validation authority serves nothing');
  }
  const server = new PublicServer({
    port: numberField(config.port, 'Port', { min: 0, max: 65_535 }),
    ...(host !== '' && { host }),
    faces: [
      ...(responder === undefined ? [] : ocspFaces(responder)),
      ...(config.crls ? [crlFace(store.crls)] : []),
      ...(config.certificates ? [certificateFace(store.crls)] : []),
    ] satisfies readonly Face[],
    onAnswer,
  });
  return { server, responder };
}
