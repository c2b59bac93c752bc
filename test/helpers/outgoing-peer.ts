/**
 * The outgoing side without Node-RED: a pool and a client to an endpoint.
 */
import { RemoteAuthenticator } from '../../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool } from '../../lib/pool/connection-pool.ts';
import { PeerClient } from '../../lib/pool/peer-client.ts';
import { BASE_PATH } from '../../lib/protocol/operations.ts';
import { type Credential, identitySource } from './test-pki.ts';

/** Connects to an endpoint on this machine. */
export function outgoingPeer(port: number, identity: Credential, trusted: Credential) {
  const trust = [{ caDer: trusted.certificate }];
  const authenticator = new RemoteAuthenticator(identitySource(identity), () => trust);
  const url = new URL(`https://localhost:${port}${BASE_PATH}`);
  const pool = new ConnectionPool({ url, connectTimeoutMs: 2_000, requestTimeoutMs: 5_000 }, authenticator);
  return {
    client: new PeerClient(pool),
    async close(): Promise<void> {
      await pool.close();
      authenticator.close();
    },
  };
}
