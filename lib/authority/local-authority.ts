/**
 * A CA whose key is at hand: issues certificates of OCSP signers, and plain ones of end entities.
 *
 * @see CA/Browser Forum, Baseline Requirements 7.1.2.8; RFC 6960 4.2.2.2
 */
import type { KeyObject } from 'node:crypto';
import { PeerError } from '../errors.ts';
import { type IdentitySource, loadIdentity } from '../keybinding/identity.ts';
import { type CertificateTemplate, issueCertificate } from '../x509/certificate-builder.ts';
import { type CertificateRequest, readCertificateRequest } from '../x509/certificate-request.ts';
import { nullValue } from '../x509/der-writer.ts';
import { commonNameOf, escapeNameValue } from '../x509/distinguished-name.ts';
import { extension } from '../x509/extension-writer.ts';
import { readPem } from '../x509/pem.ts';
import { type CertificateAuthority, type IssueOrder, renderForOrder } from './certificate-authority.ts';

/** Settings of a local CA. */
export interface LocalAuthorityOptions {
  /** Key and certificate of the CA; read anew for each certificate. */
  readonly source: IdentitySource;
  /**
   * Template of the subject of OCSP signers in EJBCA's form, e.g. `CN=OCSP {{name}},O=Example`; a request with another subject is
   * refused. `{{{subjectDN}}}` takes the subject of the request.
   */
  readonly subjectTemplate: string;
  /** Of OCSP signers. */
  readonly validityMs: number;
  /** Of end entities. */
  readonly endEntityValidityMs: number;
  /** How far notBefore lies back, for clocks that go slow; at most a day. Default 600000. */
  readonly backdateMs?: number;
  readonly now?: () => number;
}

const DAY_MS = 86_400_000;
const BACKDATE_MS = 600_000;
const MIN_RSA_BITS = 2_048;
/** id-pkix-ocsp-nocheck, NULL (RFC 6960 4.2.2.2.1). */
const NO_CHECK = extension('1.3.6.1.5.5.7.48.1.5', false, nullValue());

const SUBJECT_ALT_NAME = '2.5.29.17';

/** What differs from one kind of certificate to the other. */
type Profile = Pick<CertificateTemplate, 'subjectDN' | 'ca' | 'keyUsage' | 'extendedKeyUsage' | 'extensions'> & {
  readonly validityMs: number;
};

/** Issues with the key of a PKCS#12 or PEM file. */
export class LocalAuthority implements CertificateAuthority {
  readonly #options: Required<LocalAuthorityOptions>;

  /** @throws PeerError ERR_INVALID_CONFIG */
  constructor(options: LocalAuthorityOptions) {
    this.#options = {
      backdateMs: BACKDATE_MS,
      now: Date.now,
      ...options,
    };
    const { backdateMs, validityMs } = this.#options;
    if (!(backdateMs >= 0 && backdateMs <= DAY_MS)) {
      throw new PeerError('ERR_INVALID_CONFIG', `A certificate must not be backdated by ${backdateMs} ms`);
    }
    if (!(validityMs > 0)) throw new PeerError('ERR_INVALID_CONFIG', `${validityMs} ms is not a validity`);
  }

  /** @throws PeerError what reading the key throws */
  caName(): string {
    const { subjectDN } = loadIdentity(this.#options.source).certificate;
    return commonNameOf(subjectDN) ?? subjectDN;
  }

  /** @throws PeerError ERR_NOT_ISSUED, ERR_INVALID_CONFIG, ERR_INVALID_CERTIFICATE and what reading the key throws */
  async issue(order: IssueOrder): Promise<readonly Uint8Array[]> {
    const { privateKey, certificate: ca, chainPem } = loadIdentity(this.#options.source);
    const chain = readPem(chainPem);
    const [certificate = new Uint8Array(0)] = chain;
    if (!ca.isCa) throw new PeerError('ERR_INVALID_CONFIG', `The certificate of "${ca.subjectDN}" is not that of a CA`);
    const { issuerDN, name } = order;
    if (issuerDN !== '' && issuerDN !== ca.subjectDN) {
      throw notIssued(`the certificate of "${name}" is one of "${issuerDN}", not of "${ca.subjectDN}"`);
    }
    const request = readCertificateRequest(order.certificateRequest);
    checkKey(request.publicKey);
    const subject = { ...order, subjectDN: request.subjectDN };
    const { validityMs, ...fields } =
      order.purpose === 'ocspSigner' ? this.#ocspSigner(subject) : this.#endEntity(request);
    const issued = issueCertificate({
      issuer: { certificate, privateKey },
      publicKey: request.publicKey,
      ...this.#validity(ca.expireDate, validityMs),
      ...fields,
    });
    return [issued, ...chain];
  }

  #ocspSigner(order: IssueOrder): Profile {
    return {
      subjectDN: this.#subjectOf(order),
      validityMs: this.#options.validityMs,
      keyUsage: ['digitalSignature'],
      extendedKeyUsage: ['OCSPSigning'],
      extensions: [NO_CHECK],
    };
  }

  /** Subject and alternative names are those of the request: the RA has vouched for them. */
  #endEntity({ subjectDN, altNames }: CertificateRequest): Profile {
    if (subjectDN === '') throw notIssued('the request names no subject');
    return {
      subjectDN,
      validityMs: this.#options.endEntityValidityMs,
      ca: false,
      keyUsage: ['digitalSignature'],
      extendedKeyUsage: ['clientAuth', 'serverAuth'],
      extensions: altNames === undefined ? [] : [extension(SUBJECT_ALT_NAME, false, altNames)],
    };
  }

  #subjectOf(order: IssueOrder): string {
    const subjectDN = renderForOrder(this.#options.subjectTemplate, order, 'subject', escapeNameValue);
    if (subjectDN === order.subjectDN) return subjectDN;
    throw notIssued(`"${order.name}" asks for the subject "${order.subjectDN}", which must be "${subjectDN}"`);
  }

  /** No certificate outlives its CA. */
  #validity(caExpires: number, validityMs: number): { readonly notBefore: Date; readonly notAfter: Date } {
    const { now, backdateMs } = this.#options;
    const second = Math.floor(now() / 1_000) * 1_000;
    if (caExpires <= second) throw notIssued('the certificate of the CA has expired');
    return { notBefore: new Date(second - backdateMs), notAfter: new Date(Math.min(second + validityMs, caExpires)) };
  }
}

function checkKey(key: KeyObject): void {
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && bits < MIN_RSA_BITS) throw notIssued(`a key of ${bits} bits is too short`);
}

function notIssued(why: string): PeerError {
  return new PeerError('ERR_NOT_ISSUED', `The CA does not issue: ${why}`);
}
