/**
 * Flow node: hands a request to whichever CA is listening at an endpoint, and waits for its answer.
 */
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { PeerError } from '../lib/errors.ts';
import { RA_MAX_CONTENT_BYTES, type RaAdministrator, type RaHttpRequest } from '../lib/protocol/ra-messages.ts';
import { contentOf, payloadOf } from '../lib/ra/flow-content.ts';
import type { RaQuestion } from '../lib/ra/ra-entry.ts';
import type { PeerEndpointNode } from './peer-endpoint.ts';
import { type FlowMessage, handleInput } from './shared/handle-input.ts';
import { configNode, numberField } from './shared/node-config.ts';
import { showStatus } from './shared/node-status.ts';

interface RaRequestDef extends NodeDef {
  readonly endpoint: string;
  readonly requestType: string;
  readonly deadlineMs: number | string;
  readonly priority: number | string;
  readonly maxBytes: number | string;
  readonly repeatable: boolean;
}

/** `msg.ra` as a flow may set it; each member instead of the field of the dialog. */
interface RaSettings {
  readonly id?: string;
  readonly type?: string;
  readonly deadlineMs?: number;
  readonly priority?: number;
  readonly repeatable?: boolean;
  readonly administrator?: Partial<RaAdministrator>;
  /** Id of a request to end. */
  readonly cancel?: string;
}

export default function (RED: NodeAPI): void {
  function PeerRaRequest(this: Node, config: RaRequestDef): void {
    RED.nodes.createNode(this, config);
    const closing = new AbortController();
    let underway = 0;
    const count = (change: number): void => {
      underway += change;
      const text = RED._('ra-request.status.underway', { count: String(underway) });
      showStatus(this, underway === 0 ? {} : { fill: 'blue', shape: 'dot', text });
    };
    handleInput(this, async (message) => {
      const queue = configNode<PeerEndpointNode>(RED, config.endpoint, 'peer-endpoint').raQueue();
      const settings = settingsOf(message);
      if (settings.cancel !== undefined) {
        queue.cancel(settings.cancel);
        return undefined;
      }
      const question = questionOf(message, settings, config);
      count(1);
      try {
        const { statusCode, headers, cookies, content } = await queue.ask(question, closing.signal);
        message.payload = payloadOf(content);
        message['ra'] = { ...settings, type: question.type };
        const options = Object.entries(cookies).map(([name, cookie]) => [
          name,
          { ...cookie.options, value: cookie.value },
        ]);
        return Object.assign(message, { statusCode, headers: { ...headers }, cookies: Object.fromEntries(options) });
      } finally {
        count(-1);
      }
    });
    this.on('close', (done: () => void) => {
      closing.abort(new PeerError('ERR_CANCELLED', 'The node was closed'));
      done();
    });
  }

  RED.nodes.registerType('peer-ra-request', PeerRaRequest);
}

function settingsOf(message: FlowMessage): RaSettings {
  const settings = message['ra'] ?? {};
  if (typeof settings === 'object') return settings;
  throw new PeerError('ERR_INVALID_INPUT', 'msg.ra is not an object');
}

function questionOf(message: FlowMessage, settings: RaSettings, config: RaRequestDef): RaQuestion {
  const { id, type = config.requestType, administrator } = settings;
  const content = contentOf(message.payload);
  const maxBytes = numberField(config.maxBytes, 'Largest content', { min: 1, max: RA_MAX_CONTENT_BYTES });
  if (content.body.length > maxBytes) {
    throw new PeerError('ERR_TOO_LARGE', `The request has ${content.body.length} bytes, more than ${maxBytes}`);
  }
  return {
    ...(id !== undefined && { id: String(id) }),
    type: String(type),
    deadlineMs: numberField(settings.deadlineMs ?? config.deadlineMs, 'Deadline', { min: 100, max: 3_600_000 }),
    priority: numberField(settings.priority ?? config.priority, 'Priority', { min: 0, max: 9 }),
    isRepeatable: settings.repeatable ?? config.repeatable,
    administrator: administrator && administratorOf(administrator),
    http: httpOf(message['req']),
    content,
  };
}

function administratorOf({ subjectDN = '', certificate = '', rules = {} }: Partial<RaAdministrator>): RaAdministrator {
  return { subjectDN: String(subjectDN), certificate: String(certificate), rules };
}

/** Of the request that *http in* received, what a CA may want to look at. */
function httpOf(request: unknown): RaHttpRequest | undefined {
  if (typeof request !== 'object' || request === null) return undefined;
  const { method, url, headers = {}, query = {}, params = {} } = request as Record<string, never>;
  if (typeof method !== 'string' || typeof url !== 'string') return undefined;
  return { method, url, headers: textsOf(headers), query: { ...(query as object) }, params: textsOf(params) };
}

function textsOf(fields: object): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, String(value)]));
}
