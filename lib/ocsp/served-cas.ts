/**
 * Which binding answers for the issuer that a CertID names.
 */
import { hash } from 'node:crypto';
import type { OcspBinding } from '../keybinding/ocsp-signer.ts';
import { readCertificate } from '../x509/certificate.ts';
import { oidFromDotted } from '../x509/object-identifier.ts';
import { publicKeyBits } from '../x509/public-key-bits.ts';
import { issuerKey } from './ocsp-request.ts';

/** Hash algorithms that a CertID may use. RFC 9919 has SHA-256, older clients SHA-1. */
const ALGORITHMS = [
  { digest: 'sha1', oid: oidFromDotted('1.3.14.3.2.26') },
  { digest: 'sha256', oid: oidFromDotted('2.16.840.1.101.3.4.2.1') },
  { digest: 'sha384', oid: oidFromDotted('2.16.840.1.101.3.4.2.2') },
  { digest: 'sha512', oid: oidFromDotted('2.16.840.1.101.3.4.2.3') },
] as const;

interface Ca {
  readonly subjectDN: string;
  readonly fingerprint: string;
  /** Epoch milliseconds; -1 = unknown. */
  readonly notBefore: number;
  readonly keyHash: string;
  /** One for each hash algorithm, see `issuerKey`. */
  readonly issuerKeys: readonly string[];
}

/** A CA that is answered for. */
export interface ServedCa extends Ca {
  readonly binding: OcspBinding;
  /** Fingerprints of other CAs that have its name and another key. */
  readonly strangers: ReadonlySet<string>;
}

/** The CAs of all bindings, found by the hashes of a CertID. */
export class ServedCas {
  readonly #bindings: () => readonly OcspBinding[];
  /** What the index was made of. */
  #source: readonly (OcspBinding | Uint8Array)[] = [];
  #index: ReadonlyMap<string, readonly ServedCa[]> = new Map();

  constructor(bindings: () => readonly OcspBinding[]) {
    this.#bindings = bindings;
  }

  /** The CA of this issuer (see `issuerKey`); where several bindings have it, the first that can sign. */
  find(issuer: string, now: number): ServedCa | undefined {
    this.#refresh();
    const found = this.#index.get(issuer);
    if (found === undefined || found.length === 1) return found?.[0];
    return found.find(({ binding }) => binding.signer(now) !== undefined) ?? found[0];
  }

  /** The binding that answers for CAs that none answers for; the first that can sign. */
  defaultResponder(now: number): OcspBinding | undefined {
    const defaults = this.#bindings().filter(({ properties }) => properties.isDefaultResponder);
    return defaults.find((binding) => binding.signer(now) !== undefined) ?? defaults[0];
  }

  /** Bindings and their CAs may change at any time; as long as they are the same objects, the index stands. */
  #refresh(): void {
    const bindings = this.#bindings();
    if (isMadeOf(this.#source, bindings)) return;
    this.#index = indexOf(bindings);
    this.#source = bindings.flatMap((binding) => [binding, ...binding.cas()]);
  }
}

/** Runs at every request and allocates nothing. */
function isMadeOf(source: readonly unknown[], bindings: readonly OcspBinding[]): boolean {
  let at = 0;
  for (const binding of bindings) {
    if (source[at++] !== binding) return false;
    for (const ca of binding.cas()) if (source[at++] !== ca) return false;
  }
  return at === source.length;
}

function indexOf(bindings: readonly OcspBinding[]): ReadonlyMap<string, readonly ServedCa[]> {
  const pairs = bindings.flatMap((binding) =>
    binding.cas().flatMap((der) => {
      const ca = readCa(der);
      return ca === undefined ? [] : [{ ca, binding }];
    }),
  );
  const index = new Map<string, ServedCa[]>();
  for (const { ca, binding } of pairs) {
    const others = pairs.filter((each) => each.ca.subjectDN === ca.subjectDN && each.ca.keyHash !== ca.keyHash);
    const served = { ...ca, binding, strangers: new Set(others.map((each) => each.ca.fingerprint)) };
    for (const key of ca.issuerKeys) index.set(key, [...(index.get(key) ?? []), served]);
  }
  return index;
}

const read = new WeakMap<Uint8Array, Ca>();

/** Undefined for bytes that are no certificate: such a CA is not answered for. */
function readCa(der: Uint8Array): Ca | undefined {
  const known = read.get(der);
  if (known !== undefined) return known;
  try {
    const { subjectDN, subjectDer, spki, fingerprint, notBefore } = readCertificate(der);
    const bits = publicKeyBits(spki);
    const issuerKeys = ALGORITHMS.map(({ digest, oid }) =>
      issuerKey(oid, hash(digest, subjectDer, 'buffer'), hash(digest, bits, 'buffer')),
    );
    const ca = { subjectDN, fingerprint, notBefore, keyHash: hash('sha256', bits, 'hex'), issuerKeys };
    read.set(der, ca);
    return ca;
  } catch {
    return undefined;
  }
}
