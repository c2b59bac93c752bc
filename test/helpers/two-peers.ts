/**
 * A connector and an endpoint on loopback, with real TLS, and what a test wants to change about them.
 */
import type { Role } from '../../lib/auth/role.ts';
import type { IncomingEvent } from '../../lib/endpoint/incoming-connections.ts';
import { PeerServer, type PeerServerOptions } from '../../lib/endpoint/peer-server.ts';
import { RemoteAuthenticator, type TrustEntry } from '../../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool, type PoolOptions } from '../../lib/pool/connection-pool.ts';
import { PeerClient } from '../../lib/pool/peer-client.ts';
import { BASE_PATH } from '../../lib/protocol/operations.ts';
import type { CertificateStore } from '../../lib/store/certificate-store.ts';
import { type Credential, createTestPki, identitySource, type TestPki } from './test-pki.ts';

/** A role for the test CA: may connect, and what the rules say. */
export function caRole(
  rules: Role['rules'] = { '/peerincoming': 'allow', '/peerpublish': 'allow', '/ca': 'allow' },
): Role {
  const member = { match: 'commonName', value: 'ca-1', issuer: 'CN=Management CA,O=Test,C=SE' } as const;
  return { name: 'CA 1', members: [member], rules };
}

interface TwoPeersOptions {
  readonly pki?: TestPki;
  readonly store?: CertificateStore;
  readonly roles?: readonly Role[];
  readonly client?: Credential;
  readonly clientTrust?: readonly TrustEntry[];
  readonly serverTrust?: readonly TrustEntry[];
  readonly server?: Credential;
  readonly pool?: Partial<PoolOptions>;
  readonly endpoint?: Partial<PeerServerOptions>;
}

/** Starts both sides. */
export async function startTwoPeers(options: TwoPeersOptions = {}) {
  const pki = options.pki ?? createTestPki();
  const events: IncomingEvent[] = [];
  const authenticators: RemoteAuthenticator[] = [];
  const authenticatorOf = (credential: Credential, trust?: readonly TrustEntry[]): RemoteAuthenticator => {
    const entries = trust ?? [{ caDer: pki.managementCa.certificate }];
    const authenticator = new RemoteAuthenticator(identitySource(credential), () => entries);
    authenticators.push(authenticator);
    return authenticator;
  };
  const server = new PeerServer({
    port: 0,
    host: '127.0.0.1',
    authenticator: authenticatorOf(options.server ?? pki.vaServer, options.serverTrust),
    roles: options.roles ?? [caRole()],
    ...(options.store && { store: options.store }),
    software: 'test',
    onEvent: (event) => events.push(event),
    ...options.endpoint,
  });
  await server.start();
  const url = new URL(`https://localhost:${server.port}${BASE_PATH}`);
  const pools: ConnectionPool[] = [];
  const connect = (client: Credential = pki.caClient, trust = options.clientTrust) => {
    const pool = new ConnectionPool({ url, ...options.pool }, authenticatorOf(client, trust));
    pools.push(pool);
    return { pool, client: new PeerClient(pool) };
  };
  return {
    pki,
    server,
    url,
    events,
    connect,
    ...connect(options.client),
    async close(): Promise<void> {
      await Promise.all(pools.map((pool) => pool.close()));
      await server.close();
      for (const authenticator of authenticators) authenticator.close();
    },
  };
}

/** What `startTwoPeers` gives. */
export type TwoPeers = Awaited<ReturnType<typeof startTwoPeers>>;
