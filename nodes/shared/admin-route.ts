/**
 * Admin routes of the sidebar: each behind a permission, answers in JSON, failures as problem documents.
 */
import type { NodeAPI } from 'node-red';
import { failureOf, PeerError, toPeerError } from '../../lib/errors.ts';

/** What a handler sees of a request. */
export interface AdminRequest {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  /** An object; empty when nothing was sent. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** What of the response a handler may set. */
export interface AdminResponse {
  set(name: string, value: string): unknown;
  type(type: string): unknown;
}

/** Gives the answer: a text as it is, anything else as JSON. */
export type AdminHandler = (request: AdminRequest, response: AdminResponse) => unknown;

/** Registers routes that only look; a user needs the permission `peer-systems.read`. */
export function getRoute(RED: NodeAPI, path: string, handler: AdminHandler): void {
  RED.httpAdmin.get(path, RED.auth.needsPermission('peer-systems.read'), serve(handler));
}

/** Registers a route that looks and takes a body. */
export function askRoute(RED: NodeAPI, path: string, handler: AdminHandler): void {
  RED.httpAdmin.post(path, RED.auth.needsPermission('peer-systems.read'), serve(handler));
}

/** Registers a route that changes something; a user needs the permission `peer-systems.write`. */
export function postRoute(RED: NodeAPI, path: string, handler: AdminHandler): void {
  RED.httpAdmin.post(path, RED.auth.needsPermission('peer-systems.write'), serve(handler));
}

interface ExpressRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
}
interface ExpressResponse extends AdminResponse {
  readonly headersSent: boolean;
  status(status: number): ExpressResponse;
  json(value: unknown): unknown;
  send(text: string): unknown;
}

function serve(handler: AdminHandler) {
  return async (request: ExpressRequest, response: ExpressResponse): Promise<void> => {
    try {
      response.set('Cache-Control', 'no-store');
      response.set('X-Content-Type-Options', 'nosniff');
      refuseForeignForm(request);
      const { params, query, body } = request;
      const parts = { params, query, body: Object(body) } as AdminRequest;
      const answer = await handler(parts, response);
      if (typeof answer === 'string') response.send(answer);
      else response.json(answer ?? {});
    } catch (error) {
      sendFailure(response, error);
    }
  };
}

/** A page of another site can make a browser send forms, but not JSON without asking first. */
function refuseForeignForm({ method, headers }: ExpressRequest): void {
  if (method !== 'POST' || String(headers['content-type'] ?? '').startsWith('application/json')) return;
  throw new PeerError('ERR_INVALID_INPUT', 'The body must be application/json');
}

/** The operator of this side may see what is wrong on it, so the detail stays. */
function sendFailure(response: ExpressResponse, error: unknown): void {
  if (response.headersSent) return;
  const { code, message } = toPeerError(error);
  const { status, title } = failureOf(code);
  response.type('application/problem+json');
  response.status(status).json({ title, status, detail: message, code });
}

/** A text of a request. @throws PeerError ERR_INVALID_INPUT naming it */
export function textField(value: unknown, name: string, maxLength = 4_096): string {
  if (typeof value === 'string' && value !== '' && value.length <= maxLength) return value;
  throw new PeerError('ERR_INVALID_INPUT', `"${name}" must be a text of at most ${maxLength} characters`);
}
