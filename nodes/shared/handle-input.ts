/**
 * The one wrapper around every input handler: what a handler throws goes to `done`, with its code.
 */
import type { Node, NodeMessageInFlow } from 'node-red';
import { toPeerError } from '../../lib/errors.ts';
import { showError } from './node-status.ts';

/** The message of a flow; what a node adds to it is its own. */
export type FlowMessage = NodeMessageInFlow & Record<string, unknown>;

/** Works on one message; what it gives is sent on. */
export type InputHandler = (message: FlowMessage) => Promise<FlowMessage | undefined>;

/** Registers a handler: its result is sent and the message is done; its error is the message's `done(error)`. */
export function handleInput(node: Node, handler: InputHandler): void {
  node.on('input', (message, send, done) => {
    handler(message as FlowMessage).then(
      (result) => {
        if (result !== undefined) send(result);
        done();
      },
      (error: unknown) => {
        const peerError = toPeerError(error);
        showError(node, peerError);
        done(peerError);
      },
    );
  });
}
