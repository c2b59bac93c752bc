/**
 * What of an Express response the core node *http response* uses, so that it can answer an RA request.
 *
 * Anything a flow sets is checked when the answer is sent, so that a mistake is told where it was made.
 */
import { PeerError } from '../errors.ts';
import { parseAnswerDetails } from '../protocol/ra-details.ts';
import { isStatusCode, type RaAnswer, type RaCookie } from '../protocol/ra-messages.ts';
import { contentOf } from './flow-content.ts';

/** Collects an answer; the first `send` counts. */
export class FlowResponse {
  readonly #answer: (answer: RaAnswer) => void;
  readonly #isOpen: () => boolean;
  readonly #headers = new Map<string, string | string[]>();
  readonly #cookies = new Map<string, RaCookie>();
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
      this.#headers.set(field.toLowerCase(), Array.isArray(content) ? content.map(String) : String(content));
    }
    return this;
  }

  get(name: string): string | string[] | undefined {
    return this.#headers.get(name.toLowerCase());
  }

  cookie(name: string, value: unknown, options: Readonly<Record<string, unknown>> = {}): this {
    this.#cookies.set(name, { value: typeof value === 'string' ? value : (JSON.stringify(value) ?? ''), options });
    return this;
  }

  clearCookie(name: string, options: Readonly<Record<string, unknown>> = {}): this {
    this.#cookies.set(name, { value: null, options });
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

  /** @throws PeerError ERR_INVALID_INPUT when it was answered before or cannot be sent, ERR_RA_NO_ANSWER when it is too late */
  send(payload?: unknown): this {
    if (this.#isSent) throw new PeerError('ERR_INVALID_INPUT', 'The request was answered already');
    if (!this.#isOpen()) throw new PeerError('ERR_RA_NO_ANSWER', 'The answer comes too late: nobody waits for it');
    const answer = { statusCode: this.#statusCode, ...this.#details(), content: contentOf(payload) };
    if (!isStatusCode(answer.statusCode)) {
      throw new PeerError('ERR_INVALID_INPUT', `${answer.statusCode} is not a status code that ends a request`);
    }
    this.#isSent = true;
    this.#answer(answer);
    return this;
  }

  /** As the RA will read them. */
  #details(): Pick<RaAnswer, 'headers' | 'cookies'> {
    try {
      const [headers, cookies] = [this.#headers, this.#cookies].map((each) => Object.fromEntries<unknown>(each));
      return parseAnswerDetails(JSON.stringify({ headers, cookies }));
    } catch (cause) {
      const detail = `The headers or cookies of the answer cannot be sent: ${(cause as Error).message}`;
      throw new PeerError('ERR_INVALID_INPUT', detail, { cause });
    }
  }
}
