/**
 * Payloads of flows ⇄ contents of RA requests and answers: what goes in comes out as the same kind.
 */
import { PeerError } from '../errors.ts';
import { isFlatJson, parseFlatJson } from '../protocol/ra-details.ts';
import type { RaContent } from '../protocol/ra-messages.ts';

/** Bytes stay bytes, text stays text, nothing becomes no bytes, all else is JSON. @throws PeerError ERR_INVALID_INPUT */
export function contentOf(payload: unknown): RaContent {
  if (payload === undefined || payload === null) return { kind: 'bytes', body: new Uint8Array(0) };
  if (payload instanceof Uint8Array) return { kind: 'bytes', body: payload };
  if (typeof payload === 'string') return { kind: 'text', body: Buffer.from(payload) };
  return { kind: 'json', body: Buffer.from(toJson(payload)) };
}

/** @throws PeerError ERR_MALFORMED_MESSAGE */
export function payloadOf({ kind, body }: RaContent): unknown {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (kind === 'bytes') return bytes;
  return kind === 'text' ? bytes.toString() : parseFlatJson(bytes.toString());
}

function toJson(payload: unknown): string {
  try {
    const text: string | undefined = JSON.stringify(payload);
    if (text !== undefined) return flat(text);
  } catch (cause) {
    if (cause instanceof PeerError) throw cause;
    throw new PeerError('ERR_INVALID_INPUT', 'The payload cannot be written as JSON', { cause });
  }
  throw new PeerError('ERR_INVALID_INPUT', `A payload of type ${typeof payload} cannot be sent`);
}

/** The other side would not read it. */
function flat(text: string): string {
  if (isFlatJson(text)) return text;
  throw new PeerError('ERR_INVALID_INPUT', 'The payload is nested too deeply');
}
