/**
 * The requests of one RA, given to whoever listens for their types. Works while somebody does.
 */
import type { Role } from '../auth/role.ts';
import { PeerError } from '../errors.ts';
import type { ConnectionPool } from '../pool/connection-pool.ts';
import { PeerClient } from '../pool/peer-client.ts';
import type { RaAnswer } from '../protocol/ra-messages.ts';
import type { RaHandler, RaTask } from './ra-execution.ts';
import { rightsOf } from './ra-rights.ts';
import { RaWorker, type RaWorkerState } from './ra-worker.ts';
import { accepts } from './waiting-requests.ts';

/** Settings of a reception. */
export interface RaReceptionOptions {
  /** A pool of its own, so that long-hanging connections take none from anybody else. */
  readonly openPool: () => ConnectionPool;
  readonly minimum: number;
  readonly maximum: number;
  /** Of RAs, at this CA; asked for every request. @throws PeerError ERR_INVALID_CONFIG */
  readonly roles: () => readonly Role[];
}

/** Somebody who works on requests. */
export interface RaListener {
  /** Types taken; empty = all that nobody else takes by name. */
  readonly types: readonly string[];
  readonly handle: RaHandler;
  /** Told whenever the state may have changed. */
  readonly onChange: () => void;
}

/** Calls at the RA while there are listeners. */
export class RaReception {
  readonly #options: RaReceptionOptions;
  readonly #listeners = new Set<RaListener>();
  #isAllowed = true;
  #running: { readonly pool: ConnectionPool; readonly worker: RaWorker } | undefined;

  constructor(options: RaReceptionOptions) {
    this.#options = options;
  }

  /** undefined while nobody listens. */
  state(): RaWorkerState | undefined {
    return this.#running?.worker.state();
  }

  /**
   * Begins to give requests to a listener; the function that is given ends it.
   *
   * @throws PeerError what reading the identity throws
   */
  listen(listener: RaListener): () => Promise<void> {
    this.#listeners.add(listener);
    if (this.#isAllowed) this.#running ??= this.#start();
    return async () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) await this.close();
    };
  }

  /**
   * Calls, or leaves off until it is allowed again.
   *
   * @throws PeerError what reading the identity throws
   */
  async allow(isAllowed: boolean): Promise<void> {
    this.#isAllowed = isAllowed;
    if (!isAllowed) await this.close();
    else if (this.#listeners.size > 0) this.#running ??= this.#start();
  }

  /** Reads the identity anew for new connections. */
  reset(): void {
    this.#running?.pool.reset();
  }

  /** Stops within a second; requests under way end by name. */
  async close(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.worker.close();
    await running?.pool.close();
  }

  #start(): { readonly pool: ConnectionPool; readonly worker: RaWorker } {
    const { openPool, minimum, maximum, roles } = this.#options;
    const pool = openPool();
    const worker = new RaWorker({
      client: new PeerClient(pool),
      minimum,
      maximum,
      types: () => this.#types(),
      rightsOf: (request) => rightsOf(request, pool.servers(), roles()),
      handle: (task) => this.#handle(task),
      onChange: () => {
        for (const listener of this.#listeners) listener.onChange();
      },
    });
    return { pool, worker };
  }

  /** Of all listeners; empty as soon as one takes everything. */
  #types(): readonly string[] {
    const lists = [...this.#listeners].map(({ types }) => types);
    return lists.some((types) => types.length === 0) ? [] : [...new Set(lists.flat())];
  }

  async #handle(task: RaTask): Promise<RaAnswer> {
    const { type } = task.request;
    const fitting = [...this.#listeners].filter(({ types }) => accepts(types, type));
    const listener = fitting.find(({ types }) => types.length > 0) ?? fitting[0];
    if (listener === undefined) throw new PeerError('ERR_RA_NO_CA', `Nobody works on requests of type "${type}" here`);
    return listener.handle(task);
  }
}
