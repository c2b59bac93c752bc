/**
 * The bodies of the protocol and the checks that make typed messages of unknown JSON.
 */
import { PeerError } from '../errors.ts';
import type { Refusal, WriteResult } from '../store/certificate-store.ts';

/** Answer of `capabilities`. */
export interface Capabilities {
  /** Version of the protocol, see PROTOCOL_VERSION. */
  readonly protocol: number;
  /** Name and version of the program that answers. */
  readonly software: string;
  /** The operations this peer knows, whether or not the asking peer may use them. */
  readonly operations: readonly string[];
  /** Largest accepted body per operation, bytes. */
  readonly maxBodyBytes: Readonly<Record<string, number>>;
  /** Clock of the peer, ISO 8601. */
  readonly serverTime: string;
}

/** Answer of `ping`. */
export interface PingAnswer {
  /** Clock of the peer, ISO 8601. */
  readonly serverTime: string;
}

/** Answer of `publishCrl`: what became of the CRL, and which one it is. */
export interface PublishedCrl {
  /** `unchanged`: it was there already. */
  readonly verdict: 'stored' | 'unchanged';
  /** SHA-1 of the DER, 40 lower-case hex digits. */
  readonly fingerprint: string;
  readonly issuerDN: string;
  readonly crlPartitionIndex: number;
  /** Decimal; '-1' = none. */
  readonly cRLNumber: string;
  /** Decimal; '-1' = a full CRL. */
  readonly deltaCRLIndicator: string;
  /** ISO 8601. */
  readonly thisUpdate: string;
  /** ISO 8601. */
  readonly nextUpdate: string;
  /** Revoked certificates on it. */
  readonly entries: number;
}

/** @throws PeerError ERR_MALFORMED_MESSAGE */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw new PeerError('ERR_MALFORMED_MESSAGE', 'The body is not JSON', { cause });
  }
}

/** @throws PeerError ERR_MALFORMED_MESSAGE */
export function parseCapabilities(value: unknown): Capabilities {
  const message = asObject(value, 'capabilities');
  const { protocol, software, operations, maxBodyBytes, serverTime } = message;
  const isComplete =
    typeof protocol === 'number' &&
    typeof software === 'string' &&
    Array.isArray(operations) &&
    operations.every((name) => typeof name === 'string') &&
    typeof maxBodyBytes === 'object' &&
    typeof serverTime === 'string';
  if (!isComplete) throw malformed('capabilities');
  return message as unknown as Capabilities;
}

/** @throws PeerError ERR_MALFORMED_MESSAGE */
export function parsePingAnswer(value: unknown): PingAnswer {
  const message = asObject(value, 'ping');
  if (typeof message['serverTime'] !== 'string') throw malformed('ping');
  return { serverTime: message['serverTime'] };
}

/**
 * Answer of `publishCertificates`: one verdict per row, in order.
 *
 * @param rows how many rows were sent; an answer about another number is malformed
 * @throws PeerError ERR_MALFORMED_MESSAGE
 */
export function parseWriteResult(value: unknown, rows: number): WriteResult {
  const { verdicts, refusals } = asObject(value, 'publish');
  if (typeof verdicts !== 'string' || !/^[sur]*$/.test(verdicts) || verdicts.length !== rows) {
    throw malformed('publish');
  }
  if (!Array.isArray(refusals) || !refusals.every(isRefusal)) throw malformed('publish');
  return { verdicts, refusals };
}

/** @throws PeerError ERR_MALFORMED_MESSAGE */
export function parsePublishedCrl(value: unknown): PublishedCrl {
  const message = asObject(value, 'publish');
  const isComplete =
    (message['verdict'] === 'stored' || message['verdict'] === 'unchanged') &&
    CRL_TEXTS.every((name) => typeof message[name] === 'string') &&
    Number.isInteger(message['crlPartitionIndex']) &&
    Number.isInteger(message['entries']);
  if (!isComplete) throw malformed('publish');
  return message as unknown as PublishedCrl;
}

const CRL_TEXTS = ['fingerprint', 'issuerDN', 'cRLNumber', 'deltaCRLIndicator', 'thisUpdate', 'nextUpdate'] as const;

function isRefusal(value: unknown): value is Refusal {
  if (typeof value !== 'object' || value === null) return false;
  const refusal = value as Record<string, unknown>;
  return (
    Number.isInteger(refusal['index']) &&
    ['fingerprint', 'subjectDN', 'issuerDN', 'code', 'detail'].every((name) => typeof refusal[name] === 'string')
  );
}

function asObject(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(what);
  return value as Record<string, unknown>;
}

function malformed(what: string): PeerError {
  return new PeerError('ERR_MALFORMED_MESSAGE', `The peer's answer to ${what} does not have the expected form`);
}
