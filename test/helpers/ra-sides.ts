/**
 * An RA with its queue and CAs that work for it, over real TLS on loopback.
 */
import type { Role } from '../../lib/auth/role.ts';
import { RemoteAuthenticator } from '../../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool } from '../../lib/pool/connection-pool.ts';
import { PeerClient } from '../../lib/pool/peer-client.ts';
import type { RaAnswer, RaContent } from '../../lib/protocol/ra-messages.ts';
import type { RaQuestion } from '../../lib/ra/ra-entry.ts';
import type { RaHandler } from '../../lib/ra/ra-execution.ts';
import { RaQueue, type RaQueueOptions } from '../../lib/ra/ra-queue.ts';
import { rightsOf } from '../../lib/ra/ra-rights.ts';
import { RaWorker, type RaWorkerOptions } from '../../lib/ra/ra-worker.ts';
import { createTestPki, identitySource, type TestPki } from './test-pki.ts';
import { caRole, startTwoPeers } from './two-peers.ts';

/** At the RA: the CA may keep long-hanging connections. */
export const LISTENING_CA: Role['rules'] = { '/peerincoming': 'allow', '/ra_slave/manage': 'allow' };

/** At the CA: the RA may ask for these. */
export const RA_RULES: Role['rules'] = {
  '/ra_master/invoke_api': 'allow',
  '/ra_master/request': 'allow',
  '/ra_functionality': 'allow',
  '/ca_functionality': 'allow',
};

/** The role of the RA at the CA: the server certificate of the test PKI. */
export function raRole(rules: Role['rules'] = RA_RULES): Role {
  const member = { match: 'commonName', value: 'va-1', issuer: 'CN=Management CA,O=Test,C=SE' } as const;
  return { name: 'RA 1', members: [member], rules };
}

function text(value: string): RaContent {
  return { kind: 'text', body: Buffer.from(value) };
}

export function textOf({ content }: RaAnswer): string {
  return Buffer.from(content.body).toString();
}

/** A question of type `enrol`. */
export function question(value = 'hello', rest: Partial<RaQuestion> = {}): RaQuestion {
  return { type: 'enrol', administrator: undefined, http: undefined, content: text(value), deadlineMs: 5_000, ...rest };
}

export function answer(value: string): RaAnswer {
  return { statusCode: 200, headers: {}, cookies: {}, content: text(value) };
}

/** Answers with what it was asked. */
const echo: RaHandler = async ({ request }) => answer(Buffer.from(request.content.body).toString());

interface CaOptions extends Partial<Omit<RaWorkerOptions, 'client'>> {
  readonly roles?: readonly Role[];
  /** Another way to the RA than the direct one. */
  readonly url?: URL;
  readonly requestTimeoutMs?: number;
}

/** Starts an RA. */
export async function startRa(queueOptions: RaQueueOptions = {}, pki: TestPki = createTestPki(), rules = LISTENING_CA) {
  const queue = new RaQueue(queueOptions);
  const peers = await startTwoPeers({ pki, roles: [caRole(rules)], endpoint: { desk: queue } });
  const closers: (() => Promise<void>)[] = [];
  const startCa = (handle: RaHandler = echo, options: CaOptions = {}) => {
    const { roles = [raRole()], url = peers.url, requestTimeoutMs = 15_000, ...rest } = options;
    const trust = [{ caDer: pki.managementCa.certificate }];
    const authenticator = new RemoteAuthenticator(identitySource(pki.caClient), () => trust);
    const pool = new ConnectionPool({ url, maxConnections: 60, requestTimeoutMs, keepAliveMs: 2_000 }, authenticator);
    const worker = new RaWorker({
      client: new PeerClient(pool),
      rightsOf: (request) => rightsOf(request, pool.servers(), roles),
      handle,
      ...rest,
    });
    const close = async (): Promise<void> => {
      await worker.close();
      await pool.close();
      authenticator.close();
    };
    closers.push(close);
    return { worker, pool, close };
  };
  return {
    pki,
    queue,
    peers,
    startCa,
    async close(): Promise<void> {
      await Promise.all(closers.map((close) => close()));
      queue.close();
      await peers.close();
    },
  };
}

/** What `startRa` gives. */
export type Ra = Awaited<ReturnType<typeof startRa>>;
