/**
 * What of an Express response the core node *http response* uses, so that it can answer an RA request.
 *
 * Anything a flow sets is checked when the answer is sent, so that a mistake is told where it was made.
 */
import { PeerError } from '../errors.ts';
import type { RaAnswer, RaCookie } from '../protocol/ra-messages.ts';
import { contentOf } from './flow-content.ts';

/** Belong to the connection of the CA or to the length that the RA counts itself. */
const NOT_CARRIED = new Set(['content-length', 'transfer-encoding', 'connection', 'keep-alive', 'upgrade', 'trailer']);

/** Collects an answer; the first `send` counts. */
export class FlowResponse {
  readonly #answer: (answer: RaAnswer) => void;
  readonly #isOpen: () => boolean;
  readonly #headers: Record<string, string | string[]> = {};
  readonly #cookies: Record<string, RaCookie> = {};
  #statusCode = 200;
  #isSent = false;

  /** @param isOpen false once nobody waits for the answer any more */
  constructor(answer: (answer: RaAnswer) => void, isOpen: () => boolean) {
    this.#answer = answer;
    this.#isOpen = isOpen;
  }

  get headersSent(): boolean {
    return this.#isSent;
  }

  status(code: number): this {
    this.#statusCode = code;
    return this;
  }

  set(name: string | Readonly<Record<string, unknown>>, value?: unknown): this {
    const fields = typeof name === 'string' ? { [name]: value } : name;
    for (const [field, content] of Object.entries(fields)) {
      this.#headers[field.toLowerCase()] = Array.isArray(content) ? content.map(String) : String(content);
    }
    return this;
  }

  get(name: string): string | string[] | undefined {
    return this.#headers[name.toLowerCase()];
  }

  cookie(name: string, value: unknown, options: Readonly<Record<string, unknown>> = {}): this {
    this.#cookies[name] = { value: typeof value === 'string' ? value : JSON.stringify(value), options };
    return this;
  }

  clearCookie(name: string, options: Readonly<Record<string, unknown>> = {}): this {
    this.#cookies[name] = { value: null, options };
    return this;
  }

  json(payload: unknown): this {
    return this.send(payload ?? null);
  }

  jsonp(payload: unknown): this {
    return this.json(payload);
  }

  end(payload?: unknown): this {
    return this.send(payload);
  }

  /** @throws PeerError ERR_INVALID_INPUT when it was answered before, ERR_RA_NO_ANSWER when it is too late */
  send(payload?: unknown): this {
    if (this.#isSent) throw new PeerError('ERR_INVALID_INPUT', 'The request was answered already');
    if (!this.#isOpen()) throw new PeerError('ERR_RA_NO_ANSWER', 'The answer comes too late: nobody waits for it');
    const content = contentOf(payload);
    this.#isSent = true;
    const headers = Object.fromEntries(Object.entries(this.#headers).filter(([name]) => !NOT_CARRIED.has(name)));
    this.#answer({ statusCode: this.#statusCode, headers, cookies: this.#cookies, content });
    return this;
  }
}
