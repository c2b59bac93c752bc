/**
 * The one wrapper around every input handler: what a handler throws goes to `done`, with its code.
 */
import type { Node, NodeMessageInFlow } from 'node-red';
import { type PeerError, toPeerError } from '../../lib/errors.ts';
import { showError } from './node-status.ts';

/** The message of a flow; what a node adds to it is its own. */
export type FlowMessage = NodeMessageInFlow & Record<string, unknown>;

/** Works on one message; what it gives is sent on: to the first output, or to each output its own. */
export type InputHandler = (message: FlowMessage) => Promise<FlowMessage | (FlowMessage | null)[] | undefined>;

/** Registers a handler: its result is sent and the message is done; its error is the message's `done(error)`. */
export function handleInput(node: Node, handler: InputHandler): void {
  const underway = new Underway(node);
  node.on('input', (message, send, done) => {
    underway.begin();
    handler(message as FlowMessage).then(
      (result) => {
        if (result !== undefined) send(result);
        done();
        underway.end();
      },
      (error: unknown) => {
        const peerError = toPeerError(error);
        showError(node, peerError);
        done(peerError);
        underway.end(peerError);
      },
    );
  });
}

/**
 * Counts messages. The runtime drops what a closed node sends, and errors for a closed Catch node, without a
 * word; so what ends after a redeploy is told in the log.
 */
class Underway {
  readonly #node: Node;
  readonly #failures: PeerError[] = [];
  #count = 0;
  #late = 0;
  #isClosed = false;

  constructor(node: Node) {
    this.#node = node;
    node.on('close', () => {
      this.#isClosed = true;
    });
  }

  begin(): void {
    this.#count += 1;
  }

  end(failure?: PeerError): void {
    this.#count -= 1;
    if (!this.#isClosed) return;
    this.#late += 1;
    if (failure !== undefined) this.#failures.push(failure);
    if (this.#count === 0) this.#tell();
  }

  #tell(): void {
    const [first] = this.#failures;
    const cause = first === undefined ? '' : ` (${first.code}: ${first.message})`;
    const done = this.#late - this.#failures.length;
    this.#node.warn(
      `Closed with ${this.#late} messages under way: ${done} done, ${this.#failures.length} failed${cause}`,
    );
  }
}
