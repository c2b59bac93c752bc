/**
 * What becomes of the rows of calls that are written together, given what stands: the same, row by row, as if they
 * had been written one after the other. What several rows do to one certificate is one change in the end.
 */
import { PeerError } from '../errors.ts';
import { isCaInScope } from '../x509/ca-scope.ts';
import { faultOf, type RowColumns, readRows } from './certificate-row.ts';
import type { Refusal } from './certificate-store.ts';
import { replacesByTime } from './newest-wins.ts';
import type { MarkToSet } from './postgres-queue.ts';
import { isCaRow, isMarkWanted } from './publisher-queue.ts';
import type { WriteCall, WriteOutcome } from './store-engine.ts';
import { digestOf, isRevoked, joined, notAuthorized, refusalOf, type Verdict } from './write-verdict.ts';

/** What is read of a row that stands. */
export interface Standing extends Pick<RowColumns, 'status' | 'revocationReason' | 'revocationDate' | 'updateTime'> {
  readonly issuerDN: string;
  readonly digest: Uint8Array;
  readonly hasBody: boolean;
}

/** A row of a call. */
export interface Candidate {
  readonly call: WriteCall;
  readonly index: number;
  readonly row: RowColumns;
  /** Fingerprint in hexadecimal digits. */
  readonly key: string;
  verdict: Verdict;
  sequence: number;
}

/** The rows of one call, or why they cannot be read. */
export type CandidateGroup = readonly Candidate[] | PeerError;

/** What happens to one certificate. */
export interface Change {
  readonly key: string;
  /** What stood before. */
  readonly before: Standing | undefined;
  /** What stands afterwards. */
  after: Standing | undefined;
  /** The state to write; undefined = none. */
  row: RowColumns | undefined;
  /** A certificate that was missing. */
  body: { readonly row: RowColumns; readonly certificate: Uint8Array } | undefined;
  readonly marks: Map<string, MarkToSet>;
  readonly candidates: Candidate[];
}

/** The rows of a call, with what can be said of them without the store. */
export function readCandidates(call: WriteCall): CandidateGroup {
  try {
    return readRows(joined(call.rows)).map((row, index) => {
      const key = Buffer.from(row.fingerprint).toString('hex');
      const verdict = faultOf(row) ?? (isCaInScope(row.issuerDN, call.scope) ? 'u' : notAuthorized(row.issuerDN));
      return { call, index, row, key, verdict, sequence: 0 };
    });
  } catch (error) {
    if (error instanceof PeerError) return error;
    throw error;
  }
}

/** The rows that are to be judged, in the order they came. */
export function acceptable(groups: readonly CandidateGroup[]): readonly Candidate[] {
  return groups.flatMap((group) => (group instanceof PeerError ? [] : group.filter(({ verdict }) => verdict === 'u')));
}

/**
 * Judges; what was said before of these rows does not count.
 *
 * @param startedAt epoch milliseconds, of the marks
 * @returns what happens to each certificate, in the order of fingerprints; marks have no sequence yet
 */
export function judge(
  candidates: readonly Candidate[],
  standing: ReadonlyMap<string, Standing>,
  startedAt: number,
): readonly Change[] {
  const changes = new Map<string, Change>();
  for (const candidate of candidates) {
    const { key } = candidate;
    const before = standing.get(key);
    const change = changes.get(key) ?? newChange(key, before);
    changes.set(key, change);
    const wasRevoked = change.after !== undefined && isRevoked(change.after) === 1;
    candidate.sequence = 0;
    candidate.verdict = apply(candidate, change);
    if (typeof candidate.verdict !== 'string') continue;
    change.candidates.push(candidate);
    orderMarks(candidate, change, { wasRevoked, startedAt });
  }
  return [...changes.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

function newChange(key: string, before: Standing | undefined): Change {
  return { key, before, after: before, row: undefined, body: undefined, marks: new Map(), candidates: [] };
}

/** The newest state wins, and a missing certificate is added. */
function apply({ row, call }: Candidate, change: Change): Verdict {
  const { after } = change;
  if (after !== undefined && after.issuerDN !== row.issuerDN && !isCaInScope(after.issuerDN, call.scope))
    return notAuthorized(after.issuerDN);
  const wins = after === undefined || (replacesByTime(row, after) ?? Buffer.compare(digestOf(row), after.digest) > 0);
  const { certificate } = row;
  const addsBody = certificate !== null && after?.hasBody !== true;
  if (!wins && !addsBody) return 'u';
  if (wins) change.row = row;
  if (addsBody) change.body = { row, certificate };
  const hasBody = addsBody || after?.hasBody === true;
  change.after = wins ? standingOf(row, hasBody) : { ...after, hasBody };
  return 's';
}

function standingOf(row: RowColumns, hasBody: boolean): Standing {
  const { issuerDN, status, revocationReason, revocationDate, updateTime } = row;
  return { issuerDN, status, revocationReason, revocationDate, updateTime, digest: digestOf(row), hasBody };
}

function orderMarks(
  candidate: Candidate,
  { marks }: Change,
  { wasRevoked, startedAt }: { readonly wasRevoked: boolean; readonly startedAt: number },
): void {
  const { row, call } = candidate;
  if (call.marks === undefined || !isMarkWanted(row, call.marks, wasRevoked)) return;
  // Counted for now; the number comes with `numberMarks`.
  candidate.sequence = -1;
  for (const peer of call.marks.peers) {
    const withCertificate = call.marks.withCertificate || isCaRow(row) || marks.get(peer)?.withCertificate === true;
    marks.set(peer, { peer, fingerprint: row.fingerprint, sequence: 0, withCertificate, addedAt: startedAt });
  }
}

/** How many numbers the marks need: one for each row that was marked. */
export function countMarked(changes: readonly Change[]): number {
  return changes.reduce((sum, { candidates }) => sum + candidates.filter(({ sequence }) => sequence !== 0).length, 0);
}

/** Gives them out; the last row that marked a certificate for a peer gives the mark its number. */
export function numberMarks(changes: readonly Change[], sequences: readonly number[]): void {
  let next = 0;
  for (const { candidates, marks } of changes) {
    for (const candidate of candidates) {
      if (candidate.sequence === 0) continue;
      candidate.sequence = sequences[next++] ?? 0;
      for (const peer of candidate.call.marks?.peers ?? []) {
        const mark = marks.get(peer);
        if (mark !== undefined) marks.set(peer, { ...mark, sequence: candidate.sequence });
      }
    }
  }
}

/** Takes back what was said of a certificate's rows: the database itself has refused them. */
export function refuse({ candidates }: Change, detail: string): void {
  for (const candidate of candidates) {
    candidate.verdict = { code: 'ERR_STORE_UNAVAILABLE', detail: `The store refused the row: ${detail}` };
    candidate.sequence = 0;
  }
}

/** What the caller is told. */
export function outcomeOf(group: CandidateGroup): WriteOutcome {
  if (group instanceof PeerError) return group;
  const refusals: Refusal[] = [];
  let verdicts = '';
  for (const { verdict, row, index } of group) {
    verdicts += typeof verdict === 'string' ? verdict : 'r';
    if (typeof verdict !== 'string') refusals.push(refusalOf(row, index, verdict));
  }
  const isMarked = group[0]?.call.marks !== undefined;
  return { verdicts, refusals, ...(isMarked && { sequences: group.map(({ sequence }) => sequence) }) };
}
