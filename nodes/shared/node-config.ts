/**
 * Editor values → typed options, with sentences that name the field.
 */
import type { Node, NodeAPI } from 'node-red';
import { PeerError } from '../../lib/errors.ts';

/**
 * A whole number of an editor field.
 *
 * @throws PeerError ERR_INVALID_CONFIG naming the field
 */
export function numberField(
  value: unknown,
  field: string,
  range: { readonly min: number; readonly max: number },
): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number === 'number' && Number.isInteger(number) && number >= range.min && number <= range.max)
    return number;
  throw new PeerError(
    'ERR_INVALID_CONFIG',
    `${field} must be a whole number from ${range.min} to ${range.max}, not "${value}"`,
  );
}

/** One of the TLS versions the dialog offers. @throws PeerError ERR_INVALID_CONFIG */
export function tlsVersionField(value: unknown): 'TLSv1.2' | 'TLSv1.3' {
  if (value === undefined || value === '' || value === 'TLSv1.3') return 'TLSv1.3';
  if (value === 'TLSv1.2') return value;
  throw new PeerError('ERR_INVALID_CONFIG', `"${value}" is not a TLS version this package speaks`);
}

/**
 * The config node behind a field.
 *
 * @throws PeerError ERR_INVALID_CONFIG when it is missing, disabled or of another kind
 */
export function configNode<T extends Node>(RED: NodeAPI, id: unknown, type: string): T {
  const node = typeof id === 'string' && id !== '' ? (RED.nodes.getNode(id) as Node | null) : null;
  if (node === null || node.type !== type) throw new PeerError('ERR_INVALID_CONFIG', `No ${type} is set`);
  return node as T;
}
