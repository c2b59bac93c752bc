/**
 * Calls the admin routes of the sidebar on a Node-RED in a process of its own.
 */
import type { NodeRed } from './node-red.ts';

/** An answer of an admin route. */
export interface AdminAnswer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  /** Parsed JSON; undefined when it is none. */
  readonly body: unknown;
}

/** Calls a route below `/peer-systems/`. */
export async function admin(
  { url }: Pick<NodeRed, 'url'>,
  path: string,
  { body, token, type = 'application/json' }: { body?: unknown; token?: string; type?: string } = {},
): Promise<AdminAnswer> {
  const response = await fetch(`${url}/peer-systems/${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'content-type': type, ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(15_000),
  });
  const text = await response.text();
  const contentType = response.headers.get('content-type') ?? '';
  return {
    status: response.status,
    type: contentType,
    text,
    body: /json/.test(contentType) ? JSON.parse(text) : undefined,
  };
}

/** A token of a user, as the login page gets it. */
export async function login({ url }: Pick<NodeRed, 'url'>, username: string, password: string): Promise<string> {
  const response = await fetch(`${url}/auth/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ client_id: 'node-red-admin', grant_type: 'password', scope: '', username, password }),
    signal: AbortSignal.timeout(15_000),
  });
  return ((await response.json()) as { access_token: string }).access_token;
}
