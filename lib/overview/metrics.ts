/**
 * The overview in the text format of Prometheus, each value under the word that the overview has for it.
 */
import { Gauge, Registry } from 'prom-client';
import type { EndpointRow } from './incoming-row.ts';
import type { OutgoingRow } from './outgoing-row.ts';
import type { Overview } from './overview.ts';
import type { KeyBindingRow, ValidationAuthorityRow } from './public-row.ts';
import type { SyncRow } from './sync-row.ts';

interface Metric<R> {
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
    name: 'peer_va_listening',
    help: '1 while the validation authority listens',
    value: ({ state }) => toNumber(state === 'listening'),
  },
  { name: 'peer_va_answers', help: 'Answers to the public since it began', value: ({ answers }) => answers },
  { name: 'peer_va_answers_failed', help: 'Answers that this side failed to give', value: ({ failed }) => failed },
  { name: 'peer_ocsp_requests', help: 'OCSP requests since it began', value: ocsp(({ ocspRequests }) => ocspRequests) },
  { name: 'peer_ocsp_errors', help: 'OCSP requests without an answer', value: ocsp(({ ocspErrors }) => ocspErrors) },
  {
    name: 'peer_ocsp_from_cache',
    help: 'OCSP answers that were signed before',
    value: ocsp(({ ocspFromCache }) => ocspFromCache),
  },
  { name: 'peer_ocsp_signed', help: 'OCSP answers that were signed', value: ocsp(({ ocspSigned }) => ocspSigned) },
];

const KEY_BINDINGS: readonly Metric<KeyBindingRow>[] = [
  {
    name: 'peer_key_binding_online',
    help: '1 while the key binding signs',
    value: ({ operational }) => toNumber(operational === 'online'),
  },
  {
    name: 'peer_key_binding_expiry_timestamp_seconds',
    help: 'When the certificate of the key binding expires',
    value: ({ expires }) => seconds(expires),
  },
];

/** Not told by one that serves no OCSP. */
function ocsp(count: (row: ValidationAuthorityRow) => number) {
  return (row: ValidationAuthorityRow): number | undefined => (row.servesOcsp ? count(row) : undefined);
}

const FAMILIES = [OUTGOING, SYNCS, ENDPOINTS, VALIDATION_AUTHORITIES, KEY_BINDINGS] as const;

/** Names of all metrics, in the order of the text. */
export const METRIC_NAMES: readonly string[] = FAMILIES.flatMap((family) => family.map(({ name }) => name));

/** Content type of the text. */
export const METRICS_TYPE: string = Registry.PROMETHEUS_CONTENT_TYPE;

/** The text. */
export function renderMetrics({
  outgoing,
  syncs,
  endpoints,
  validationAuthorities,
  keyBindings,
}: Overview): Promise<string> {
  const registry = new Registry();
  const names = new Map(outgoing.map(({ id, name }) => [id, name]));
  add(registry, OUTGOING, { labels: ['connector', 'id'], rows: outgoing, labelsOf: ({ name, id }) => [name, id] });
  add(registry, SYNCS, {
    labels: ['connector', 'sync', 'id'],
    rows: syncs,
    labelsOf: ({ connectorId, name, id }) => [names.get(connectorId) ?? '', name, id],
  });
  add(registry, ENDPOINTS, { labels: ['endpoint', 'id'], rows: endpoints, labelsOf: ({ name, id }) => [name, id] });
  add(registry, VALIDATION_AUTHORITIES, {
    labels: ['validation_authority', 'id'],
    rows: validationAuthorities,
    labelsOf: ({ name, id }) => [name, id],
  });
  add(registry, KEY_BINDINGS, {
    labels: ['validation_authority', 'key_binding'],
    rows: keyBindings,
    labelsOf: ({ validationAuthority, name }) => [validationAuthority, name],
  });
  return registry.metrics();
}

interface Family<R> {
  readonly labels: readonly string[];
  readonly rows: readonly R[];
  readonly labelsOf: (row: R) => readonly string[];
}

function add<R>(registry: Registry, metrics: readonly Metric<R>[], { labels, rows, labelsOf }: Family<R>): void {
  for (const { name, help, value } of metrics) {
    const gauge = new Gauge({ name, help, labelNames: labels, registers: [registry] });
    for (const row of rows) {
      const number = value(row);
      if (number !== undefined) gauge.labels(...labelsOf(row)).set(number);
    }
  }
}
