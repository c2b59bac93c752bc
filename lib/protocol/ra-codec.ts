/**
 * The CBOR of `raNext`, both ways. Deterministic, with a limit for everything that is read.
 */
import { isPeerErrorCode, PeerError } from '../errors.ts';
import { CborReader, CborWriter, expectItems } from '../store/cbor.ts';
import { parseAnswerDetails, parseRequestDetails } from './ra-details.ts';
import {
  isStatusCode,
  RA_ID,
  RA_MAX_CONTENT_BYTES,
  RA_TYPE,
  type RaCall,
  type RaContent,
  type RaNext,
  type RaOutcome,
  type RaRequest,
  type RaResult,
} from './ra-messages.ts';

const KINDS = ['bytes', 'text', 'json'] as const;
const MAX_TYPES = 100;
const MAX_RESULTS = 1_000;
const MAX_SLOT = 10_000;
const MAX_DETAIL_LENGTH = 1_000;

/** The bytes of a call. */
export function encodeRaCall(call: RaCall): Uint8Array {
  const writer = new CborWriter(256);
  writer.array(7);
  writer.bytes(Buffer.from(call.instance, 'hex'));
  writer.integer(call.slot);
  writer.integer(call.sequence);
  writer.integer(call.isLeaving ? 1 : 0);
  writer.integer(call.waitMs);
  writer.array(call.types.length);
  for (const type of call.types) writer.text(type);
  writer.array(call.results.length);
  for (const result of call.results) writeResult(writer, result);
  return writer.take();
}

/** @throws PeerError ERR_MALFORMED_MESSAGE */
export function decodeRaCall(bytes: Uint8Array): RaCall {
  const reader = new CborReader(bytes);
  expectItems(reader, 7);
  const instance = hexOf(reader.bytes(), 16, 'instance');
  const slot = within(reader.integer(), MAX_SLOT, 'slot');
  const sequence = within(reader.integer(), Number.MAX_SAFE_INTEGER, 'sequence');
  const isLeaving = within(reader.integer(), 1, 'leaving') === 1;
  const waitMs = within(reader.integer(), Number.MAX_SAFE_INTEGER, 'wait');
  const types = readList(reader, MAX_TYPES, () => fitting(reader.text(), RA_TYPE, 'type'));
  const results = readList(reader, MAX_RESULTS, () => readResult(reader));
  expectEnd(reader);
  return { instance, slot, sequence, isLeaving, waitMs, types, results };
}

/** The bytes of what the RA says to a call. */
export function encodeRaNext({ verdicts, queued, request }: RaNext): Uint8Array {
  const writer = new CborWriter(256);
  writer.array(3);
  writer.text(verdicts);
  writer.integer(queued);
  if (request === undefined) writer.null();
  else writeRequest(writer, request);
  return writer.take();
}

/** @throws PeerError ERR_MALFORMED_MESSAGE */
export function decodeRaNext(bytes: Uint8Array, results: number): RaNext {
  const reader = new CborReader(bytes);
  expectItems(reader, 3);
  const verdicts = reader.text();
  if (verdicts.length !== results || !/^[aru]*$/.test(verdicts)) throw malformed('not one verdict per result');
  const queued = within(reader.integer(), Number.MAX_SAFE_INTEGER, 'queued');
  const request = reader.skipNull() ? undefined : readRequest(reader);
  expectEnd(reader);
  return { verdicts, queued, request };
}

function writeRequest(writer: CborWriter, request: RaRequest): void {
  const { id, ticket, type, remainingMs, administrator, http, content } = request;
  writer.array(7);
  writer.text(id);
  writer.bytes(Buffer.from(ticket, 'hex'));
  writer.text(type);
  writer.integer(remainingMs);
  // Most requests of a machine have neither.
  writer.text(administrator === undefined && http === undefined ? null : JSON.stringify({ administrator, http }));
  writeContent(writer, content);
}

function readRequest(reader: CborReader): RaRequest {
  expectItems(reader, 7);
  const id = fitting(reader.text(), RA_ID, 'id');
  const ticket = hexOf(reader.bytes(), 8, 'ticket');
  const type = fitting(reader.text(), RA_TYPE, 'type');
  const remainingMs = within(reader.integer(), Number.MAX_SAFE_INTEGER, 'remaining time');
  const details = parseRequestDetails(reader.textOrNull());
  return { id, ticket, type, remainingMs, ...details, content: readContent(reader) };
}

function writeResult(writer: CborWriter, { id, ticket, outcome }: RaResult): void {
  if ('failure' in outcome) {
    writer.array(4);
    writer.text(id);
    writer.bytes(Buffer.from(ticket, 'hex'));
    writer.text(outcome.failure.code);
    writer.text(outcome.failure.detail.slice(0, MAX_DETAIL_LENGTH));
    return;
  }
  const { statusCode, headers, cookies, content } = outcome.answer;
  writer.array(6);
  writer.text(id);
  writer.bytes(Buffer.from(ticket, 'hex'));
  writer.integer(statusCode);
  const isBare = Object.keys(headers).length === 0 && Object.keys(cookies).length === 0;
  writer.text(isBare ? null : JSON.stringify({ headers, cookies }));
  writeContent(writer, content);
}

function readResult(reader: CborReader): RaResult {
  const items = reader.array();
  if (items !== 4 && items !== 6) throw malformed('a result has 4 or 6 items');
  const id = fitting(reader.text(), RA_ID, 'id');
  const ticket = hexOf(reader.bytes(), 8, 'ticket');
  return { id, ticket, outcome: items === 4 ? readFailure(reader) : readAnswer(reader) };
}

function readFailure(reader: CborReader): RaOutcome {
  const code = reader.text();
  const detail = reader.text().slice(0, MAX_DETAIL_LENGTH);
  return { failure: { code: isPeerErrorCode(code) ? code : 'ERR_INTERNAL', detail } };
}

function readAnswer(reader: CborReader): RaOutcome {
  const statusCode = reader.integer();
  if (!isStatusCode(statusCode)) throw malformed(`${statusCode} is no status code`);
  const details = parseAnswerDetails(reader.textOrNull());
  return { answer: { statusCode, ...details, content: readContent(reader) } };
}

function writeContent(writer: CborWriter, { kind, body }: RaContent): void {
  writer.integer(KINDS.indexOf(kind));
  writer.bytes(body);
}

function readContent(reader: CborReader): RaContent {
  const kind = KINDS[reader.integer()];
  if (kind === undefined) throw malformed('an unknown kind of content');
  const bytes = reader.bytes();
  if (bytes.length > RA_MAX_CONTENT_BYTES) {
    throw new PeerError('ERR_TOO_LARGE', `A content of ${bytes.length} bytes is larger than ${RA_MAX_CONTENT_BYTES}`);
  }
  // A copy: a small content must not keep a large message in memory.
  return { kind, body: new Uint8Array(bytes) };
}

function readList<T>(reader: CborReader, most: number, read: () => T): readonly T[] {
  const length = within(reader.array(), most, 'length of a list');
  return Array.from({ length }, read);
}

function within(value: number, most: number, what: string): number {
  if (value < 0 || value > most) throw malformed(`${value} is out of range for ${what}`);
  return value;
}

function hexOf(bytes: Uint8Array, length: number, what: string): string {
  if (bytes.length !== length) throw malformed(`the ${what} has not ${length} bytes`);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

function fitting(text: string, pattern: RegExp, what: string): string {
  if (!pattern.test(text)) throw malformed(`a wrong ${what}`);
  return text;
}

function expectEnd(reader: CborReader): void {
  if (!reader.isAtEnd) throw malformed('something stands behind it');
}

function malformed(what: string): PeerError {
  return new PeerError('ERR_MALFORMED_MESSAGE', `The RA message is malformed: ${what}`);
}
