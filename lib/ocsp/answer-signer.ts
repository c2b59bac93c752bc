/**
 * Signs answers with the key of a binding.
 *
 * Nothing is signed on the event loop: keys of this process sign in the threads of libuv, others in their device.
 * Even with P-256 that gives more answers a second than signing at once.
 */
import { hash, X509Certificate } from 'node:crypto';
import { PeerError } from '../errors.ts';
import type { OcspProperties, OcspSigner } from '../keybinding/ocsp-signer.ts';
import { readCertificate } from '../x509/certificate.ts';
import { publicKeyBits } from '../x509/public-key-bits.ts';
import { signatureAlgorithmOf } from '../x509/signature-algorithm.ts';
import {
  certificatesField,
  type ResponseData,
  responderId,
  writeResponse,
  writeResponseData,
} from './ocsp-response.ts';

/** Signatures waiting for a thread; at 5 ms each, as RSA-4096 takes, the last one waits about a second. */
const MAX_WAITING = 1_000;

/** What is the same in all answers of a signer. */
export interface PreparedSigner {
  readonly signer: OcspSigner;
  readonly properties: OcspProperties;
  readonly responderId: Uint8Array;
  readonly certificates: Uint8Array;
  readonly algorithm: Uint8Array;
  /** Epoch milliseconds; the last moment at which the signing certificate is valid. */
  readonly expireDate: number;
}

const prepared = new WeakMap<OcspSigner, PreparedSigner>();

/**
 * What is written the same way in each answer of this signer.
 *
 * @throws PeerError ERR_INVALID_CONFIG when the key is not that of the certificate, or cannot sign
 */
export function prepareSigner(signer: OcspSigner, properties: OcspProperties): PreparedSigner {
  const known = prepared.get(signer);
  if (known?.properties === properties) return known;
  const { subjectDer, spki, expireDate } = readSigningCertificate(signer);
  const by =
    properties.responderId === 'name'
      ? { name: subjectDer }
      : { keyHash: hash('sha1', publicKeyBits(spki), 'buffer') as Uint8Array };
  const made = {
    signer,
    properties,
    responderId: responderId(by),
    certificates: certificatesField(certificatesOf(signer, properties)),
    algorithm: signatureAlgorithmOf(signer.key.publicKey).identifier,
    expireDate,
  };
  prepared.set(signer, made);
  return made;
}

function readSigningCertificate({ certificate, key }: OcspSigner) {
  try {
    if (new X509Certificate(certificate).publicKey.equals(key.publicKey)) return readCertificate(certificate);
  } catch (cause) {
    throw new PeerError('ERR_INVALID_CONFIG', 'The OCSP signing certificate is not usable', { cause });
  }
  throw new PeerError('ERR_INVALID_CONFIG', 'The OCSP signing certificate is not that of the key');
}

/** The chain goes with the signing certificate; a root never does, because who trusts it has it. */
function certificatesOf({ certificate, chain }: OcspSigner, properties: OcspProperties): readonly Uint8Array[] {
  if (!properties.includeSigningCertificate) return [];
  if (!properties.includeChain) return [certificate];
  return [certificate, ...chain.filter((each) => !readCertificate(each).selfIssued)];
}

/** Signs for all bindings of a responder. */
export class AnswerSigner {
  #waiting = 0;

  /**
   * The whole response, DER.
   *
   * @throws PeerError ERR_OVERLOADED when too many signatures wait; what the key throws
   */
  async sign(by: PreparedSigner, data: ResponseData): Promise<Uint8Array> {
    if (this.#waiting >= MAX_WAITING) {
      throw new PeerError('ERR_OVERLOADED', `${MAX_WAITING} OCSP answers wait for their signature`);
    }
    const bytes = writeResponseData(data);
    this.#waiting += 1;
    try {
      return writeResponse(bytes, by.algorithm, await by.signer.key.sign(bytes), by.certificates);
    } finally {
      this.#waiting -= 1;
    }
  }
}
