/**
 * An EJBCA that issues over its REST API, with the pool and the identity of a peer connector.
 *
 * @see EJBCA REST API, POST /v1/certificate/pkcs10enroll
 */
import { randomBytes } from 'node:crypto';
import { PeerError, toPeerError } from '../errors.ts';
import type { ConnectionPool } from '../pool/connection-pool.ts';
import type { Answer } from '../pool/exchange.ts';
import { REQUEST_LABEL } from '../x509/certificate-request.ts';
import { toPem } from '../x509/pem.ts';
import { type CertificateAuthority, type IssueOrder, renderForOrder } from './certificate-authority.ts';

/** Names of things at the EJBCA. */
export interface EjbcaAuthorityOptions {
  readonly certificateAuthority: string;
  readonly certificateProfile: string;
  readonly endEntityProfile: string;
  /** Template of the end entity's name, over `{{peer}}` and `{{name}}`. */
  readonly username: string;
  /** Of the end entity. Empty = a new random one for each certificate. */
  readonly password: string;
}

const PATH = '/ejbca/ejbca-rest-api/v1/certificate/pkcs10enroll';
const MAX_ANSWER_BYTES = 1024 * 1024;
const MAX_DETAIL_LENGTH = 500;
const MAX_CHAIN_LENGTH = 10;

/**
 * The address of an EJBCA, `https://host:port`; a path that is there is left away.
 *
 * @throws PeerError ERR_INVALID_CONFIG
 */
export function parseEjbcaUrl(text: string): URL {
  const url = URL.parse(text.trim());
  if (url === null || url.protocol !== 'https:' || url.username !== '' || url.password !== '') {
    throw new PeerError('ERR_INVALID_CONFIG', 'The URL of the EJBCA is not one that begins with https:// and a host');
  }
  return new URL(url.origin);
}

/** Enrols at an EJBCA. A reply that is lost is asked for once more and may cost one certificate that nobody uses. */
export class EjbcaAuthority implements CertificateAuthority {
  readonly #pool: ConnectionPool;
  readonly #options: EjbcaAuthorityOptions;

  constructor(pool: ConnectionPool, options: EjbcaAuthorityOptions) {
    this.#pool = pool;
    this.#options = options;
  }

  caName(): string {
    return this.#options.certificateAuthority;
  }

  /** @throws PeerError ERR_NOT_ISSUED with the words of the EJBCA, and what the pool throws */
  async issue(order: IssueOrder, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    const body = Buffer.from(JSON.stringify(this.#bodyFor(order)));
    const answer = await this.#pool.request({
      method: 'POST',
      path: PATH,
      contentType: 'application/json',
      body,
      signal,
    });
    const value = parseAnswer(answer);
    if (answer.status !== 200 && answer.status !== 201) throw notIssued(this.#pool.host, answer, value);
    return certificatesIn(this.#pool.host, value);
  }

  #bodyFor(order: IssueOrder): object {
    const { certificateAuthority, certificateProfile, endEntityProfile, username, password } = this.#options;
    return {
      certificate_request: toPem(order.certificateRequest, REQUEST_LABEL),
      certificate_authority_name: certificateAuthority,
      certificate_profile_name: certificateProfile,
      end_entity_profile_name: endEntityProfile,
      username: renderForOrder(username, order, 'end entity'),
      password: password === '' ? randomBytes(18).toString('base64url') : password,
      include_chain: true,
    };
  }
}

/** Errors of a proxy in front of it are no JSON. */
function parseAnswer({ body }: Answer): Record<string, unknown> {
  if (body.length > MAX_ANSWER_BYTES) return {};
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function notIssued(host: string, { status }: Answer, { error_message: message }: Record<string, unknown>): PeerError {
  const words = typeof message === 'string' && message !== '' ? message.slice(0, MAX_DETAIL_LENGTH) : '';
  const hint = status === 404 ? 'is its REST API for certificates enabled?' : 'without a reason';
  return new PeerError('ERR_NOT_ISSUED', `${host} answered with HTTP status ${status}: ${words || hint}`);
}

function certificatesIn(host: string, { certificate, certificate_chain: chain = [] }: Record<string, unknown>) {
  if (typeof certificate !== 'string' || !Array.isArray(chain) || chain.length > MAX_CHAIN_LENGTH) {
    throw new PeerError('ERR_NOT_ISSUED', `The answer of ${host} holds no certificate`);
  }
  try {
    // The end entity's own certificate may stand in its chain once more.
    const issued = fromBase64(certificate);
    return [issued, ...chain.map(fromBase64).filter((der) => Buffer.compare(der, issued) !== 0)];
  } catch (error) {
    const detail = `The certificate in the answer of ${host} is not readable: ${toPeerError(error).message}`;
    throw new PeerError('ERR_NOT_ISSUED', detail, { cause: error });
  }
}

/** Where a version of EJBCA encodes the bytes twice, the first decoding gives `MII` again. */
function fromBase64(value: unknown): Uint8Array {
  if (typeof value !== 'string') throw new Error('it is not a text');
  const once = Buffer.from(value, 'base64');
  return once.subarray(0, 3).toString('latin1') === 'MII' ? Buffer.from(once.toString('latin1'), 'base64') : once;
}
