/**
 * The renewal of one key binding of a peer, step by step: key, request, certificate, delivery, switch.
 *
 * Keeps nothing: what is broken off is begun again, and the peer gives the same request as long as its next key waits.
 */
import { type KeyObject, X509Certificate } from 'node:crypto';
import type { CertificateAuthority } from '../authority/certificate-authority.ts';
import { PeerError } from '../errors.ts';
import { keyFingerprintOf } from '../keybinding/crypto-token.ts';
import type { KeyBindingFacts } from '../keybinding/key-binding-facts.ts';
import type { PeerClient } from '../pool/peer-client.ts';
import { readCertificate } from '../x509/certificate.ts';
import { readCertificateRequest } from '../x509/certificate-request.ts';

/** Steps in their order. */
export const RENEWAL_STEPS = ['key', 'csr', 'issued', 'delivered', 'activated'] as const;

/** A step that is over. Plain data. */
export interface RenewalProgress {
  readonly peer: string;
  readonly binding: string;
  readonly step: (typeof RENEWAL_STEPS)[number];
  /** SHA-256 of the public key. */
  readonly key: string;
  /** Of the new certificate, decimal; empty before it is issued. */
  readonly serialNumber: string;
}

/** With whom, by whom and how. */
export interface RenewalTask {
  readonly client: PeerClient;
  /** Name of the peer. */
  readonly peer: string;
  readonly authority: CertificateAuthority;
  readonly newKeyPair: boolean;
  readonly onProgress: (progress: RenewalProgress) => void;
}

/** Renewals under way, by client and name of the binding. */
const underway = new WeakMap<PeerClient, Map<string, Promise<KeyBindingFacts>>>();

/**
 * Renews a binding; who comes while that is under way gets its result, so that two renewals become one.
 *
 * @returns the binding as it is afterwards
 * @throws PeerError what the peer, the CA and the way to them say
 */
export function renewKeyBinding(
  task: RenewalTask,
  binding: KeyBindingFacts,
  signal: AbortSignal,
): Promise<KeyBindingFacts> {
  const ofPeer = underway.get(task.client) ?? new Map<string, Promise<KeyBindingFacts>>();
  underway.set(task.client, ofPeer);
  const other = ofPeer.get(binding.name);
  if (other !== undefined) return other;
  const renewal = runSteps(task, binding, signal).finally(() => ofPeer.delete(binding.name));
  ofPeer.set(binding.name, renewal);
  return renewal;
}

async function runSteps(task: RenewalTask, binding: KeyBindingFacts, signal: AbortSignal): Promise<KeyBindingFacts> {
  const { client, peer, authority, newKeyPair } = task;
  const { name } = binding;
  const { certificateRequest, key } = await client.requestKeyBindingCertificate({ name, newKeyPair }, signal);
  const tell = (step: RenewalProgress['step'], serialNumber = ''): void =>
    task.onProgress({ peer, binding: name, step, key, serialNumber });
  const { subjectDN, publicKey } = readCertificateRequest(certificateRequest);
  if (keyFingerprintOf(publicKey) !== key) {
    throw new PeerError('ERR_MALFORMED_MESSAGE', `The request of "${name}" is for another key than the peer says`);
  }
  tell('key');
  tell('csr');
  const { issuerDN } = binding;
  const order = { purpose: 'ocspSigner', peer, name, issuerDN, certificateRequest, subjectDN } as const;
  const certificates = await authority.issue(order, signal);
  const { serialNumber } = checkIssued(certificates, publicKey);
  tell('issued', serialNumber);
  const { keyBinding } = await client.deliverKeyBindingCertificate({ name, certificates }, signal);
  tell('delivered', serialNumber);
  tell('activated', serialNumber);
  return keyBinding;
}

/** What a CA gives is looked at here as well, so that the one to blame is named. */
function checkIssued([certificate]: readonly Uint8Array[], requested: KeyObject): { readonly serialNumber: string } {
  if (certificate === undefined) throw new PeerError('ERR_NOT_ISSUED', 'The CA gave no certificate');
  const facts = readCertificate(certificate);
  let publicKey: KeyObject;
  try {
    ({ publicKey } = new X509Certificate(certificate));
  } catch (cause) {
    throw new PeerError('ERR_NOT_ISSUED', 'The CA gave a certificate whose key is not readable', { cause });
  }
  if (keyFingerprintOf(publicKey) === keyFingerprintOf(requested)) return facts;
  throw new PeerError('ERR_NOT_ISSUED', `The CA gave the certificate ${facts.serialNumber}, which is for another key`);
}
