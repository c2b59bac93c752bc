/**
 * What the core tls-config node offers to other nodes.
 */
import type { Node } from 'node-red';
import { PeerError } from '../../lib/errors.ts';

/** The core node reads its files once, at deploy; where it could not, it hands out nothing and says so only in `valid`. */
export interface TlsConfigNode extends Node {
  readonly valid: boolean;
  addTLSOptions(options: object): Readonly<Record<string, unknown>>;
}

/** Its certificates and key in PEM, for a connection to a server whose certificate is verified. @throws PeerError ERR_INVALID_CONFIG */
export function tlsMaterialOf(node: TlsConfigNode) {
  if (!node.valid) throw new PeerError('ERR_INVALID_CONFIG', 'The tls-config node could not read its files');
  const { cert, key, ca, pfx, passphrase, rejectUnauthorized } = node.addTLSOptions({});
  if (rejectUnauthorized === false) {
    throw new PeerError('ERR_INVALID_CONFIG', 'The tls-config node must verify the certificate of the database server');
  }
  if (pfx !== undefined || passphrase) {
    throw new PeerError('ERR_INVALID_CONFIG', 'The key for a database must be PEM without a passphrase');
  }
  return {
    ...(ca !== undefined && { ca: String(ca) }),
    ...(cert !== undefined && { cert: String(cert) }),
    ...(key !== undefined && { key: String(key) }),
  };
}
