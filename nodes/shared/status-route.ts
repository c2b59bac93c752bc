/**
 * HTTP endpoints of nodes on the port of the flows: a path is answered for as long as its node lives.
 */
import type { Node, NodeAPI } from 'node-red';
import { PeerError, toPeerError } from '../../lib/errors.ts';

/** HTTP status and JSON. */
export interface RouteAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** @param peer of the query, if any. */
type RouteHandler = (peer: string | undefined) => Promise<RouteAnswer>;

const handlers = new Map<string, RouteHandler>();
const apps = new WeakSet<object>();

/**
 * Answers GET and HEAD at a path below `httpNodeRoot`.
 *
 * @throws PeerError ERR_INVALID_CONFIG when the path is none or taken, or flows have no HTTP port
 */
export function serveStatus(RED: NodeAPI, node: Node, path: string, handler: RouteHandler): void {
  if (!/^\/[\w./~-]+$/.test(path)) throw new PeerError('ERR_INVALID_CONFIG', `"${path}" is not a path for the status`);
  if (handlers.has(path)) throw new PeerError('ERR_INVALID_CONFIG', `Another node answers at "${path}" already`);
  if (typeof RED.httpNode !== 'function') throw new PeerError('ERR_INVALID_CONFIG', 'Flows have no HTTP port here');
  listen(RED);
  handlers.set(path, handler);
  node.on('close', () => {
    handlers.delete(path);
  });
}

/** Once: a route of express cannot be taken back. */
function listen(RED: NodeAPI): void {
  if (apps.has(RED.httpNode)) return;
  apps.add(RED.httpNode);
  RED.httpNode.use((request, response, next) => {
    const handler = handlers.get(request.path);
    if (handler === undefined || !['GET', 'HEAD'].includes(request.method)) return next();
    const { peer } = request.query;
    handler(typeof peer === 'string' ? peer : undefined)
      .catch((error: unknown) => ({ status: 503, body: { code: toPeerError(error).code } }))
      .then(({ status, body }) => {
        // A load balancer wants to know how it is now.
        response.set('Cache-Control', 'no-store').status(status).json(body);
      }, next);
  });
}
