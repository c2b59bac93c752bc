/**
 * The overview in the text format of Prometheus, each value under the word that the overview has for it.
 */
import { Counter, Gauge, Registry } from 'prom-client';
import type { EndpointRow } from './incoming-row.ts';
import type { OutgoingRow } from './outgoing-row.ts';
import type { Overview } from './overview.ts';
import type { SyncRow } from './sync-row.ts';
import type { KeyBindingRow, ValidationAuthorityRow } from './validation-authority-row.ts';

interface Metric<R> {
  /** One that ends in `_total` only grows, until this side starts anew: a counter; all others are gauges. */
  readonly name: string;
  readonly help: string;
  /** undefined = not known, so not told. */
  readonly value: (row: R) => number | undefined;
}

const toNumber = (flag: boolean): number => (flag ? 1 : 0);
const seconds = (time: string): number | undefined => (time === '' ? undefined : Date.parse(time) / 1_000);

const OUTGOING: readonly Metric<OutgoingRow>[] = [
  {
    name: 'peer_up',
    help: '1 when the last ping was answered',
    value: ({ pingAt, pingError }) => (pingAt === '' ? undefined : toNumber(pingError === '')),
  },
  {
    name: 'peer_enabled',
    help: '1 when the connector may connect',
    value: ({ state }) => toNumber(state === 'stopped' || state === 'running'),
  },
  { name: 'peer_pool_in_use', help: 'Connections with a request under way', value: ({ inUse }) => inUse },
  { name: 'peer_pool_ready', help: 'Connections that wait for a request', value: ({ ready }) => ready },
  { name: 'peer_pool_max', help: 'Most connections at once', value: ({ max }) => max },
  { name: 'peer_pool_queued', help: 'Requests that wait for a connection', value: ({ queued }) => queued },
  {
    name: 'peer_ping_seconds',
    help: 'Round trip of the last answered ping',
    value: ({ pingMs }) => (pingMs === null ? undefined : pingMs / 1_000),
  },
  { name: 'peer_ping_timestamp_seconds', help: 'When the last ping ended', value: ({ pingAt }) => seconds(pingAt) },
  {
    name: 'peer_client_certificate_expiry_timestamp_seconds',
    help: 'When the own certificate expires',
    value: ({ clientExpires }) => seconds(clientExpires),
  },
  {
    name: 'peer_server_certificate_expiry_timestamp_seconds',
    help: 'When the certificate of the peer expires',
    value: ({ serverExpires }) => seconds(serverExpires),
  },
  {
    name: 'peer_out_of_sync',
    help: '1 when the peer is known to lack something',
    value: ({ outOfSync }) => toNumber(outOfSync),
  },
  {
    name: 'peer_queue_parked',
    help: 'Items that the peer has refused for good',
    value: ({ queueParked }) => queueParked,
  },
  {
    name: 'peer_ra_waiting',
    help: 'Connections that wait for requests of the RA',
    value: ({ raState, raWaiting }) => (raState === '' ? undefined : raWaiting),
  },
  {
    name: 'peer_ra_working',
    help: 'Requests of the RA that are worked on',
    value: ({ raState, raWorking }) => (raState === '' ? undefined : raWorking),
  },
  { name: 'peer_queue_length', help: 'Items of the publisher queue', value: ({ queueLength }) => queueLength },
  {
    name: 'peer_queue_oldest_timestamp_seconds',
    help: 'Since when the oldest item of the publisher queue waits',
    value: ({ queueOldest }) => seconds(queueOldest),
  },
];

const SYNCS: readonly Metric<SyncRow>[] = [
  { name: 'peer_sync_running', help: '1 while a synchronisation runs', value: ({ isRunning }) => toNumber(isRunning) },
  { name: 'peer_sync_percent', help: 'Progress of the last run', value: ({ percent }) => percent },
  { name: 'peer_sync_missing', help: 'Rows that the peer did not have', value: ({ missing }) => missing },
  { name: 'peer_sync_outdated', help: 'Rows that the peer had in another state', value: ({ outdated }) => outdated },
  { name: 'peer_sync_pushed', help: 'Rows that the peer has taken', value: ({ pushed }) => pushed },
  { name: 'peer_sync_failed', help: 'Rows that the peer has refused', value: ({ failed }) => failed },
];

const ENDPOINTS: readonly Metric<EndpointRow>[] = [
  {
    name: 'peer_endpoint_listening',
    help: '1 while the endpoint listens',
    value: ({ state }) => toNumber(state === 'listening'),
  },
  { name: 'peer_incoming_peers', help: 'Incoming peers that are remembered', value: ({ peers }) => peers },
  {
    name: 'peer_incoming_connections',
    help: 'Open connections of incoming peers',
    value: ({ connections }) => connections,
  },
  {
    name: 'peer_incoming_requests',
    help: 'Requests of the incoming peers that are remembered',
    value: ({ requests }) => requests,
  },
  {
    name: 'peer_incoming_refusals',
    help: 'Refusals of the incoming peers that are remembered',
    value: ({ refusals }) => refusals,
  },
];

const VALIDATION_AUTHORITIES: readonly Metric<ValidationAuthorityRow>[] = [
  {
    name: 'peer_validation_authority_listening',
    help: '1 while the validation authority listens',
    value: ({ state }) => toNumber(state === 'listening'),
  },
  {
    name: 'peer_validation_authority_answers_total',
    help: 'Answers to the public, of any HTTP status',
    value: ({ answers }) => answers,
  },
  {
    name: 'peer_validation_authority_failures_total',
    help: 'Answers with an HTTP status of 500 or above',
    value: ({ failed }) => failed,
  },
  {
    name: 'peer_validation_authority_crls_total',
    help: 'CRLs served',
    value: ({ servesCrls, crls }) => (servesCrls ? crls : undefined),
  },
  {
    name: 'peer_ocsp_requests_total',
    help: 'OCSP requests',
    value: ({ servesOcsp, ocspRequests }) => (servesOcsp ? ocspRequests : undefined),
  },
  {
    name: 'peer_ocsp_errors_total',
    help: 'OCSP requests that ended without a signed answer',
    value: ({ servesOcsp, ocspErrors }) => (servesOcsp ? ocspErrors : undefined),
  },
  {
    name: 'peer_ocsp_cache_hits_total',
    help: 'OCSP answers that were signed before',
    value: ({ servesOcsp, ocspFromCache }) => (servesOcsp ? ocspFromCache : undefined),
  },
];

/** What was said of how many certificates, one row for each status. */
interface OcspStatusRow extends Pick<ValidationAuthorityRow, 'id' | 'name'> {
  readonly status: 'good' | 'revoked' | 'unknown';
  readonly count: number;
}

const OCSP_STATUSES: readonly Metric<OcspStatusRow>[] = [
  { name: 'peer_ocsp_certificates_total', help: 'Certificates answered for', value: ({ count }) => count },
];

const KEY_BINDINGS: readonly Metric<KeyBindingRow>[] = [
  {
    name: 'peer_key_binding_online',
    help: '1 while the key binding signs',
    value: ({ operational }) => toNumber(operational === 'online'),
  },
  {
    name: 'peer_key_binding_certificate_expiry_timestamp_seconds',
    help: 'When the certificate of the key binding expires',
    value: ({ expires }) => seconds(expires),
  },
];

const ALL = [
  ...OUTGOING,
  ...SYNCS,
  ...ENDPOINTS,
  ...VALIDATION_AUTHORITIES,
  ...OCSP_STATUSES,
  ...KEY_BINDINGS,
] satisfies readonly Metric<never>[];

/** Names of all metrics, in the order of the text. */
export const METRIC_NAMES: readonly string[] = ALL.map(({ name }) => name);

/** Content type of the text. */
export const METRICS_TYPE: string = Registry.PROMETHEUS_CONTENT_TYPE;

/** The text. */
export function renderMetrics(overview: Overview): Promise<string> {
  const { outgoing, syncs, endpoints, validationAuthorities, keyBindings } = overview;
  const registry = new Registry();
  const names = new Map(outgoing.map(({ id, name }) => [id, name]));
  add(registry, OUTGOING, { labels: ['connector', 'id'], rows: outgoing, labelsOf: ({ name, id }) => [name, id] });
  add(registry, SYNCS, {
    labels: ['connector', 'sync', 'id'],
    rows: syncs,
    labelsOf: ({ connectorId, name, id }) => [names.get(connectorId) ?? '', name, id],
  });
  add(registry, ENDPOINTS, { labels: ['endpoint', 'id'], rows: endpoints, labelsOf: ({ name, id }) => [name, id] });
  const ofVa = ['validation_authority', 'id'];
  add(registry, VALIDATION_AUTHORITIES, {
    labels: ofVa,
    rows: validationAuthorities,
    labelsOf: ({ name, id }) => [name, id],
  });
  add(registry, OCSP_STATUSES, {
    labels: [...ofVa, 'status'],
    rows: validationAuthorities.flatMap(ocspStatusRows),
    labelsOf: ({ name, id, status }) => [name, id, status],
  });
  add(registry, KEY_BINDINGS, {
    labels: ['validation_authority', 'key_binding', 'id'],
    rows: keyBindings,
    labelsOf: ({ validationAuthority, name, id }) => [validationAuthority, name, id],
  });
  return registry.metrics();
}

function ocspStatusRows({ id, name, ...row }: ValidationAuthorityRow): readonly OcspStatusRow[] {
  if (!row.servesOcsp) return [];
  return [
    { id, name, status: 'good', count: row.ocspGood },
    { id, name, status: 'revoked', count: row.ocspRevoked },
    { id, name, status: 'unknown', count: row.ocspUnknown },
  ];
}

interface Family<R> {
  readonly labels: readonly string[];
  readonly rows: readonly R[];
  readonly labelsOf: (row: R) => readonly string[];
}

function add<R>(registry: Registry, metrics: readonly Metric<R>[], { labels, rows, labelsOf }: Family<R>): void {
  for (const { name, help, value } of metrics) {
    const options = { name, help, labelNames: labels, registers: [registry] };
    const metric = name.endsWith('_total') ? new Counter(options) : new Gauge(options);
    for (const row of rows) {
      const number = value(row);
      // The registry is new, so what is added to nothing is the value.
      if (number !== undefined) metric.labels(...labelsOf(row)).inc(number);
    }
  }
}
