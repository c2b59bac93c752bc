/**
 * Flow node: certificate data synchronization with a peer, in the background.
 */
import { join } from 'node:path';
import type { Node, NodeAPI, NodeDef } from 'node-red';
import { PeerError, toPeerError } from '../lib/errors.ts';
import type { SyncFacts } from '../lib/overview/sync-row.ts';
import type { RowFilter, StatusChoice } from '../lib/store/row-filter.ts';
import { SyncMarker } from '../lib/sync/sync-marker.ts';
import type { SyncProgress } from '../lib/sync/sync-progress.ts';
import { renderReportName } from '../lib/sync/sync-report.ts';
import { type SyncResult, synchronize } from '../lib/sync/synchronizer.ts';
import { ALL_CAS, onlyCas } from '../lib/x509/ca-scope.ts';
import type { CertificateStoreNode } from './certificate-store.ts';
import type { PeerConnectorNode } from './peer-connector.ts';
import { connectorsFor, useConnectors } from './shared/connectors.ts';
import { type FlowMessage, handleInput } from './shared/handle-input.ts';
import { configNode, numberField } from './shared/node-config.ts';
import { showStatus } from './shared/node-status.ts';

interface SyncDef extends NodeDef {
  readonly connector: string;
  readonly store: string;
  /** CAs by subject DN or common name, one per line; empty = all. */
  readonly cas: string;
  readonly status: StatusChoice;
  /** ISO 8601; empty = all. */
  readonly changedSince: string;
  readonly includeExpired: boolean;
  readonly withCertificate: boolean;
  readonly dryRun: boolean;
  readonly batchRows: number | string;
  readonly maxRowsPerSecond: number | string;
  /** Template of the report's file name. */
  readonly reportName: string;
}

/** The report of the last run that ended. */
export interface KeptReport {
  readonly yaml: string;
  readonly filename: string;
}

/** What the overview uses of a sync node. */
export interface SyncNode extends Node {
  /** Never throws. */
  overviewFacts(): SyncFacts;
  report(): KeptReport | undefined;
}

interface LastRun {
  isDryRun: boolean;
  startedAt: number;
  progress: SyncProgress | undefined;
  error: string;
  report: KeptReport | undefined;
}

interface Running {
  readonly node: Node;
  readonly controller: AbortController;
  progress: SyncProgress | undefined;
}

/** What runs now, by connector and store: one run of a task at a time, whichever node started it. */
const running = new Map<string, Running>();

export default function (RED: NodeAPI): void {
  function PeerSync(this: SyncNode, config: SyncDef): void {
    RED.nodes.createNode(this, config);
    const connectorIds = config.connector ? [config.connector] : [];
    const task = `${config.connector} ${config.store}`;
    const last: LastRun = { isDryRun: false, startedAt: 0, progress: undefined, error: '', report: undefined };
    Object.assign(this, {
      report: () => last.report,
      overviewFacts: () => factsOf(this, last, { config, isRunning: running.get(task)?.node === this }),
    });
    const marker = new SyncMarker(join(RED.settings.userDir ?? process.cwd(), 'peer-sync', this.id));
    useConnectors(RED, this, connectorIds);

    const tell = (progress: SyncProgress): void => {
      last.progress = progress;
      showStatus(this, statusOf(progress));
      this.send([{ topic: 'progress', payload: progress.percent, sync: progress } as never, null]);
    };
    const start = async (message: FlowMessage): Promise<FlowMessage> => {
      const [connector] = connectorsFor(RED, connectorIds, undefined);
      const other = running.get(task);
      if (other !== undefined) {
        const name = other.node.name || other.node.id;
        throw new PeerError('ERR_TASK_RUNNING', `"${name}" synchronises with this peer already`);
      }
      const run: Running = { node: this, controller: new AbortController(), progress: undefined };
      running.set(task, run);
      const isDryRun = typeof message['dryRun'] === 'boolean' ? message['dryRun'] : config.dryRun;
      Object.assign(last, { isDryRun, startedAt: Date.now(), progress: undefined, error: '' });
      try {
        marker.set();
        const result = await runTask(RED, config, {
          connector: connector as PeerConnectorNode,
          isDryRun,
          signal: run.controller.signal,
          onProgress: (progress) => {
            run.progress = progress;
            tell(progress);
          },
        });
        const answer = await withResult(message, result, { config, peer: connector?.name || config.connector });
        last.report = { yaml: String(answer['report']), filename: String(answer['filename']) };
        return answer;
      } catch (error) {
        last.error = toPeerError(error).message;
        throw error;
      } finally {
        running.delete(task);
        // A run that a restart or redeploy broke off goes on afterwards; one that ended has ended.
        if (run.controller.signal.reason !== CLOSED) marker.clear();
      }
    };
    handleInput(this, async (message) => {
      const command = message.payload;
      if (command !== 'stop' && command !== 'state') return [null, await start(message)];
      const run = running.get(task);
      if (command === 'stop') run?.controller.abort();
      message.payload = run?.progress?.percent ?? 0;
      message['sync'] = run?.progress ?? { phase: 'idle' };
      return [message, null];
    });

    const resume = (): void => {
      if (marker.isSet && !running.has(task)) this.receive({ topic: 'resumed', payload: 'start' } as never);
    };
    RED.events.once('flows:started', resume);
    this.on('close', (removed: boolean, done: () => void) => {
      RED.events.off('flows:started', resume);
      const run = running.get(task);
      if (run?.node === this) run.controller.abort(CLOSED);
      if (removed) marker.clear();
      done();
    });
  }

  RED.nodes.registerType('peer-sync', PeerSync);
}

function factsOf(
  { id, name }: Node,
  { isDryRun, progress, startedAt, error, report }: LastRun,
  { config, isRunning }: { readonly config: SyncDef; readonly isRunning: boolean },
): SyncFacts {
  const run = { isRunning, isDryRun, progress, startedAt, error, hasReport: report !== undefined };
  return { id, name: name || id, connectorId: config.connector, ...run };
}

const CLOSED = new Error('The node was closed');

interface TaskOptions {
  readonly connector: PeerConnectorNode;
  readonly isDryRun: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: SyncProgress) => void;
}

function runTask(
  RED: NodeAPI,
  config: SyncDef,
  { connector, isDryRun, signal, onProgress }: TaskOptions,
): Promise<SyncResult> {
  const source = configNode<CertificateStoreNode>(RED, config.store, 'peer-certificate-store').store();
  const task = {
    source,
    client: connector.client(),
    filter: filterOf(config),
    isDryRun,
    maxRowsPerSecond: numberField(config.maxRowsPerSecond, 'Rows per second', { min: 0, max: 10_000_000 }),
    batchRows: numberField(config.batchRows, 'Rows per request', { min: 0, max: 20_000 }),
  };
  return synchronize(task, signal, onProgress);
}

function filterOf({ cas, status, changedSince, includeExpired, withCertificate }: SyncDef): RowFilter {
  const names = cas.split('\n').map((name) => name.trim());
  const named = names.filter((name) => name !== '');
  const since = changedSince.trim() === '' ? 0 : Date.parse(changedSince);
  if (Number.isNaN(since)) throw new PeerError('ERR_INVALID_CONFIG', `"${changedSince}" is not a date (ISO 8601)`);
  return {
    cas: named.length === 0 ? ALL_CAS : onlyCas(named),
    status,
    changedSince: Math.max(0, since),
    expiredBefore: includeExpired ? 0 : Date.now(),
    withCertificate,
  };
}

async function withResult(
  message: FlowMessage,
  { progress, report }: SyncResult,
  { config, peer }: { readonly config: SyncDef; readonly peer: string },
): Promise<FlowMessage> {
  const created = new Date();
  message.payload = { peer, ...progress };
  message['sync'] = progress;
  message['report'] = await report.toYaml(created);
  message['filename'] = renderReportName(config.reportName, { peer, date: created });
  return message;
}

function statusOf({ phase, percent, failed }: SyncProgress) {
  if (phase === 'finished')
    return { fill: failed > 0 ? 'yellow' : 'green', shape: 'dot', text: 'sync.status.finished' } as const;
  if (phase === 'failed' || phase === 'cancelled')
    return { fill: 'red', shape: 'ring', text: `sync.status.${phase}` } as const;
  return { fill: 'blue', shape: 'dot', text: `${percent} %` } as const;
}
