/**
 * Flow node: the CA side of RA requests. One message per request; the core node *http response* answers it.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { PeerError, toPeerError } from '../lib/errors.ts';
import { RA_TYPE, type RaAnswer } from '../lib/protocol/ra-messages.ts';
import { ENROLMENT_TYPES, enrol } from '../lib/ra/enrolment.ts';
import { payloadOf } from '../lib/ra/flow-content.ts';
import { FlowResponse } from '../lib/ra/flow-response.ts';
import type { RaTask } from '../lib/ra/ra-execution.ts';
import type { RaWorkerState } from '../lib/ra/ra-worker.ts';
import { toPem } from '../lib/x509/pem.ts';
import type { CertificateAuthorityNode } from './certificate-authority.ts';
import type { PeerConnectorNode } from './peer-connector.ts';
import { useConnectors } from './shared/connectors.ts';
import { configNode } from './shared/node-config.ts';
import { showError, showStatus } from './shared/node-status.ts';

interface RaListenerDef extends NodeDef {
  readonly connector: string;
  /** Separated by commas, spaces or line breaks; empty = all. */
  readonly types: string;
  /** Who issues what is enrolled for; empty = the flow. */
  readonly authority?: string;
}

const STATE_INTERVAL_MS = 250;

export default function (RED: NodeAPI): void {
  function PeerRaListener(this: Node, config: RaListenerDef): void {
    RED.nodes.createNode(this, config);
    useConnectors(RED, this, config.connector ? [config.connector] : []);
    let connector: PeerConnectorNode | undefined;
    let stop: () => Promise<void> = async () => undefined;
    const state = new StateOutput(this, () => connector?.raState());
    const handle = async (task: RaTask): Promise<RaAnswer> => {
      const issued = await issuedFor(RED, config, task);
      return new Promise((resolve) => {
        const res = { _res: new FlowResponse(resolve, () => !task.signal.aborted) };
        this.send([{ ...messageOf(task), ...issued, res } as never, null]);
      });
    };
    const listen = (): void => {
      try {
        const found = configNode<PeerConnectorNode>(RED, config.connector, 'peer-connector');
        // A deploy may have left both as they were.
        if (found === connector) return;
        connector = found;
        const types = typesOf(config.types);
        stop = connector.raReception().listen({ types, handle, onChange: () => state.changed() });
        state.changed();
      } catch (error) {
        const peerError = toPeerError(error, 'ERR_INVALID_CONFIG');
        this.error(peerError);
        showError(this, peerError);
      }
    };
    // Not before: a request that is there already must find the whole flow.
    RED.events.on('flows:started', listen);
    this.on('close', (done: () => void) => {
      RED.events.off('flows:started', listen);
      state.close();
      stop().then(done, done);
    });
  }

  RED.nodes.registerType('peer-ra-listener', PeerRaListener);
}

/** The certificate that an enrolment asks for, before the flow hears of it; nothing where the flow issues. */
async function issuedFor(RED: NodeAPI, config: RaListenerDef, task: RaTask): Promise<object> {
  if (!config.authority || !ENROLMENT_TYPES.includes(task.request.type)) return {};
  const node = configNode<CertificateAuthorityNode>(RED, config.authority, 'peer-certificate-authority');
  const authority = node.authority(() => {
    throw new PeerError('ERR_INVALID_CONFIG', 'Where the flow issues, an RA listener needs no certificate authority');
  });
  const certificates = await enrol(task, authority, config.connector);
  return { payload: certificates.map((der) => toPem(der)).join('') };
}

function typesOf(text: string): readonly string[] {
  const types = (text ?? '').split(/[\s,]+/).filter((type) => type !== '');
  const wrong = types.find((type) => !RA_TYPE.test(type));
  if (wrong !== undefined) throw new PeerError('ERR_INVALID_CONFIG', `"${wrong}" is not a request type`);
  return types;
}

function messageOf({ request, rights, deadlineAt }: RaTask) {
  const { id, type, administrator, http } = request;
  const payload = payloadOf(request.content);
  const { method = 'POST', url = '/', headers = {}, query = {}, params = {} } = http ?? {};
  return {
    topic: type,
    payload,
    ra: { id, type, ra: rights.ra, deadline: new Date(deadlineAt).toISOString(), administrator, rules: rights.rules },
    req: { method, url, headers, query, params, body: payload },
  };
}

/** The second output and the status: what changed, at most four times a second. */
class StateOutput {
  readonly #node: Node;
  readonly #look: () => RaWorkerState | undefined;
  #timer: NodeJS.Timeout | undefined;
  #last = '';
  #isClosed = false;

  constructor(node: Node, look: () => RaWorkerState | undefined) {
    this.#node = node;
    this.#look = look;
  }

  changed(): void {
    if (this.#timer !== undefined || this.#isClosed) return;
    this.#timer = setTimeout(() => this.#tell(), STATE_INTERVAL_MS).unref();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #tell(): void {
    this.#timer = undefined;
    const found = this.#look();
    if (found === undefined) return;
    const { lastError, ...numbers } = found;
    const payload = { ...numbers, error: lastError?.code ?? '' };
    const text = JSON.stringify(payload);
    if (text === this.#last) return;
    this.#last = text;
    if (found.state === 'unreachable' && lastError !== undefined) showError(this.#node, lastError);
    else showStatus(this.#node, { ...LOOKS[found.state], text: `ra-listener.status.${found.state}` });
    this.#node.send([null, { topic: 'state', payload } as never]);
  }
}

const LOOKS = {
  idle: { fill: 'green', shape: 'ring' },
  working: { fill: 'green', shape: 'dot' },
  busy: { fill: 'yellow', shape: 'dot' },
  unreachable: { fill: 'red', shape: 'ring' },
  stopped: { fill: 'grey', shape: 'ring' },
} as const;
