/**
 * Remote authenticator: the TLS identity of one side and the list of CAs it trusts.
 *
 * Used by the outgoing side (peer connector) and the incoming side (peer endpoint).
 * Never the system's trust store.
 *
 * @see EJBCA, Remote Authenticators Overview
 */
import { X509Certificate } from 'node:crypto';
import { unwatchFile, watchFile } from 'node:fs';
import { PeerError } from '../errors.ts';
import { readCertificate } from '../x509/certificate.ts';
import { toPem } from '../x509/pem.ts';
import { filesOf, type Identity, type IdentitySource, loadIdentity } from './identity.ts';

/** A trusted CA; with a serial number, only that one certificate of it. */
export interface TrustEntry {
  readonly caDer: Uint8Array;
  /** Decimal; undefined = any certificate of the CA. */
  readonly serialNumber?: string;
}

/** What a TLS context is made of. */
export interface TlsMaterial {
  readonly identity: Identity;
  readonly trust: readonly TrustEntry[];
  /** Options of node:tls. */
  readonly options: { readonly key: string; readonly cert: string; readonly ca: readonly string[] };
}

const WATCH_INTERVAL_MS = 5_000;

/** Reads identity and trust, and tells when the files behind them have changed. */
export class RemoteAuthenticator {
  readonly #source: IdentitySource;
  readonly #trust: () => readonly TrustEntry[];
  readonly #watched: readonly string[];
  readonly #listeners = new Set<() => void>();
  readonly #onFileChange = (): void => {
    for (const listener of this.#listeners) listener();
  };

  /** @param trust read anew at each load; empty = the CAs that come with the identity */
  constructor(source: IdentitySource, trust: () => readonly TrustEntry[], trustFiles: readonly string[] = []) {
    this.#source = source;
    this.#trust = trust;
    this.#watched = [...filesOf(source), ...trustFiles];
    for (const file of this.#watched) {
      watchFile(file, { interval: WATCH_INTERVAL_MS, persistent: false }, this.#onFileChange);
    }
  }

  /**
   * Reads everything anew.
   *
   * @throws PeerError ERR_IDENTITY_UNREADABLE, ERR_WRONG_PASSPHRASE, ERR_INVALID_CONFIG
   */
  load(): TlsMaterial {
    const identity = loadIdentity(this.#source);
    const listed = this.#trust();
    const trust = listed.length > 0 ? listed : identity.companionCas.map((caDer) => ({ caDer }));
    if (trust.length === 0) {
      throw new PeerError('ERR_INVALID_CONFIG', 'The remote authenticator trusts no CA: its trust list is empty');
    }
    const key = identity.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    const ca = trust.map((entry) => toPem(entry.caDer));
    return { identity, trust, options: { key, cert: identity.chainPem, ca } };
  }

  /** Calls back when a file of the identity or the trust list changes; gives the function that ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    for (const file of this.#watched) unwatchFile(file, this.#onFileChange);
    this.#listeners.clear();
  }
}

/**
 * Whether a certificate that TLS has verified is one that the trust list means: issued below a listed CA
 * or, where the entry has a serial number, exactly that certificate.
 */
export function isTrusted(leaf: X509Certificate, trust: readonly TrustEntry[]): boolean {
  if (trust.every((entry) => entry.serialNumber === undefined)) return true;
  const { serialNumber } = readCertificate(leaf.raw);
  return trust.some((entry) => {
    const ca = new X509Certificate(entry.caDer);
    if (entry.serialNumber === undefined) return isBelow(leaf, ca);
    return entry.serialNumber === serialNumber && isIssuedBy(leaf, ca);
  });
}

const MAX_CHAIN_LENGTH = 10;

/** Walks up the certificates that the other side sent; a CA it did not send is found by its signature. */
function isBelow(leaf: X509Certificate, ca: X509Certificate): boolean {
  let current: X509Certificate | undefined = leaf;
  for (let depth = 0; current !== undefined && depth < MAX_CHAIN_LENGTH; depth++) {
    if (isIssuedBy(current, ca)) return true;
    const issuer: X509Certificate | undefined = current.issuerCertificate;
    if (issuer === undefined || !isIssuedBy(current, issuer)) return false;
    current = issuer;
  }
  return false;
}

function isIssuedBy(certificate: X509Certificate, ca: X509Certificate): boolean {
  return certificate.checkIssued(ca) && certificate.verify(ca.publicKey);
}
