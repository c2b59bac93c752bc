/**
 * A connection that always answers: in time, or with an error.
 *
 * Drivers leave a call without an answer when the server hangs, and some when the connection is ended.
 */
import { PeerError } from '../errors.ts';
import type { SqlConnection, SqlRow } from './ejbca-connection.ts';

/** Guards another connection. */
export class GuardedConnection implements SqlConnection {
  readonly #connection: SqlConnection;
  readonly #timeoutMs: number;
  readonly #name: string;
  readonly #waiting = new Set<(reason: unknown) => void>();
  #ended: { readonly reason: unknown } | undefined;

  /**
   * @param timeoutMs for the answer to a statement, or for each piece of a scan
   * @param name of the database, for messages
   */
  constructor(connection: SqlConnection, timeoutMs: number, name: string) {
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
    this.#name = name;
  }

  query(sql: string, values?: readonly string[]): Promise<readonly SqlRow[]> {
    return this.#guard(() => this.#connection.query(sql, values));
  }

  async *scan(sql: string, values: readonly string[]): AsyncGenerator<readonly SqlRow[]> {
    const pieces = this.#connection.scan(sql, values)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const { done, value } = await this.#guard(() => pieces.next());
        if (done === true) return;
        yield value;
      }
    } finally {
      // Not awaited: a generator that hangs would not return either.
      pieces.return?.().catch(() => undefined);
    }
  }

  beginSnapshot(): Promise<void> {
    return this.#guard(() => this.#connection.beginSnapshot());
  }

  quote(name: string): string {
    return this.#connection.quote(name);
  }

  end(): void {
    this.#connection.end();
  }

  destroy(
    reason: unknown = new PeerError('ERR_STORE_UNAVAILABLE', `The connection to the ${this.#name} was ended`),
  ): void {
    this.#ended ??= { reason };
    this.#connection.destroy();
    for (const reject of this.#waiting) reject(reason);
    this.#waiting.clear();
  }

  #guard<T>(work: () => Promise<T>): Promise<T> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended.reason);
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => this.destroy(this.#late()), this.#timeoutMs);
      this.#waiting.add(reject);
      const settled = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(reject);
      };
      work().finally(settled).then(resolve, reject);
    });
  }

  #late(): PeerError {
    return new PeerError('ERR_STORE_UNAVAILABLE', `The ${this.#name} did not answer within ${this.#timeoutMs} ms`);
  }
}
