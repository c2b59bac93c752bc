/**
 * The bodies about key bindings and the checks that make typed messages of unknown JSON, on both sides.
 */
import { PeerError } from '../errors.ts';
import { BINDING_STATUSES, type KeyBindingFacts, OPERATIONAL_STATUSES } from '../keybinding/key-binding-facts.ts';
import { REQUEST_LABEL } from '../x509/certificate-request.ts';
import { readPem, readPemBlock, toPem } from '../x509/pem.ts';

/** Asks for a certificate request. */
export interface KeyBindingQuestion {
  readonly name: string;
  /** For the next key pair instead of the one that signs. */
  readonly newKeyPair: boolean;
}

/** A certificate for a binding. */
export interface KeyBindingDelivery {
  readonly name: string;
  /** DER: the certificate, then what else belongs to its chain. */
  readonly certificates: readonly Uint8Array[];
}

/** A certificate request of a binding. */
export interface KeyBindingRequest {
  /** DER, PKCS#10. */
  readonly certificateRequest: Uint8Array;
  /** SHA-256 of the public key, 64 hex digits. */
  readonly key: string;
}

/** What became of a delivery. */
export interface KeyBindingVerdict {
  /** False where the certificate was in use already. */
  readonly activated: boolean;
  readonly keyBinding: KeyBindingFacts;
}

const MAX_NAME_LENGTH = 200;
const MAX_BINDINGS = 1_000;
const MAX_CERTIFICATES = 10;

/** @throws PeerError ERR_MALFORMED_MESSAGE */
export function parseKeyBindingQuestion(value: unknown): KeyBindingQuestion {
  const { name, newKeyPair } = asObject(value, 'question');
  if (!isName(name) || typeof newKeyPair !== 'boolean') throw malformed('question');
  return { name, newKeyPair };
}

/** The body of a delivery: certificates as PEM text. */
export function printKeyBindingDelivery({ name, certificates }: KeyBindingDelivery): object {
  return { name, certificates: certificates.map((der) => toPem(der)).join('') };
}

/** @throws PeerError ERR_MALFORMED_MESSAGE, ERR_INVALID_CERTIFICATE when the text is not PEM */
export function parseKeyBindingDelivery(value: unknown): KeyBindingDelivery {
  const { name, certificates: pem } = asObject(value, 'delivery');
  if (!isName(name) || typeof pem !== 'string') throw malformed('delivery');
  const certificates = readPem(pem, { otherBlocks: 'refuse' });
  if (certificates.length > MAX_CERTIFICATES) throw malformed('delivery');
  return { name, certificates };
}

/** The answer with a request, as PEM text. */
export function printKeyBindingRequest({ certificateRequest, key }: KeyBindingRequest): object {
  return { certificateRequest: toPem(certificateRequest, REQUEST_LABEL), key };
}

/** @throws PeerError ERR_MALFORMED_MESSAGE, ERR_INVALID_CERTIFICATE when the text is not PEM */
export function parseKeyBindingRequest(value: unknown): KeyBindingRequest {
  const { certificateRequest, key } = asObject(value, 'request');
  if (typeof certificateRequest !== 'string' || typeof key !== 'string') throw malformed('request');
  return { certificateRequest: readPemBlock(certificateRequest, REQUEST_LABEL), key };
}

/** @throws PeerError ERR_MALFORMED_MESSAGE */
export function parseKeyBindings(value: unknown): readonly KeyBindingFacts[] {
  const { keyBindings } = asObject(value, 'list');
  if (!Array.isArray(keyBindings) || keyBindings.length > MAX_BINDINGS) throw malformed('list');
  return keyBindings.map(parseFacts);
}

/** @throws PeerError ERR_MALFORMED_MESSAGE */
export function parseKeyBindingVerdict(value: unknown): KeyBindingVerdict {
  const { activated, keyBinding } = asObject(value, 'verdict');
  if (typeof activated !== 'boolean') throw malformed('verdict');
  return { activated, keyBinding: parseFacts(keyBinding) };
}

const TEXTS = [
  'cryptoToken',
  'subjectDN',
  'issuerDN',
  'serialNumber',
  'notBefore',
  'expires',
  'keyAlgorithm',
  'nextKey',
] as const;
const LISTS = ['orphanKeys', 'retiredKeys'] as const;

function parseFacts(value: unknown): KeyBindingFacts {
  const facts = asObject(value, 'list');
  const isComplete =
    isName(facts['name']) &&
    TEXTS.every((name) => typeof facts[name] === 'string') &&
    LISTS.every((name) => isTexts(facts[name])) &&
    (BINDING_STATUSES as readonly unknown[]).includes(facts['status']) &&
    (OPERATIONAL_STATUSES as readonly unknown[]).includes(facts['operational']) &&
    typeof facts['canRenew'] === 'boolean' &&
    Number.isSafeInteger(facts['generation']);
  if (!isComplete) throw malformed('list');
  return facts as unknown as KeyBindingFacts;
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_NAME_LENGTH;
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}

function asObject(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(what);
  return value as Record<string, unknown>;
}

function malformed(what: string): PeerError {
  return new PeerError('ERR_MALFORMED_MESSAGE', `The ${what} about key bindings does not have the expected form`);
}
