/**
 * The publisher queue in PostgreSQL. Setting marks happens inside the transaction that writes what they speak of;
 * everything else makes its own.
 *
 * Sequences come from a sequence of the database, taken while the certificate's row is locked: of two changes of one
 * certificate the later one has the higher number, whichever instance made it. Numbers that a failed transaction took
 * are missing, and a lower number may become visible after a higher one of another certificate. Neither matters: marks
 * are found by when they are due, and acknowledged by equality.
 */

import type { PostgresConnection } from './postgres-connection.ts';
import { bytesOf } from './postgres-row.ts';
import type { PostgresRow, PostgresSession } from './postgres-session.ts';
import {
  AGE_LIMITS_MS,
  type DueMarks,
  type DueQuestion,
  MARK_KINDS,
  MAX_DELAY_MS,
  type MarkKind,
  type MarkList,
  type MarkListRequest,
  type MarkSelection,
  type MarkSettlement,
  type QueueEngine,
  type QueueMark,
  type QueueSummary,
  type SettleCall,
} from './publisher-queue.ts';

/** A mark to be set. */
export interface MarkToSet extends Pick<QueueMark, 'peer' | 'sequence' | 'withCertificate' | 'addedAt'> {
  readonly fingerprint: Uint8Array;
}

const MARK =
  'peer, kind, fingerprint, sequence, withCertificate, addedAt, attempts, lastAttemptAt, lastCode, lastDetail, parkedAt';
/** Settlements as rows: named marks of one peer and kind. */
const SETTLED = 'q.peer = $1 AND q.kind = $2 AND q.fingerprint = s.fingerprint';
const SETTLED_ROWS =
  'unnest($3::BYTEA[], $4::BIGINT[], $5::TEXT[], $6::TEXT[], $7::BIGINT[]) AS s (fingerprint, sequence, code, detail, dueAt)';
const TRIED = 'attempts = attempts + 1, lastAttemptAt = $8, lastCode = s.code, lastDetail = s.detail';

const SQL = {
  /** A parked mark begins anew: what changed may be taken now. */
  mark:
    'INSERT INTO PublisherQueue AS q (peer, kind, fingerprint, sequence, withCertificate, addedAt) ' +
    `SELECT peer, $1::INTEGER, fingerprint, sequence, withCertificate, addedAt ` +
    'FROM unnest($2::TEXT[], $3::BYTEA[], $4::BIGINT[], $5::BOOLEAN[], $6::BIGINT[]) ' +
    'AS m (peer, fingerprint, sequence, withCertificate, addedAt) ' +
    'ON CONFLICT (peer, kind, fingerprint) DO UPDATE SET sequence = excluded.sequence, dueAt = 0, ' +
    'withCertificate = q.withCertificate OR excluded.withCertificate, ' +
    'addedAt = CASE WHEN q.parkedAt IS NULL THEN q.addedAt ELSE excluded.addedAt END, ' +
    'attempts = CASE WHEN q.parkedAt IS NULL THEN q.attempts ELSE 0 END, parkedAt = NULL',
  takeSequences: "SELECT nextval('PublisherSequence') FROM generate_series(1, $1)",
  due:
    `SELECT ${MARK} FROM PublisherQueue WHERE peer = $1 AND kind = $2 AND parkedAt IS NULL AND dueAt <= $3 ` +
    'ORDER BY dueAt, addedAt, sequence LIMIT $4',
  /** Set by a clock that has been put back since. */
  dueFarAhead: 'UPDATE PublisherQueue SET dueAt = 0 WHERE peer = $1 AND kind = $2 AND parkedAt IS NULL AND dueAt > $3',
  nextDue: 'SELECT min(dueAt) FROM PublisherQueue WHERE peer = $1 AND kind = $2 AND parkedAt IS NULL',
  acknowledged:
    'DELETE FROM PublisherQueue q USING unnest($3::BYTEA[], $4::BIGINT[]) AS s (fingerprint, sequence) ' +
    `WHERE ${SETTLED} AND q.sequence = s.sequence`,
  /** Set anew while the former state was under way. */
  renew:
    "UPDATE PublisherQueue q SET addedAt = greatest(q.addedAt, $5), attempts = 0, lastCode = '', lastDetail = '' " +
    `FROM unnest($3::BYTEA[], $4::BIGINT[]) AS s (fingerprint, sequence) WHERE ${SETTLED} AND q.sequence <> s.sequence`,
  parked:
    `UPDATE PublisherQueue q SET parkedAt = $8, ${TRIED} FROM ${SETTLED_ROWS} ` +
    `WHERE ${SETTLED} AND q.sequence = s.sequence`,
  delayed:
    `UPDATE PublisherQueue q SET dueAt = s.dueAt, ${TRIED} FROM ${SETTLED_ROWS} ` +
    `WHERE ${SETTLED} AND q.sequence = s.sequence`,
  summaries:
    'SELECT peer, count(*) FILTER (WHERE parkedAt IS NULL AND addedAt > $1), ' +
    'count(*) FILTER (WHERE parkedAt IS NULL AND addedAt <= $1 AND addedAt > $2), ' +
    'count(*) FILTER (WHERE parkedAt IS NULL AND addedAt <= $2 AND addedAt > $3), ' +
    'count(*) FILTER (WHERE parkedAt IS NULL AND addedAt <= $3), count(*) FILTER (WHERE parkedAt IS NOT NULL), ' +
    'min(addedAt) FILTER (WHERE parkedAt IS NULL) FROM PublisherQueue GROUP BY peer ORDER BY peer',
} as const;

const STATES = { waiting: 'parkedAt IS NULL', parked: 'parkedAt IS NOT NULL', all: 'TRUE' } as const;
const MAX_DETAIL_LENGTH = 500;
const KIND_NAMES = new Map<unknown, MarkKind>(
  Object.entries(MARK_KINDS).map(([kind, number]) => [number, kind as MarkKind]),
);

/** Numbers for so many changes, in their order. */
export async function takeSequences(session: PostgresSession, count: number): Promise<readonly number[]> {
  if (count === 0) return [];
  return (await session.query(SQL.takeSequences, [count])).map(([sequence]) => sequence as number);
}

/** Sets marks, or sets them anew, within a transaction; no two of one peer and fingerprint, in their order. */
export async function setMarks(session: PostgresSession, kind: MarkKind, marks: readonly MarkToSet[]): Promise<void> {
  if (marks.length === 0) return;
  await session.query(SQL.mark, [
    MARK_KINDS[kind],
    marks.map(({ peer }) => peer),
    marks.map(({ fingerprint }) => fingerprint),
    marks.map(({ sequence }) => sequence),
    marks.map(({ withCertificate }) => withCertificate),
    marks.map(({ addedAt }) => addedAt),
  ]);
}

/** Statements over one database. */
export class PostgresQueue implements QueueEngine {
  readonly #reading: PostgresConnection;
  readonly #writing: PostgresConnection;

  constructor(reading: PostgresConnection, writing: PostgresConnection) {
    this.#reading = reading;
    this.#writing = writing;
  }

  dueMarks({ peer, kind, now, limit }: DueQuestion): Promise<DueMarks> {
    const name = [peer, MARK_KINDS[kind]];
    return this.#reading.use(async (session) => {
      const read = async () => (await session.query(SQL.due, [...name, now, limit])).map(markOf);
      const marks = await read();
      if (marks.length > 0) return { marks, nextDueAt: -1 };
      const nextDueAt = numberOr((await session.query(SQL.nextDue, name))[0]?.[0]);
      if (nextDueAt <= now + MAX_DELAY_MS) return { marks, nextDueAt };
      await session.query(SQL.dueFarAhead, [...name, now + MAX_DELAY_MS]);
      return { marks: await read(), nextDueAt: -1 };
    });
  }

  async settleMarks({ peer, kind, settlements, takenAt }: SettleCall): Promise<void> {
    const name = [peer, MARK_KINDS[kind]];
    const of = (outcome: MarkSettlement['outcome']) =>
      columnsOf(settlements.filter((each) => each.outcome === outcome));
    const acknowledged = of('acknowledged').slice(0, 2);
    await this.#writing.repeat((session) =>
      session.transact(async () => {
        // A statement of its own, so that it sees what a writer has done whom the first one had to wait for.
        await session.query(SQL.acknowledged, [...name, ...acknowledged]);
        await session.query(SQL.renew, [...name, ...acknowledged, takenAt]);
        await session.query(SQL.parked, [...name, ...of('parked'), takenAt]);
        await session.query(SQL.delayed, [...name, ...of('delayed'), takenAt]);
      }),
    );
  }

  async queueSummaries(now: number): Promise<readonly QueueSummary[]> {
    const limits = AGE_LIMITS_MS.map((age) => now - age);
    const rows = await this.#reading.use((session) => session.query(SQL.summaries, limits));
    return rows.map(([peer, ...numbers]) => {
      const [minute = 0, tenMinutes = 0, hour = 0, older = 0, parked = 0] = numbers as number[];
      const byAge = [minute, tenMinutes, hour, older] as const;
      const waiting = byAge.reduce((sum, n) => sum + n, 0);
      return { peer: peer as string, byAge: [...byAge], waiting, parked, oldest: numberOr(numbers[5]) };
    });
  }

  async listMarks({ peer, state, after, limit }: MarkListRequest): Promise<MarkList> {
    const [afterPeer = '', kind = '0', fingerprint = ''] = after.split(' ');
    const sql =
      `SELECT ${MARK} FROM PublisherQueue WHERE (peer, kind, fingerprint) > ($1, $2, $3) ` +
      `AND ${STATES[state]} AND ($4::TEXT IS NULL OR peer = $4) ORDER BY peer, kind, fingerprint LIMIT $5`;
    const values = [afterPeer, Number(kind), Buffer.from(fingerprint, 'hex'), peer ?? null, limit];
    const marks = (await this.#reading.use((session) => session.query(sql, values))).map(markOf);
    const last = marks.at(-1);
    const isAll = last === undefined || marks.length < limit;
    return { marks, next: isAll ? '' : `${last.peer} ${MARK_KINDS[last.kind]} ${last.fingerprint}` };
  }

  retryMarks(selection: MarkSelection): Promise<number> {
    return this.#change('UPDATE PublisherQueue SET parkedAt = NULL, dueAt = 0, attempts = 0', selection);
  }

  removeMarks(selection: MarkSelection): Promise<number> {
    return this.#change('DELETE FROM PublisherQueue', selection);
  }

  async #change(verb: string, { peer, state, fingerprints }: MarkSelection): Promise<number> {
    const sql =
      `WITH changed AS (${verb} WHERE peer = $1 AND ${STATES[state]} ` +
      'AND ($2::BYTEA[] IS NULL OR fingerprint = ANY ($2)) RETURNING 1) SELECT count(*) FROM changed';
    const values = [peer, fingerprints?.map((each) => Buffer.from(each, 'hex')) ?? null];
    const rows = await this.#writing.repeat((session) => session.transact(() => session.query(sql, values)));
    return rows[0]?.[0] as number;
  }
}

/** fingerprint, sequence, code, detail, dueAt */
function columnsOf(settlements: readonly MarkSettlement[]) {
  return [
    settlements.map(({ fingerprint }) => Buffer.from(fingerprint, 'hex')),
    settlements.map(({ sequence }) => sequence),
    settlements.map(({ code }) => code),
    settlements.map(({ detail }) => detail.slice(0, MAX_DETAIL_LENGTH).replaceAll('\0', '')),
    settlements.map(({ dueAt }) => dueAt),
  ] as const;
}

function numberOr(value: unknown): number {
  return typeof value === 'number' ? value : -1;
}

function markOf(row: PostgresRow): QueueMark {
  const [peer, kind, fingerprint, sequence, withCertificate, addedAt, attempts, lastAttemptAt, code, detail] = row;
  return {
    peer: peer as string,
    kind: KIND_NAMES.get(kind) ?? 'certificate',
    fingerprint: bytesOf(fingerprint).toString('hex'),
    sequence: sequence as number,
    withCertificate: withCertificate === true,
    addedAt: addedAt as number,
    attempts: attempts as number,
    lastAttemptAt: lastAttemptAt as number,
    lastCode: code as string,
    lastDetail: detail as string,
    parkedAt: numberOr(row[10]),
  };
}
