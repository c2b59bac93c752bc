/**
 * Plugin: what the sidebar tab "Peer systems" asks of the runtime, and what it may do there.
 */
import { X509Certificate } from 'node:crypto';
import type { Node, NodeAPI } from 'node-red';
import { effectiveRights, parseRoles } from '../lib/auth/effective-rules.ts';
import { PeerError, toPeerError } from '../lib/errors.ts';
import { METRICS_TYPE, renderMetrics } from '../lib/overview/metrics.ts';
import { type AdminRequest, askRoute, getRoute, postRoute, textField } from './shared/admin-route.ts';
import { collectOverview, type OverviewNodes } from './shared/collect-overview.ts';
import { OverviewFeed } from './shared/overview-feed.ts';
import { commandQueues } from './shared/publisher-queues.ts';
import { switchesOf } from './shared/switches.ts';

const PING_MS = 30_000;
/** Of each queue, in the list of the tab. */
const MAX_LISTED_MARKS = 100;
const MAX_CERTIFICATE_LENGTH = 100_000;

export default function (RED: NodeAPI): void {
  addOverview(RED);
  addConnectorActions(RED);
  addSyncActions(RED);
  addRenewalActions(RED);
  addIncomingActions(RED);
}

function addOverview(RED: NodeAPI): void {
  const feed = new OverviewFeed(RED);
  getRoute(RED, '/peer-systems/overview', ({ query }) => feed.since(String(query['since'] ?? '')));
  getRoute(RED, '/peer-systems/metrics', (_request, response) => {
    response.type(METRICS_TYPE);
    return renderMetrics(collectOverview(RED));
  });
  postRoute(RED, '/peer-systems/switches', ({ body }) => {
    const { outgoing, incoming } = body;
    switchesOf(RED).set({
      ...(outgoing !== undefined && { outgoing: flagField(outgoing, 'outgoing') }),
      ...(incoming !== undefined && { incoming: flagField(incoming, 'incoming') }),
    });
  });
}

function addConnectorActions(RED: NodeAPI): void {
  const connector = ({ params }: AdminRequest) => nodeOf(RED, 'peer-connector', params['id']);
  postRoute(RED, '/peer-systems/connectors/:id/ping', async (request) => {
    const controller = new AbortController();
    const late = new PeerError('ERR_PEER_TIMEOUT', `No answer within ${PING_MS} ms`);
    const timer = setTimeout(() => controller.abort(late), PING_MS);
    try {
      const { roundTripMs } = await connector(request).client().ping(controller.signal);
      return { roundTripMs };
    } finally {
      clearTimeout(timer);
    }
  });
  postRoute(RED, '/peer-systems/connectors/:id/reset', (request) => connector(request).reset());
  getRoute(RED, '/peer-systems/connectors/:id/key-bindings', (request) =>
    connector(request).client().listKeyBindings(AbortSignal.timeout(PING_MS)),
  );
  addQueueActions(RED, (request) => connector(request).id);
  for (const isEnabled of [true, false]) {
    postRoute(RED, `/peer-systems/connectors/:id/${isEnabled ? 'enable' : 'disable'}`, (request) =>
      switchesOf(RED).setConnector(connector(request).id, isEnabled),
    );
  }
}

function addQueueActions(RED: NodeAPI, connectorId: (request: AdminRequest) => string): void {
  /** The same command to every queue that has marks for the connector. */
  const run = (request: AdminRequest, command: string, fields: Readonly<Record<string, unknown>>) =>
    commandQueues(connectorId(request), {
      command,
      state: fields['state'],
      fingerprints: fields['fingerprints'],
      after: undefined,
      limit: MAX_LISTED_MARKS,
    });
  getRoute(RED, '/peer-systems/connectors/:id/queue', (request) => run(request, 'list', request.query));
  postRoute(RED, '/peer-systems/connectors/:id/queue/retry', (request) => run(request, 'retry', request.body));
  postRoute(RED, '/peer-systems/connectors/:id/queue/empty', (request) => run(request, 'empty', request.body));
}

function addSyncActions(RED: NodeAPI): void {
  const sync = ({ params }: AdminRequest) => nodeOf(RED, 'peer-sync', params['id']);
  // A message to the node, so that its flow sees the run as any other.
  const start = (request: AdminRequest, dryRun: boolean): void => {
    const node = sync(request);
    const { isRunning, name } = node.overviewFacts();
    if (isRunning) throw new PeerError('ERR_TASK_RUNNING', `"${name}" synchronises already`);
    node.receive({ topic: 'peer-systems', payload: 'start', dryRun } as never);
  };
  postRoute(RED, '/peer-systems/syncs/:id/start', (request) => start(request, false));
  postRoute(RED, '/peer-systems/syncs/:id/dry-run', (request) => start(request, true));
  postRoute(RED, '/peer-systems/syncs/:id/stop', (request) =>
    sync(request).receive({ topic: 'peer-systems', payload: 'stop' } as never),
  );
  getRoute(RED, '/peer-systems/syncs/:id/report', (request, response) => {
    const report = sync(request).report();
    if (report === undefined) throw new PeerError('ERR_PEER_UNKNOWN', 'There is no report since the last start');
    response.type('application/yaml');
    response.set('Content-Disposition', `attachment; filename*=UTF-8''${encodeURIComponent(report.filename)}`);
    return report.yaml;
  });
}

function addRenewalActions(RED: NodeAPI): void {
  postRoute(RED, '/peer-systems/renewers/:id/renew', ({ params, body }) => {
    const keyBinding = textField(body['keyBinding'], 'keyBinding');
    const renewer = nodeOf(RED, 'peer-renew-keybinding', params['id']);
    return renewer.beginRenewal(keyBinding, AbortSignal.timeout(PING_MS));
  });
}

function addIncomingActions(RED: NodeAPI): void {
  const endpoint = ({ params }: AdminRequest) => nodeOf(RED, 'peer-endpoint', params['id']);
  for (const isBlocked of [true, false]) {
    postRoute(RED, `/peer-systems/endpoints/:id/${isBlocked ? 'refuse' : 'admit'}`, (request) =>
      endpoint(request).setBlocked(fingerprintField(request.body['peer']), isBlocked),
    );
  }
  postRoute(RED, '/peer-systems/endpoints/:id/forget', (request) => {
    const peer = textField(request.body['peer'], 'peer');
    endpoint(request).incoming()?.forget(peer);
  });
  askRoute(RED, '/peer-systems/effective-rules', ({ body }) => {
    const roles = parseRoles(body['roles']);
    if (body['certificate'] !== undefined) return effectiveRights(roles, certificateField(body['certificate']));
    const id = textField(body['endpoint'], 'endpoint');
    const peer = textField(body['peer'], 'peer');
    const identity = nodeOf(RED, 'peer-endpoint', id).incoming()?.identityOf(peer);
    if (identity === undefined) throw new PeerError('ERR_INVALID_INPUT', 'This peer is not remembered any more');
    return effectiveRights(roles, identity);
  });
}

function nodeOf<T extends keyof OverviewNodes>(RED: NodeAPI, type: T, id: string | undefined): OverviewNodes[T] {
  const node = RED.nodes.getNode(id ?? '') as Node | null;
  if (node !== null && node.type === type) return node as OverviewNodes[T];
  throw new PeerError('ERR_PEER_UNKNOWN', `There is no ${type} "${id}", or it is not deployed`);
}

function flagField(value: unknown, name: string): boolean {
  if (typeof value === 'boolean') return value;
  throw new PeerError('ERR_INVALID_INPUT', `"${name}" must be true or false`);
}

function fingerprintField(value: unknown): string {
  const text = textField(value, 'peer');
  if (/^[0-9a-f]{40}$/.test(text)) return text;
  throw new PeerError('ERR_INVALID_INPUT', '"peer" must be the fingerprint of a certificate');
}

function certificateField(value: unknown): X509Certificate {
  const pem = textField(value, 'certificate', MAX_CERTIFICATE_LENGTH);
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw toPeerError(error, 'ERR_INVALID_CERTIFICATE');
  }
}
