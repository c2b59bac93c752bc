/**
 * The thread of a store: takes calls, groups the writes that have arrived together, answers.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { PeerError, type PeerErrorCode, toPeerError } from '../errors.ts';
import type { CaScope } from '../x509/ca-scope.ts';
import { type CertificateQuestion, findStatuses } from './certificate-status.ts';
import type { PageRequest, RowsOfRequest } from './certificate-store.ts';
import type { CaQuery, CrlInput, CrlQuery, CrlWriteOptions } from './crl-data.ts';
import type { CrlKeeper } from './crl-keeper.ts';
import { EjbcaStore } from './ejbca-store.ts';
import { PostgresStore } from './postgres-store.ts';
import type { DueQuestion, MarkListRequest, MarkSelection, SettleCall } from './publisher-queue.ts';
import { answerRanges, answerRows, askRanges, askRows, type RangeQuestion } from './range-comparison.ts';
import type { RowFilter } from './row-filter.ts';
import { SqliteStore } from './sqlite-store.ts';
import type { StoreEngine, WriteCall } from './store-engine.ts';
import type { StoreThreadSetup } from './store-thread.ts';

interface PendingWrite {
  readonly id: number;
  readonly call: WriteCall;
}

/** How often a thread that reads looks whether another process has written. */
const WATCH_MS = 50;
/** Bytes of rows in one transaction; more wait for the next, so that reads get their turn. */
const MAX_GROUP_BYTES = 16 * 1024 * 1024;

const setup = workerData as StoreThreadSetup;
const engine: StoreEngine = createEngine(setup);
const pending: PendingWrite[] = [];
const port = parentPort as MessagePort;
let isScheduled = false;
let watch: NodeJS.Timeout | undefined;

/** Everything but writing, which is grouped. */
const METHODS = {
  findByFingerprint: (fingerprint: string) => engine.findByFingerprint(fingerprint),
  findBySerialNumber: (issuerDN: string, serialNumber: string) => engine.findBySerialNumber(issuerDN, serialNumber),
  statusesOf: (questions: readonly CertificateQuestion[]) => {
    watch ??= setInterval(tellChange, WATCH_MS);
    return engine.statusesOf?.(questions) ?? findStatuses(engine, questions);
  },
  page: (request: PageRequest) => engine.page(request),
  rowsOf: (request: RowsOfRequest) => engine.rowsOf(request),
  askRanges: (question: RangeQuestion) => askRanges(engine, question),
  askRows: (filter: RowFilter, buckets: Uint16Array) => askRows(engine, filter, buckets),
  answerRanges: (body: Uint8Array, scope: CaScope) => answerRanges(engine, body, scope),
  answerRows: (body: Uint8Array, scope: CaScope) => answerRows(engine, body, scope),
  dueMarks: (question: DueQuestion) => engine.queue().dueMarks(question),
  settleMarks: (call: SettleCall) => engine.queue().settleMarks(call),
  queueSummaries: (now: number) => engine.queue().queueSummaries(now),
  listMarks: (request: MarkListRequest) => engine.queue().listMarks(request),
  retryMarks: (selection: MarkSelection) => engine.queue().retryMarks(selection),
  removeMarks: (selection: MarkSelection) => engine.queue().removeMarks(selection),
  count: () => engine.count(),
  probe: () => engine.probe(),
  writeCrl: (input: CrlInput, options: CrlWriteOptions) => crls().write(input, options),
  findCrl: (query: CrlQuery) => crls().find(query),
  findCrlByFingerprint: (fingerprint: string) => crls().findByFingerprint(fingerprint),
  listCrls: () => crls().list(),
  readCrl: (fingerprint: string, position: number) => crls().read(fingerprint, position),
  findRevoked: (issuerDN: string, serialNumber: string, crlPartitionIndex?: number) =>
    crls().findRevoked(issuerDN, serialNumber, crlPartitionIndex),
  findCaCertificates: (query: CaQuery) => crls().findCaCertificates(query),
  skippedRows: () => engine.skippedRows?.() ?? [],
  /** What was asked to be written before comes first: otherwise it would open the file again, and be cut off. */
  close: async () => {
    while (pending.length > 0) await writeGroup(nextGroup());
    await engine.crls?.idle();
    clearInterval(watch);
    return engine.close();
  },
};

/** What a store's thread can be asked besides writing. */
export type StoreMethods = typeof METHODS;

/** A call on its way to the thread. */
export type StoreCall =
  | { readonly id: number; readonly method: 'writeRows'; readonly parameters: [WriteCall] }
  | { readonly id: number; readonly method: keyof StoreMethods; readonly parameters: readonly unknown[] };

/** The answer to it; or the news that others have written, to whom it matters. */
export type StoreAnswer =
  | { readonly changed: true }
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly code: PeerErrorCode; readonly message: string };

port.on('message', (call: StoreCall) => {
  if (call.method !== 'writeRows') return void answer(call.id, call.method, call.parameters);
  pending.push({ id: call.id, call: call.parameters[0] });
  schedule();
});

function createEngine({ config, isReader }: StoreThreadSetup): StoreEngine {
  if (config.kind === 'ejbca') return new EjbcaStore(config);
  if (config.kind === 'postgres') return new PostgresStore(config);
  return new SqliteStore(config.file, isReader);
}

function tellChange(): void {
  if (engine.hasChanged?.() === true) port.postMessage({ changed: true } satisfies StoreAnswer);
}

function crls(): CrlKeeper {
  const { kind } = setup.config;
  if (engine.crls === undefined)
    throw new PeerError(
      'ERR_INVALID_CONFIG',
      `This certificate store (${kind}) ${kind === 'ejbca' ? 'is read only; it ' : ''}keeps no CRLs`,
    );
  return engine.crls;
}

/** After the messages that are here already. */
function schedule(): void {
  if (isScheduled) return;
  isScheduled = true;
  setImmediate(async () => {
    await writeGroup(nextGroup());
    isScheduled = false;
    if (pending.length > 0) schedule();
  });
}

function nextGroup(): readonly PendingWrite[] {
  let bytes = 0;
  const end = pending.findIndex(({ call }, index) => {
    bytes += call.rows.reduce((sum, rows) => sum + rows.length, 0);
    return index > 0 && bytes > MAX_GROUP_BYTES;
  });
  return pending.splice(0, end === -1 ? pending.length : end);
}

async function writeGroup(group: readonly PendingWrite[]): Promise<void> {
  try {
    const outcomes = await engine.writeGroup(group.map(({ call }) => call));
    for (const [index, { id }] of group.entries()) {
      const outcome = outcomes[index];
      if (outcome instanceof Error) fail(id, outcome);
      else port.postMessage({ id, value: outcome } satisfies StoreAnswer);
    }
  } catch (error) {
    for (const { id } of group) fail(id, error);
  }
}

async function answer(id: number, method: keyof StoreMethods, parameters: readonly unknown[]): Promise<void> {
  try {
    const work = METHODS[method] as (...all: readonly unknown[]) => unknown;
    port.postMessage({ id, value: await work(...parameters) } satisfies StoreAnswer);
  } catch (error) {
    fail(id, error);
  }
}

function fail(id: number, error: unknown): void {
  const { code, message } = toPeerError(error, 'ERR_STORE_UNAVAILABLE');
  port.postMessage({ id, code, message } satisfies StoreAnswer);
}
