/**
 * Keeps the CRLs of a store: reads, judges, stores, and answers from them. Runs in the store's thread, over the tables
 * of any database; between the chunks of a large CRL the thread serves others.
 */
import { createHash, hash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { PeerError } from '../errors.ts';
import { isCaInScope } from '../x509/ca-scope.ts';
import { type CrlContent, type CrlFacts, type CrlFrame, openCrl, readEntries } from '../x509/crl.ts';
import { type CrlIssuer, crlIssuerOf } from '../x509/crl-issuer.ts';
import { bytesSource, type CrlSource, fileSource } from '../x509/crl-source.ts';
import { CrlAnswers } from './crl-answers.ts';
import {
  type CaCertificate,
  type CaQuery,
  CRL_CHUNK_BYTES,
  type CrlAnswer,
  type CrlData,
  type CrlInput,
  type CrlQuery,
  type CrlTables,
  type CrlVerdict,
  type CrlWriteOptions,
  crlDataOf,
  type StoredCrl,
} from './crl-data.ts';
import { type CrlCandidate, counterpart, isDelta, judgeAlone, judgeAmong } from './crl-rules.ts';

const MAX_LISTED = 10_000;
const MAX_PARTITION = 2 ** 31 - 1;
/** CA certificates of one name whose keys a signature is tried with. */
const MAX_KEYS = 8;

/** The CRLs behind one store. */
export class CrlKeeper {
  readonly #tables: CrlTables;
  readonly #answers: CrlAnswers;
  readonly #now: () => number;
  #lastTurn: Promise<unknown> = Promise.resolve();

  constructor(tables: CrlTables, now: () => number = Date.now) {
    this.#tables = tables;
    this.#answers = new CrlAnswers(tables);
    this.#now = now;
  }

  /** See `CrlStore.write`. One after the other, so that memory is needed for one large CRL at a time. */
  write(input: CrlInput, options: CrlWriteOptions): Promise<CrlVerdict> {
    const turn = this.#lastTurn.then(() => this.#write(input, options));
    this.#lastTurn = turn.catch(() => undefined);
    return turn;
  }

  /** Ends when what was asked to be written before has been. */
  async idle(): Promise<void> {
    await this.#lastTurn;
  }

  async #write(input: CrlInput, options: CrlWriteOptions): Promise<CrlVerdict> {
    const source = 'file' in input ? openFile(input.file) : bytesSource(input.bytes);
    try {
      return await this.#writeFrom(source, options);
    } finally {
      source.close();
    }
  }

  async #writeFrom(source: CrlSource, options: CrlWriteOptions): Promise<CrlVerdict> {
    const { scope, crlPartitionIndex, marks } = options;
    if (!Number.isInteger(crlPartitionIndex) || crlPartitionIndex < 0 || crlPartitionIndex > MAX_PARTITION)
      throw new PeerError('ERR_INVALID_INPUT', `${crlPartitionIndex} is not the index of a CRL partition`);
    const frame = openCrl(source);
    const { issuerDN, authorityKeyId } = frame.facts;
    if (!isCaInScope(issuerDN, scope))
      throw new PeerError('ERR_NOT_AUTHORIZED', `Not authorized for the CA "${issuerDN}"`);
    const issuers = await this.#issuersOf(issuerDN, authorityKeyId);
    const candidate = candidateOf(frame.facts, crlPartitionIndex);
    const standing = await this.#tables.crlsOf({ issuerDN });
    const known = counterpart(candidate, standing);
    const isVerified = issuers.length > 0;
    // One that was stored before its CA certificate came is looked at once more.
    if (known !== undefined && (known.cAFingerprint !== null || !isVerified) && isSame(known, candidate, source)) {
      const unchanged = { verdict: 'unchanged', crl: crlDataOf(known) } as const;
      if (marks === undefined) return unchanged;
      const sequence = await this.#tables.mark(known.fingerprint, marks);
      // Otherwise another process has put a newer one in its place.
      return sequence === undefined ? this.#writeFrom(source, options) : { ...unchanged, sequence };
    }
    const judge = (rows: readonly StoredCrl[]): void => judgeAmong(candidate, rows, { isVerified, now: this.#now() });
    judgeAlone(candidate, this.#now());
    judge(standing);
    const content = await readContent(frame, issuers);
    const cAFingerprint = signerOf(content, issuers, issuerDN);
    const { fingerprint, index } = content;
    const crl = { ...candidate, fingerprint, cAFingerprint, entries: index.count };
    const sequence = await this.#tables.replace(crl, { chunks: chunksOf(source), judge, peers: marks ?? [] });
    if (known !== undefined) this.#answers.forget(known.fingerprint);
    this.#answers.remember(fingerprint, index);
    return { verdict: 'stored', crl: crlDataOf(crl), ...(marks && { sequence }) };
  }

  /** See `CrlStore.find`. */
  async find(query: CrlQuery): Promise<CrlData | undefined> {
    const { crlPartitionIndex = 0, isDelta: wantsDelta = false, ...ca } = query;
    const rows = await this.#tables.crlsOf(ca);
    const [latest] = rows
      .filter((row) => row.crlPartitionIndex === crlPartitionIndex && isDelta(row) === wantsDelta)
      .sort((a, b) => b.thisUpdate - a.thisUpdate);
    return latest && crlDataOf(latest);
  }

  async findByFingerprint(fingerprint: string): Promise<CrlData | undefined> {
    const row = await this.#tables.crlByFingerprint(fingerprint);
    return row && crlDataOf(row);
  }

  async list(): Promise<readonly CrlData[]> {
    return (await this.#tables.list(MAX_LISTED)).map(crlDataOf);
  }

  async read(fingerprint: string, position: number): Promise<Uint8Array | undefined> {
    return this.#tables.readChunk(fingerprint, position);
  }

  /** See `CrlStore.findRevoked`. */
  findRevoked(issuerDN: string, serialNumber: string, crlPartitionIndex?: number): Promise<CrlAnswer | undefined> {
    return this.#answers.findRevoked(issuerDN, serialNumber, crlPartitionIndex);
  }

  async findCaCertificates(query: CaQuery): Promise<readonly CaCertificate[]> {
    return this.#tables.caCertificates(query);
  }

  /** CA certificates with the CRL's issuer as subject: the one that its key identifier names, where there is one. */
  async #issuersOf(issuerDN: string, authorityKeyId: string | null): Promise<readonly CrlIssuer[]> {
    const certificates = await this.#tables.caCertificates({ issuerDN });
    const issuers = certificates.map(({ certificate }) => crlIssuerOf(certificate));
    if (certificates.length > 0 && issuers.every((issuer) => issuer === undefined))
      throw new PeerError('ERR_INVALID_CRL', `The stored certificate of ${issuerDN} may not sign CRLs`);
    const usable = issuers.filter((issuer) => issuer !== undefined);
    const named = usable.filter(({ subjectKeyId }) => authorityKeyId !== null && subjectKeyId === authorityKeyId);
    return (named.length > 0 ? named : usable).slice(0, MAX_KEYS);
  }
}

function openFile(path: string): CrlSource {
  try {
    return fileSource(path);
  } catch (cause) {
    throw new PeerError('ERR_INVALID_INPUT', `The CRL file cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function candidateOf(facts: CrlFacts, crlPartitionIndex: number): CrlCandidate {
  const { issuerDN, issuerDer, thisUpdate, nextUpdate, size, issuingDistributionPoint, authorityKeyId } = facts;
  return {
    issuerDN,
    issuerHash: hash('sha1', issuerDer, 'buffer'),
    crlPartitionIndex,
    cRLNumber: facts.crlNumber ?? '-1',
    deltaCRLIndicator: facts.deltaCrlIndicator ?? '-1',
    thisUpdate,
    nextUpdate,
    size,
    issuingDistributionPoint,
    authorityKeyId: authorityKeyId === null ? null : Buffer.from(authorityKeyId, 'base64'),
  };
}

/** Whether the very bytes are stored already; only looked into when nothing speaks against it. */
function isSame(known: StoredCrl, candidate: CrlCandidate, source: CrlSource): boolean {
  if (known.size !== candidate.size || known.cRLNumber !== candidate.cRLNumber) return false;
  return known.thisUpdate === candidate.thisUpdate && known.fingerprint === fingerprintOf(source);
}

async function readContent(frame: CrlFrame, issuers: readonly CrlIssuer[]): Promise<CrlContent> {
  const reading = readEntries(
    frame,
    issuers.map(({ key }) => key),
  );
  for (;;) {
    const step = reading.next();
    if (step.done) return step.value;
    await nextTurn();
  }
}

/** Fingerprint of the CA certificate that the signature is of; null when the store has none to check it against. */
function signerOf({ key }: CrlContent, issuers: readonly CrlIssuer[], issuerDN: string): string | null {
  if (issuers.length === 0) return null;
  const signer = issuers.find((issuer) => issuer.key === key);
  if (signer === undefined)
    throw new PeerError('ERR_INVALID_CRL', `The signature of the CRL is not that of ${issuerDN}`);
  return signer.fingerprint;
}

function* chunksOf(source: CrlSource): Generator<Uint8Array> {
  for (let at = 0; at < source.size; at += CRL_CHUNK_BYTES) yield source.read(at, CRL_CHUNK_BYTES);
}

function fingerprintOf(source: CrlSource): string {
  const digest = createHash('sha1');
  for (const chunk of chunksOf(source)) digest.update(chunk);
  return digest.digest('hex');
}
