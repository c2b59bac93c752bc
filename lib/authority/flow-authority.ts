/**
 * The flow as CA: a request goes out as a message, its certificate comes back as another, and a deadline ends the wait.
 */
import { randomUUID } from 'node:crypto';
import { PeerError } from '../errors.ts';
import { REQUEST_LABEL } from '../x509/certificate-request.ts';
import { readPem, toPem } from '../x509/pem.ts';
import type { CertificateAuthority, IssueOrder } from './certificate-authority.ts';

/** What the flow gets to see. Plain data. */
export interface FlowOrder {
  /** To be given back with the certificate. */
  readonly id: string;
  readonly peer: string;
  /** Of the key binding, or of the end entity. */
  readonly name: string;
  readonly subjectDN: string;
  /** PEM, PKCS#10. */
  readonly certificateRequest: string;
  /** When nobody waits any more, ISO 8601. */
  readonly deadline: string;
}

/** Where orders go, and how long they are waited for. */
export interface FlowAuthorityOptions {
  readonly timeoutMs: number;
  readonly send: (order: FlowOrder) => void;
}

interface Waiting {
  readonly resolve: (certificates: readonly Uint8Array[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Remembers which orders are out. */
export class FlowAuthority implements CertificateAuthority {
  readonly #options: FlowAuthorityOptions;
  readonly #waiting = new Map<string, Waiting>();

  constructor(options: FlowAuthorityOptions) {
    this.#options = options;
  }

  /** @throws PeerError ERR_PEER_TIMEOUT at the deadline, ERR_NOT_ISSUED when the flow says so, the signal's reason */
  issue(order: IssueOrder, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    signal.throwIfAborted();
    const { timeoutMs, send } = this.#options;
    const id = randomUUID();
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        this.#waiting.delete(id);
        finish();
      };
      const onAbort = (): void => settle(() => reject(signal.reason));
      const timer = setTimeout(() => settle(() => reject(timeout(order, timeoutMs))), timeoutMs);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.set(id, {
        resolve: (certificates) => settle(() => resolve(certificates)),
        reject: (error) => settle(() => reject(error)),
      });
      send(flowOrder(id, order, timeoutMs));
    });
  }

  /**
   * Takes the answer of the flow to an order.
   *
   * @param answer PEM text, DER, or an Error where the flow's CA has refused
   * @throws PeerError ERR_INVALID_INPUT when no order with this id is waited for: too late, or answered already
   */
  answer(id: unknown, answer: unknown): void {
    const waiting = typeof id === 'string' ? this.#waiting.get(id) : undefined;
    if (waiting === undefined) {
      throw new PeerError('ERR_INVALID_INPUT', `No certificate is waited for under the id "${String(id)}"`);
    }
    try {
      waiting.resolve(certificatesOf(answer));
    } catch (error) {
      waiting.reject(error);
    }
  }
}

function flowOrder(
  id: string,
  { peer, name, subjectDN, certificateRequest }: IssueOrder,
  timeoutMs: number,
): FlowOrder {
  return {
    id,
    peer,
    name,
    subjectDN,
    certificateRequest: toPem(certificateRequest, REQUEST_LABEL),
    deadline: new Date(Date.now() + timeoutMs).toISOString(),
  };
}

function certificatesOf(answer: unknown): readonly Uint8Array[] {
  if (typeof answer === 'string') return readPem(answer);
  if (answer instanceof Uint8Array) {
    const isText = Buffer.from(answer).subarray(0, 200).includes('-----BEGIN ');
    return isText ? readPem(Buffer.from(answer).toString('latin1')) : [answer];
  }
  const reason = answer instanceof Error ? answer.message : 'it gave no certificate';
  throw new PeerError('ERR_NOT_ISSUED', `The flow did not issue: ${reason}`);
}

function timeout({ name }: IssueOrder, timeoutMs: number): PeerError {
  return new PeerError('ERR_PEER_TIMEOUT', `The flow gave no certificate for "${name}" within ${timeoutMs} ms`);
}
