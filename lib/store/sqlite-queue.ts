/**
 * The publisher queue in SQLite. Setting marks happens inside the transaction of whoever writes what they speak of;
 * everything else makes its own.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import type { RowColumns } from './certificate-row.ts';
import {
  AGE_LIMITS_MS,
  type DueMarks,
  type DueQuestion,
  isCaRow,
  isMarkWanted,
  MARK_KINDS,
  MAX_DELAY_MS,
  type MarkKind,
  type MarkList,
  type MarkListRequest,
  type MarkOrder,
  type MarkSelection,
  type QueueEngine,
  type QueueMark,
  type QueueSummary,
  type SettleCall,
} from './publisher-queue.ts';

/** The tables. */
export const QUEUE_TABLES = `
  CREATE TABLE IF NOT EXISTS PublisherQueue (
    peer TEXT NOT NULL,
    kind INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    withCertificate INTEGER NOT NULL,
    addedAt INTEGER NOT NULL,
    dueAt INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    lastAttemptAt INTEGER NOT NULL DEFAULT -1,
    lastCode TEXT NOT NULL DEFAULT '',
    lastDetail TEXT NOT NULL DEFAULT '',
    parkedAt INTEGER,
    PRIMARY KEY (peer, kind, fingerprint)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS PublisherQueue_due ON PublisherQueue (peer, kind, dueAt, addedAt, sequence)
    WHERE parkedAt IS NULL;
  CREATE INDEX IF NOT EXISTS PublisherQueue_age ON PublisherQueue (peer, addedAt) WHERE parkedAt IS NULL;
  CREATE INDEX IF NOT EXISTS PublisherQueue_parked ON PublisherQueue (peer) WHERE parkedAt IS NOT NULL;
  CREATE TABLE IF NOT EXISTS PublisherSequence (sequence INTEGER NOT NULL);
  INSERT INTO PublisherSequence SELECT 0 WHERE NOT EXISTS (SELECT * FROM PublisherSequence);
`;

const MARK =
  'peer, kind, fingerprint, sequence, withCertificate, addedAt, attempts, lastAttemptAt, lastCode, lastDetail, parkedAt';
const NAMED = 'peer = ? AND kind = ? AND fingerprint = ?';

const SQL = {
  /** A parked mark begins anew: what changed may be taken now. */
  mark:
    'INSERT INTO PublisherQueue (peer, kind, fingerprint, sequence, withCertificate, addedAt) VALUES (?,?,?,?,?,?) ' +
    'ON CONFLICT (peer, kind, fingerprint) DO UPDATE SET sequence = excluded.sequence, dueAt = 0, ' +
    'withCertificate = max(withCertificate, excluded.withCertificate), ' +
    'addedAt = iif(parkedAt IS NULL, addedAt, excluded.addedAt), attempts = iif(parkedAt IS NULL, attempts, 0), ' +
    'parkedAt = NULL',
  /** What was for one CRL is for the one in its place; the peer has waited as long as before. */
  move:
    'UPDATE OR REPLACE PublisherQueue SET fingerprint = ?, sequence = ?, dueAt = 0, ' +
    'addedAt = iif(parkedAt IS NULL, addedAt, ?), attempts = iif(parkedAt IS NULL, attempts, 0), parkedAt = NULL ' +
    `WHERE ${NAMED}`,
  /** Never reused: an acknowledgement that comes late must not meet its number again. */
  takeSequence: 'UPDATE PublisherSequence SET sequence = sequence + 1 RETURNING sequence',
  due:
    `SELECT ${MARK} FROM PublisherQueue WHERE peer = ? AND kind = ? AND parkedAt IS NULL AND dueAt <= ? ` +
    'ORDER BY dueAt, addedAt, sequence LIMIT ?',
  /** Set by a clock that has been put back since. */
  dueFarAhead: 'UPDATE PublisherQueue SET dueAt = 0 WHERE peer = ? AND kind = ? AND parkedAt IS NULL AND dueAt > ?',
  nextDue: 'SELECT min(dueAt) AS dueAt FROM PublisherQueue WHERE peer = ? AND kind = ? AND parkedAt IS NULL',
  remove: `DELETE FROM PublisherQueue WHERE ${NAMED} AND sequence = ?`,
  /** Set anew while the former state was under way. */
  renew: `UPDATE PublisherQueue SET addedAt = max(addedAt, ?), attempts = 0, lastCode = '', lastDetail = '' WHERE ${NAMED}`,
  park:
    'UPDATE PublisherQueue SET parkedAt = ?, attempts = attempts + 1, lastAttemptAt = ?, lastCode = ?, lastDetail = ? ' +
    `WHERE ${NAMED} AND sequence = ?`,
  delay:
    'UPDATE PublisherQueue SET dueAt = ?, attempts = attempts + 1, lastAttemptAt = ?, lastCode = ?, lastDetail = ? ' +
    `WHERE ${NAMED} AND sequence = ?`,
  nextPeer: 'SELECT min(peer) AS peer FROM PublisherQueue WHERE peer > ?',
  countWaiting:
    'SELECT count(*) AS n FROM PublisherQueue WHERE peer = ? AND parkedAt IS NULL AND addedAt > ? AND addedAt <= ?',
  countParked: 'SELECT count(*) AS n FROM PublisherQueue WHERE peer = ? AND parkedAt IS NOT NULL',
  oldest: 'SELECT min(addedAt) AS addedAt FROM PublisherQueue WHERE peer = ? AND parkedAt IS NULL',
} as const;

const STATES = { waiting: 'parkedAt IS NULL', parked: 'parkedAt IS NOT NULL', all: 'TRUE' } as const;
const MAX_DETAIL_LENGTH = 500;
const KIND_NAMES = new Map<unknown, MarkKind>(
  Object.entries(MARK_KINDS).map(([kind, number]) => [number, kind as MarkKind]),
);

/** Statements over one open database. */
export class SqliteQueue implements QueueEngine {
  readonly #db: DatabaseSync;
  readonly #sql: { readonly [K in keyof typeof SQL]: StatementSync };

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#sql = Object.fromEntries(Object.entries(SQL).map(([name, sql]) => [name, db.prepare(sql)])) as never;
  }

  /**
   * Puts a row on the queues of peers, within the transaction that writes it.
   *
   * @param change whether the row was revoked before, and when it changed
   * @returns the sequence of the change, 0 when the peers need not know of it
   */
  markRow(
    row: RowColumns,
    order: MarkOrder,
    { wasRevoked, addedAt }: { readonly wasRevoked: boolean; readonly addedAt: number },
  ): number {
    if (!isMarkWanted(row, order, wasRevoked)) return 0;
    const wanted = { fingerprint: row.fingerprint, withCertificate: order.withCertificate || isCaRow(row) };
    return this.mark(order.peers, 'certificate', wanted, addedAt);
  }

  /** Sets marks of one change, or sets them anew, within a transaction; gives the sequence of the change. */
  mark(
    peers: readonly string[],
    kind: MarkKind,
    { fingerprint, withCertificate }: { readonly fingerprint: Uint8Array; readonly withCertificate: boolean },
    addedAt: number,
  ): number {
    const sequence = Number(this.#sql.takeSequence.get()?.['sequence']);
    for (const peer of peers)
      this.#sql.mark.run(peer, MARK_KINDS[kind], fingerprint, sequence, withCertificate ? 1 : 0, addedAt);
    return sequence;
  }

  /**
   * Sets marks of a CRL, within the transaction that writes it; those of the ones before become marks of it, also for
   * peers that are not named.
   *
   * @returns the sequence of the change
   */
  markCrl(
    peers: readonly string[],
    { fingerprint, former }: { readonly fingerprint: Uint8Array; readonly former: readonly Uint8Array[] },
    addedAt: number,
  ): number {
    const sequence = this.mark(peers, 'crl', { fingerprint, withCertificate: false }, addedAt);
    for (let peer = this.#peerAfter(''); peer !== undefined; peer = this.#peerAfter(peer)) {
      for (const each of former) this.#sql.move.run(fingerprint, sequence, addedAt, peer, MARK_KINDS.crl, each);
    }
    return sequence;
  }

  dueMarks({ peer, kind, now, limit }: DueQuestion): DueMarks {
    const number = MARK_KINDS[kind];
    const read = (): QueueMark[] => this.#sql.due.all(peer, number, now, limit).map(markOf);
    const marks = read();
    if (marks.length > 0) return { marks, nextDueAt: -1 };
    const nextDueAt = Number(this.#sql.nextDue.get(peer, number)?.['dueAt'] ?? -1);
    if (nextDueAt <= now + MAX_DELAY_MS) return { marks, nextDueAt };
    this.#sql.dueFarAhead.run(peer, number, now + MAX_DELAY_MS);
    return { marks: read(), nextDueAt: -1 };
  }

  settleMarks({ peer, kind, settlements, takenAt }: SettleCall): void {
    this.#transact(() => {
      for (const { fingerprint, sequence, outcome, code, detail, dueAt } of settlements) {
        const name = [peer, MARK_KINDS[kind], Buffer.from(fingerprint, 'hex')] as const;
        const cause = [code, detail.slice(0, MAX_DETAIL_LENGTH)] as const;
        if (outcome === 'parked') this.#sql.park.run(takenAt, takenAt, ...cause, ...name, sequence);
        else if (outcome === 'delayed') this.#sql.delay.run(dueAt, takenAt, ...cause, ...name, sequence);
        else if (this.#sql.remove.run(...name, sequence).changes === 0) this.#sql.renew.run(takenAt, ...name);
      }
    });
  }

  queueSummaries(now: number): readonly QueueSummary[] {
    const summaries: QueueSummary[] = [];
    for (let peer = this.#peerAfter(''); peer !== undefined; peer = this.#peerAfter(peer)) {
      summaries.push(this.#summary(peer, now));
    }
    return summaries;
  }

  listMarks({ peer, state, after, limit }: MarkListRequest): MarkList {
    const [afterPeer = '', kind = '0', fingerprint = ''] = after.split(' ');
    const ofPeer = peer === undefined ? 'TRUE' : 'peer = ?';
    const sql =
      `SELECT ${MARK} FROM PublisherQueue WHERE (peer, kind, fingerprint) > (?, ?, ?) ` +
      `AND ${STATES[state]} AND ${ofPeer} ORDER BY peer, kind, fingerprint LIMIT ?`;
    const position = [afterPeer, Number(kind), Buffer.from(fingerprint, 'hex')];
    const rows = this.#db.prepare(sql).all(...position, ...(peer === undefined ? [] : [peer]), limit);
    const marks = rows.map(markOf);
    const last = marks.at(-1);
    const isAll = last === undefined || marks.length < limit;
    return { marks, next: isAll ? '' : `${last.peer} ${MARK_KINDS[last.kind]} ${last.fingerprint}` };
  }

  retryMarks(selection: MarkSelection): number {
    return this.#change('UPDATE PublisherQueue SET parkedAt = NULL, dueAt = 0, attempts = 0', selection);
  }

  removeMarks(selection: MarkSelection): number {
    return this.#change('DELETE FROM PublisherQueue', selection);
  }

  #peerAfter(peer: string): string | undefined {
    const next = this.#sql.nextPeer.get(peer)?.['peer'];
    return typeof next === 'string' ? next : undefined;
  }

  #summary(peer: string, now: number): QueueSummary {
    const [minute, tenMinutes, hour] = AGE_LIMITS_MS.map((age) => now - age) as [number, number, number];
    const count = (from: number, to: number): number => Number(this.#sql.countWaiting.get(peer, from, to)?.['n']);
    const byAge = [
      count(minute, Number.MAX_SAFE_INTEGER),
      count(tenMinutes, minute),
      count(hour, tenMinutes),
      count(Number.MIN_SAFE_INTEGER, hour),
    ] as const;
    const oldest = Number(this.#sql.oldest.get(peer)?.['addedAt'] ?? -1);
    const waiting = byAge.reduce((sum, n) => sum + n, 0);
    return { peer, byAge: [...byAge], waiting, parked: Number(this.#sql.countParked.get(peer)?.['n']), oldest };
  }

  #change(verb: string, { peer, state, fingerprints }: MarkSelection): number {
    const condition = `peer = ? AND ${STATES[state]}`;
    const run = (sql: string, ...values: SQLInputValue[]): number =>
      Number(this.#db.prepare(sql).run(...values).changes);
    if (fingerprints === undefined) return this.#transact(() => run(`${verb} WHERE ${condition}`, peer));
    return this.#transact(() =>
      fingerprints.reduce(
        (sum, each) => sum + run(`${verb} WHERE ${condition} AND fingerprint = ?`, peer, Buffer.from(each, 'hex')),
        0,
      ),
    );
  }

  #transact<T>(work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE');
    const result = work();
    this.#db.exec('COMMIT');
    return result;
  }
}

function markOf(row: Record<string, unknown>): QueueMark {
  return {
    ...(row as unknown as QueueMark),
    kind: KIND_NAMES.get(row['kind']) ?? 'certificate',
    fingerprint: Buffer.from(row['fingerprint'] as Uint8Array).toString('hex'),
    withCertificate: row['withCertificate'] === 1,
    parkedAt: Number(row['parkedAt'] ?? -1),
  };
}
