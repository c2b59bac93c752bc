/**
 * Facts of all parts of the overview as the parts of this side tell them.
 */
import type { IncomingPeer } from '../../../lib/endpoint/incoming-connections.ts';
import type { KeyBindingFacts } from '../../../lib/keybinding/key-binding-facts.ts';
import type { EndpointFacts } from '../../../lib/overview/incoming-row.ts';
import type { ConnectorFacts } from '../../../lib/overview/outgoing-row.ts';
import type { OverviewFacts } from '../../../lib/overview/overview.ts';
import type { RenewerFacts } from '../../../lib/overview/renewal-row.ts';
import type { SyncFacts } from '../../../lib/overview/sync-row.ts';
import type { ServedKeyBinding, ValidationAuthorityFacts } from '../../../lib/overview/validation-authority-row.ts';
import type { PoolFacts } from '../../../lib/pool/connection-pool.ts';
import type { RenewalState } from '../../../lib/renewal/renewal-log.ts';
import { SyncMeter, type SyncProgress } from '../../../lib/sync/sync-progress.ts';
import { AnswerCounts } from '../../../lib/validation-authority/answer-counts.ts';

/** Of a side that has nothing but what is given. */
export function facts(fields: Partial<OverviewFacts>): OverviewFacts {
  return { connectors: [], syncs: [], endpoints: [], validationAuthorities: [], renewers: [], ...fields };
}

const POOL: PoolFacts = {
  state: 'running',
  inUse: 1,
  ready: 2,
  max: 10,
  queued: 3,
  identityOutdated: false,
  clientCertificate: undefined,
  serverCertificate: undefined,
  protocol: 'TLSv1.3',
  cipher: 'TLS_AES_256_GCM_SHA384',
};

const NOTHING = { queues: [], incomingRoles: [], ra: undefined };

export function connector(id: string, fields: Partial<ConnectorFacts> = {}): ConnectorFacts {
  const url = `https://${id}.example.com:8443/ejbca/peer/v1`;
  return {
    id,
    name: id,
    url,
    isConfigured: true,
    configError: '',
    pool: POOL,
    lastPing: undefined,
    ...NOTHING,
    ...fields,
  };
}

export function progress(fields: Partial<SyncProgress> = {}): SyncProgress {
  return { ...new SyncMeter(() => undefined).progress(), ...fields };
}

export function sync(id: string, connectorId: string, fields: Partial<SyncFacts> = {}): SyncFacts {
  const run = { isRunning: false, isDryRun: false, progress: undefined, startedAt: 0, error: '', hasReport: false };
  return { id, name: id, connectorId, ...run, ...fields };
}

export function peer(id: string, fields: Partial<IncomingPeer> = {}): IncomingPeer {
  return {
    id,
    subjectDN: `CN=${id}`,
    issuerDN: 'CN=CA',
    serialNumber: '1',
    address: '127.0.0.1',
    roles: [],
    connections: 1,
    requests: 0,
    refusals: 0,
    lastOperation: '',
    lastRefusal: '',
    firstSeen: '2026-01-01T00:00:00.000Z',
    lastSeen: '2026-01-01T00:00:00.000Z',
    expires: '',
    isRefused: false,
    isBlocked: false,
    ...fields,
  };
}

export function endpoint(
  id: string,
  peers: readonly IncomingPeer[],
  fields: Partial<EndpointFacts> = {},
): EndpointFacts {
  return { id, name: id, port: 8443, isConfigured: true, error: '', peers, ...fields };
}

export function validationAuthority(
  id: string,
  keyBindings: readonly ServedKeyBinding[] = [],
  fields: Partial<ValidationAuthorityFacts> = {},
): ValidationAuthorityFacts {
  const answers = new AnswerCounts().numbers();
  return {
    id,
    name: id,
    host: '',
    port: 8080,
    error: '',
    servesCrls: true,
    answers,
    ocsp: undefined,
    keyBindings,
    ...fields,
  };
}

export function keyBinding(name: string, fields: Partial<KeyBindingFacts> = {}): ServedKeyBinding {
  const binding: KeyBindingFacts = {
    name,
    cryptoToken: 'token 1',
    status: 'enabled',
    operational: 'online',
    subjectDN: `CN=${name}`,
    issuerDN: 'CN=CA',
    serialNumber: '1',
    notBefore: '2026-01-01T00:00:00.000Z',
    expires: '2026-02-01T00:00:00.000Z',
    canRenew: true,
    keyAlgorithm: 'P-256',
    generation: 1,
    nextKey: '',
    orphanKeys: [],
    retiredKeys: [],
    ...fields,
  };
  return { id: `node of ${name}`, name, facts: binding, error: '' };
}

export function renewer(id: string, connectorId: string, fields: Partial<RenewerFacts> = {}): RenewerFacts {
  return { id, name: id, connectorId, authority: 'Issuing CA', renewals: [], ...fields };
}

export function renewal(binding: string, fields: Partial<RenewalState> = {}): RenewalState {
  const state = { step: '', outcome: '', code: '', detail: '', startedAt: 1_000, endedAt: 0 } as const;
  return { connectorId: 'va', binding, ...state, ...fields };
}
