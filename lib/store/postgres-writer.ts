/**
 * Writes rows into PostgreSQL: many calls, one transaction, one sync.
 *
 * The rows that stand are locked in the order of fingerprints before anything is written, all of them at once, so that
 * instances that write at the same time wait for each other but never in a circle. A new row that somebody else has
 * written in between is found out by the key of the table; then everything is judged again.
 */
import { hash } from 'node:crypto';
import { PeerError } from '../errors.ts';
import { type CaEntry, caEntryOf } from './ca-certificate.ts';
import { CERTIFICATE_TYPE } from './certificate-data.ts';
import type { PostgresConnection } from './postgres-connection.ts';
import { addCaCertificates } from './postgres-crls.ts';
import { isRepeatable, isRowRefusal } from './postgres-errors.ts';
import { copyOf, INCOMING_TABLE, type Incoming, valuesOf, WRITE_COPIED, WRITE_FEW } from './postgres-incoming.ts';
import {
  acceptable,
  type Candidate,
  type Change,
  countMarked,
  judge,
  numberMarks,
  outcomeOf,
  readCandidates,
  refuse,
  type Standing,
} from './postgres-judgement.ts';
import { setMarks, takeSequences } from './postgres-queue.ts';
import { bytesOf, digitsOf } from './postgres-row.ts';
import { BODIES_PER_BLOCK, FINISH, storeLock } from './postgres-schema.ts';
import type { PostgresSession } from './postgres-session.ts';
import { bucketOf } from './range-sums.ts';
import type { WriteCall, WriteOutcome } from './store-engine.ts';
import { isRevoked } from './write-verdict.ts';

/** More are copied. */
const MOST_WITH_STATEMENT = 64;

const STANDING =
  'SELECT fingerprint, issuerId, digest, status, revocationReason, revocationDate, updateTime, bodyId IS NOT NULL ' +
  'FROM CertificateData WHERE fingerprint = ANY ($1) ORDER BY fingerprint FOR UPDATE';
const ADD_ISSUERS =
  'INSERT INTO Issuer (issuerDN, issuerHash) SELECT * FROM unnest($1::TEXT[], $2::BYTEA[]) ORDER BY 2 ' +
  'ON CONFLICT (issuerHash) DO NOTHING';
const ISSUERS = 'SELECT issuerId, issuerDN FROM Issuer';

/** What is known for as long as a session lasts; behind the next one there may be a database that was restored. */
interface Known {
  readonly session: PostgresSession;
  readonly idOf: Map<string, number>;
  readonly nameOf: Map<number, string>;
  /** Numbers for certificates that are this session's: from, and up to but not with. */
  nextBody: number;
  endOfBodies: number;
  hasTable: boolean;
}

/** Writes over one connection. */
export class PostgresWriter {
  readonly #connection: PostgresConnection;
  #known: Known | undefined;

  constructor(connection: PostgresConnection) {
    this.#connection = connection;
  }

  /** Writes all calls or, when it throws, none of them as far as is known. */
  async write(calls: readonly WriteCall[]): Promise<readonly WriteOutcome[]> {
    const groups = calls.map(readCandidates);
    const candidates = acceptable(groups);
    let isCareful = false;
    if (candidates.length > 0)
      await this.#connection.repeat(async (session) => {
        const known = await this.#prepare(session, candidates);
        try {
          await this.#transact(known, candidates, isCareful);
        } catch (error) {
          if (isCareful || isRepeatable(error) || !isRowRefusal(error)) throw error;
          // One row that the database refuses (a trigger, a constraint) harms no other; now it is looked for.
          isCareful = true;
          await this.#transact(known, candidates, isCareful);
        }
      });
    return groups.map(outcomeOf);
  }

  /** Issuers are written beforehand, so that nobody waits for a long transaction that brings a new one. */
  async #prepare(session: PostgresSession, candidates: readonly Candidate[]): Promise<Known> {
    const known = this.#known?.session === session ? this.#known : newKnown(session);
    this.#known = known;
    const missing = new Set(candidates.map(({ row }) => row.issuerDN).filter((dn) => !known.idOf.has(dn)));
    if (missing.size > 0) {
      const names = [...missing];
      await session.query(ADD_ISSUERS, [names, names.map((dn) => hash('sha256', dn, 'buffer'))]);
      await readIssuers(known);
    }
    return known;
  }

  #transact(known: Known, candidates: readonly Candidate[], isCareful: boolean): Promise<void> {
    return known.session.transact(async () => {
      const standing = await readStanding(known, candidates);
      const changes = judge(candidates, standing, Date.now());
      numberMarks(changes, await takeSequences(known.session, countMarked(changes)));
      const written = isCareful ? await this.#writeCarefully(known, changes) : changes;
      if (!isCareful) await writeChanges(known, changes);
      await finish(known.session, written);
    }, storeLock('shared'));
  }

  /** Halves what is refused until a single row is left; gives what was written. */
  async #writeCarefully(known: Known, changes: readonly Change[]): Promise<readonly Change[]> {
    const { session } = known;
    await session.query('SAVEPOINT Part');
    try {
      await writeChanges(known, changes);
      await session.query('RELEASE Part');
      return changes;
    } catch (error) {
      if (isRepeatable(error) || !isRowRefusal(error)) throw error;
      await session.query('ROLLBACK TO Part; RELEASE Part');
      const [only] = changes;
      if (changes.length === 1 && only !== undefined) {
        refuse(only, (error as Error).message);
        return [];
      }
      const middle = changes.length >>> 1;
      const first = await this.#writeCarefully(known, changes.slice(0, middle));
      return [...first, ...(await this.#writeCarefully(known, changes.slice(middle)))];
    }
  }
}

function newKnown(session: PostgresSession): Known {
  return { session, idOf: new Map(), nameOf: new Map(), nextBody: 0, endOfBodies: 0, hasTable: false };
}

async function readIssuers({ session, idOf, nameOf }: Known): Promise<void> {
  for (const [issuerId, issuerDN] of (await session.query(ISSUERS)) as unknown as readonly [number, string][]) {
    idOf.set(issuerDN, issuerId);
    nameOf.set(issuerId, issuerDN);
  }
}

/** Reads and locks. */
async function readStanding(known: Known, candidates: readonly Candidate[]): Promise<ReadonlyMap<string, Standing>> {
  const fingerprints = new Map(candidates.map(({ key, row }) => [key, row.fingerprint]));
  const rows = await known.session.query(STANDING, [[...fingerprints.values()]]);
  if (rows.some((row) => !known.nameOf.has(row[1] as number))) await readIssuers(known);
  return new Map(
    rows.map((row) => {
      const [fingerprint, issuerId, digest, status, revocationReason, revocationDate, updateTime, hasBody] = row;
      const times = { revocationDate: revocationDate as number, updateTime: updateTime as number };
      const state = { status: status as number, revocationReason: revocationReason as number, ...times };
      const issuerDN = known.nameOf.get(issuerId as number) ?? '';
      return [
        digitsOf(fingerprint as string),
        { ...state, issuerDN, digest: bytesOf(digest), hasBody: hasBody === true },
      ];
    }),
  );
}

/** Rows and their marks. */
async function writeChanges(known: Known, changes: readonly Change[]): Promise<void> {
  const { session } = known;
  const incoming: Incoming[] = [];
  for (const change of changes) {
    const row = change.row ?? change.body?.row;
    if (row === undefined) continue;
    incoming.push({ row, kind: kindOf(change), issuerId: issuerIdOf(known, row), body: await bodyOf(known, change) });
  }
  if (incoming.length > MOST_WITH_STATEMENT) await writeMany(known, incoming);
  else if (incoming.length > 0) await session.query(WRITE_FEW, valuesOf(incoming));
  await addCaCertificates(session, changes.flatMap(caEntryIn));
  const marks = changes.flatMap((change) => [...change.marks.values()]);
  // Changes are in the order of fingerprints; the sort leaves those of one peer so.
  marks.sort((a, b) => (a.peer < b.peer ? -1 : Number(a.peer > b.peer)));
  await setMarks(session, 'certificate', marks);
}

/** CRLs and certificates of CAs are looked for by what their certificates say. */
function caEntryIn({ body }: Change): readonly CaEntry[] {
  if (body === undefined || body.row.type === CERTIFICATE_TYPE.endEntity) return [];
  const entry = caEntryOf(body.row, body.certificate);
  return entry === undefined ? [] : [entry];
}

function kindOf({ before, row }: Change): Incoming['kind'] {
  if (before === undefined) return 'insert';
  return row === undefined ? 'addBody' : 'update';
}

function issuerIdOf({ idOf }: Known, { issuerDN }: { readonly issuerDN: string }): number {
  const issuerId = idOf.get(issuerDN);
  if (issuerId === undefined) throw new PeerError('ERR_STORE_UNAVAILABLE', `The issuer "${issuerDN}" is gone`);
  return issuerId;
}

async function bodyOf(known: Known, { body }: Change): Promise<Incoming['body']> {
  if (body === undefined) return undefined;
  if (known.nextBody === known.endOfBodies) {
    const [taken] = await known.session.query("SELECT nextval('CertificateBodyBlock')");
    known.nextBody = (taken?.[0] as number) * BODIES_PER_BLOCK;
    known.endOfBodies = known.nextBody + BODIES_PER_BLOCK;
  }
  return { bodyId: known.nextBody++, certificate: body.certificate };
}

async function writeMany(known: Known, incoming: readonly Incoming[]): Promise<void> {
  const { session } = known;
  // Part of the transaction: a table that was made in one that failed is not there.
  await session.query(`${INCOMING_TABLE}; DELETE FROM Incoming`);
  await session.copy('Incoming', copyOf(incoming));
  await session.query(WRITE_COPIED);
}

/** Counts, and marks of the buckets whose sums are no longer right. */
async function finish(session: PostgresSession, changes: readonly Change[]): Promise<void> {
  const written = changes.filter(({ before, after }) => before !== after);
  if (written.length === 0) return;
  let total = 0;
  let revoked = 0;
  let withCertificate = 0;
  const buckets = new Set<number>();
  for (const { key, before, after, body } of written) {
    total += before === undefined ? 1 : 0;
    revoked += (after === undefined ? 0 : isRevoked(after)) - (before === undefined ? 0 : isRevoked(before));
    withCertificate += body === undefined ? 0 : 1;
    buckets.add(bucketOf(Buffer.from(key.slice(0, 4), 'hex')));
  }
  await session.query(FINISH, [total, revoked, withCertificate, [...buckets]]);
}
