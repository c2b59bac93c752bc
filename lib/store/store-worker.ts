/**
 * The thread of a store: takes calls, groups the writes that have arrived together, answers.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { toPeerError } from '../errors.ts';
import { SqliteStore } from './sqlite-store.ts';
import type { StoreConfig, StoreEngine, WriteCall } from './store-engine.ts';
import type { StoreAnswer, StoreCall } from './worker-store.ts';

interface PendingWrite {
  readonly id: number;
  readonly call: WriteCall;
}

/** Bytes of rows in one transaction; more wait for the next, so that reads get their turn. */
const MAX_GROUP_BYTES = 16 * 1024 * 1024;

const engine = createEngine(workerData as StoreConfig);
const pending: PendingWrite[] = [];
const port = parentPort as MessagePort;
let isScheduled = false;

port.on('message', (call: StoreCall) => {
  if (call.method !== 'writeRows') return void answer(call);
  pending.push({ id: call.id, call: call.parameters[0] });
  schedule();
});

function createEngine(config: StoreConfig): StoreEngine {
  return new SqliteStore(config.file);
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
    group.forEach(({ id }, index) => {
      const outcome = outcomes[index];
      if (outcome instanceof Error) fail(id, outcome);
      else port.postMessage({ id, value: outcome } satisfies StoreAnswer);
    });
  } catch (error) {
    for (const { id } of group) fail(id, error);
  }
}

async function answer(call: Exclude<StoreCall, { method: 'writeRows' }>): Promise<void> {
  try {
    port.postMessage({ id: call.id, value: await read(call) } satisfies StoreAnswer);
  } catch (error) {
    fail(call.id, error);
  }
}

function read(call: Exclude<StoreCall, { method: 'writeRows' }>): unknown {
  switch (call.method) {
    case 'findByFingerprint':
      return engine.findByFingerprint(...call.parameters);
    case 'findBySerialNumber':
      return engine.findBySerialNumber(...call.parameters);
    case 'list':
      return engine.list(...call.parameters);
    case 'count':
      return engine.count();
    case 'close':
      return engine.close();
  }
}

function fail(id: number, error: unknown): void {
  const { code, message } = toPeerError(error, 'ERR_STORE_UNAVAILABLE');
  port.postMessage({ id, code, message } satisfies StoreAnswer);
}
