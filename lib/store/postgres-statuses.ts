/**
 * How certificates stand, from PostgreSQL: any number of questions in one statement.
 */
import { hash } from 'node:crypto';
import {
  type CertificateQuestion,
  type CertificateStatus,
  MAX_SAME_SERIAL,
  type StatusesOf,
} from './certificate-status.ts';
import { digitsOf } from './postgres-row.ts';
import type { PostgresRow, PostgresSession } from './postgres-session.ts';

/** The limit also keeps the planner to one look into the index for each question, whatever it believes of the tables. */
const STATUSES =
  'SELECT asked.position, found.* ' +
  'FROM unnest($1::BYTEA[], $2::BYTEA[]) WITH ORDINALITY AS asked (issuerHash, serialNumber, position) ' +
  'JOIN Issuer ON Issuer.issuerHash = asked.issuerHash CROSS JOIN LATERAL (' +
  'SELECT status, revocationReason, revocationDate, updateTime, expireDate, cAFingerprint FROM CertificateData ' +
  'WHERE CertificateData.serialNumber = asked.serialNumber AND CertificateData.issuerId = Issuer.issuerId ' +
  `LIMIT ${MAX_SAME_SERIAL}) AS found`;

/**
 * All rows of each certificate asked about, in the order of the questions: those of every commit that was acknowledged
 * to anybody before this was asked.
 */
export async function readStatuses(
  session: PostgresSession,
  questions: readonly CertificateQuestion[],
): Promise<StatusesOf> {
  const names = new Set(questions.map(({ issuerDN }) => issuerDN));
  const hashOf = new Map([...names].map((dn) => [dn, hash('sha256', dn, 'buffer')]));
  const hashes = questions.map(({ issuerDN }) => hashOf.get(issuerDN) ?? null);
  const rows = await session.query(STATUSES, [hashes, questions.map(({ serialNumber }) => serialNumber)]);
  const statuses: CertificateStatus[][] = questions.map(() => []);
  for (const [position, ...columns] of rows) statuses[(position as number) - 1]?.push(statusOf(columns));
  return statuses;
}

function statusOf([status, revocationReason, revocationDate, updateTime, expireDate, cAFingerprint]: PostgresRow) {
  const caFingerprint = digitsOf(cAFingerprint as string | null);
  return { status, revocationReason, revocationDate, updateTime, expireDate, caFingerprint } as CertificateStatus;
}
