/**
 * Flow node: the public face of a VA, over plain HTTP on a port of its own.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { PeerError, toPeerError } from '../lib/errors.ts';
import { AnswerCounts } from '../lib/validation-authority/answer-counts.ts';
import { type Face, PublicServer } from '../lib/validation-authority/public-server.ts';
import { certificateFace, crlFace } from '../lib/validation-authority/store-faces.ts';
import type { CertificateStoreNode } from './certificate-store.ts';
import { handleInput } from './shared/handle-input.ts';
import { configNode, numberField } from './shared/node-config.ts';
import { showError, showStatus } from './shared/node-status.ts';

interface ValidationAuthorityDef extends NodeDef {
  readonly store: string;
  readonly port: number | string;
  readonly host: string;
  readonly crls: boolean;
  readonly certificates: boolean;
}

const TELL_INTERVAL_MS = 1_000;

export default function (RED: NodeAPI): void {
  function PeerValidationAuthority(this: Node, config: ValidationAuthorityDef): void {
    RED.nodes.createNode(this, config);
    const counts = new AnswerCounts();
    let server: PublicServer | undefined;
    const open = async (): Promise<void> => {
      server = openServer(RED, config, (path, status, error) => {
        counts.add(status);
        if (error !== undefined) this.warn(`${path}: ${error.code}: ${error.message}`);
      });
      await server.start();
      const text = RED._('validation-authority.status.listening', { port: server.port });
      showStatus(this, { fill: 'green', shape: 'dot', text });
    };
    const onStarted = (): void => {
      if (server !== undefined) return;
      open().catch((cause: unknown) => {
        const error = toPeerError(cause);
        server = undefined;
        showError(this, error);
        this.error(error, {});
      });
    };
    const timer = setInterval(() => {
      if (counts.hasNews()) this.send({ topic: 'answers', payload: counts.take() });
    }, TELL_INTERVAL_MS).unref();
    handleInput(this, async (message) => {
      message.payload = counts.take();
      return message;
    });
    // Not before: the store is a config node too and may come into being after this one.
    RED.events.on('flows:started', onStarted);
    this.on('close', (_removed: boolean, done: () => void) => {
      RED.events.off('flows:started', onStarted);
      clearInterval(timer);
      if (server === undefined) return done();
      server.close().then(done, done);
    });
  }

  RED.nodes.registerType('peer-validation-authority', PeerValidationAuthority);
}

type OnAnswer = (path: string, status: number, error?: PeerError) => void;

function openServer(RED: NodeAPI, config: ValidationAuthorityDef, onAnswer: OnAnswer): PublicServer {
  const host = (config.host ?? '').trim();
  return new PublicServer({
    port: numberField(config.port, 'Port', { min: 0, max: 65_535 }),
    ...(host !== '' && { host }),
    faces: facesOf(RED, config),
    onAnswer,
  });
}

/** One line per thing that can be served. */
function facesOf(RED: NodeAPI, config: ValidationAuthorityDef): readonly Face[] {
  const { crls } = configNode<CertificateStoreNode>(RED, config.store, 'peer-certificate-store').store();
  const faces = [...(config.crls ? [crlFace(crls)] : []), ...(config.certificates ? [certificateFace(crls)] : [])];
  if (faces.length === 0) throw new PeerError('ERR_INVALID_CONFIG', 'The validation authority serves nothing');
  return faces;
}
