/**
 * The publisher queue: what still has to reach which peer. A durable list of marks, not of payloads.
 *
 * A mark says "the peer may not have the newest state of this". What is sent is what stands when it is sent, so many
 * changes cost one publish and a stale state cannot overtake a newer one. Marks of certificates are written in the
 * transaction of the rows they speak of.
 *
 * @see EJBCA, Publishers Overview, publisher queue
 */
import { CERTIFICATE_STATUS, CERTIFICATE_TYPE } from './certificate-data.ts';
import type { RowColumns } from './certificate-row.ts';

/** What a mark may speak of, with the numbers of EJBCA's PublisherConst. */
export const MARK_KINDS = { certificate: 1, crl: 2 } as const;

/** One of MARK_KINDS. */
export type MarkKind = keyof typeof MARK_KINDS;

/** Names one mark; there is never more than one of the same name. */
export interface MarkName {
  /** Whom it waits for: the id of a peer connector, or those of a group, joined by `+`. */
  readonly peer: string;
  readonly kind: MarkKind;
  /** 40 lower-case hex digits: of the certificate, or of the CRL. */
  readonly fingerprint: string;
}

/** A mark as it stands. Times are epoch milliseconds. */
export interface QueueMark extends MarkName {
  /** Grows with every change in the store; tells whether an acknowledgement is about the newest one. */
  readonly sequence: number;
  /** Whether the certificate itself is wanted at the peer. */
  readonly withCertificate: boolean;
  /** Of the oldest change that has not been sent. */
  readonly addedAt: number;
  /** How often it was tried in vain. */
  readonly attempts: number;
  /** -1 = never. */
  readonly lastAttemptAt: number;
  /** Code of the last failure; empty = none. */
  readonly lastCode: string;
  readonly lastDetail: string;
  /** Since when it is left alone because the peer refused it for good; -1 = it is not. */
  readonly parkedAt: number;
}

/** Marks to be set for rows in the transaction that writes them. Plain data. */
export interface MarkOrder {
  readonly peers: readonly string[];
  /** false = what OCSP needs is enough; CA certificates go whole nevertheless. */
  readonly withCertificate: boolean;
  /** Rows that are not, and were not, revoked get no mark; those of CAs do. */
  readonly onlyRevoked: boolean;
}

/** Which marks come next. */
export interface DueQuestion {
  readonly peer: string;
  readonly kind: MarkKind;
  readonly now: number;
  readonly limit: number;
}

/** Those that were never tried in the order of their age, then those whose time has come again. */
export interface DueMarks {
  readonly marks: readonly QueueMark[];
  /** When the next one is due, if none is now; -1 = there is none. */
  readonly nextDueAt: number;
}

/**
 * What became of a mark that was tried:
 *
 * - `acknowledged`: the peer has it, or it is gone here. The mark goes, unless it was set anew meanwhile.
 * - `parked`: refused for good. Left alone until somebody asks for it, or the row changes.
 * - `delayed`: tried in vain; due again at `dueAt`.
 */
export interface MarkSettlement extends Pick<QueueMark, 'fingerprint' | 'sequence'> {
  readonly outcome: 'acknowledged' | 'parked' | 'delayed';
  readonly code: string;
  readonly detail: string;
  /** Epoch milliseconds; 0 = at once. */
  readonly dueAt: number;
}

/** Outcomes of marks of one peer and kind that were tried together. */
export interface SettleCall extends Pick<MarkName, 'peer' | 'kind'> {
  readonly settlements: readonly MarkSettlement[];
  /** When the marks were read: a change since then has not been sent. */
  readonly takenAt: number;
}

/** The queue of one peer in numbers. */
export interface QueueSummary {
  readonly peer: string;
  /** By age: less than a minute, 1 to 10, 10 to 60, more than 60 minutes. */
  readonly byAge: readonly [number, number, number, number];
  readonly waiting: number;
  readonly parked: number;
  /** Epoch milliseconds; -1 = none waits. */
  readonly oldest: number;
}

/** Which marks a command is about. */
export interface MarkSelection {
  readonly peer: string;
  readonly state: 'waiting' | 'parked' | 'all';
  /** Only these; undefined = any. */
  readonly fingerprints?: readonly string[];
}

/** Which marks to show. */
export interface MarkListRequest {
  /** undefined = of every peer. */
  readonly peer?: string;
  readonly state: MarkSelection['state'];
  /** `next` of the page before; empty = from the first. */
  readonly after: string;
  readonly limit: number;
}

/** Marks in the order of peer, kind and fingerprint. */
export interface MarkList {
  readonly marks: readonly QueueMark[];
  /** Where to go on; empty = that was all. */
  readonly next: string;
}

type MaybeLater<T> = T | Promise<T>;

/** What a store's engine does for the queue. Setting marks is part of writing rows (`WriteCall.marks`). */
export interface QueueEngine {
  dueMarks(question: DueQuestion): MaybeLater<DueMarks>;
  /** Applies outcomes in one transaction. */
  settleMarks(call: SettleCall): MaybeLater<void>;
  /** Every peer that has marks. */
  queueSummaries(now: number): MaybeLater<readonly QueueSummary[]>;
  listMarks(request: MarkListRequest): MaybeLater<MarkList>;
  /** Makes marks due at once, parked ones too; gives how many. */
  retryMarks(selection: MarkSelection): MaybeLater<number>;
  /** Forgets marks; gives how many. */
  removeMarks(selection: MarkSelection): MaybeLater<number>;
}

/** The queue as the rest of the program holds it. */
export type PublisherQueueStore = {
  readonly [K in keyof QueueEngine]: (
    ...parameters: Parameters<QueueEngine[K]>
  ) => Promise<Awaited<ReturnType<QueueEngine[K]>>>;
};

/** Oldest first, the ages at which the columns of EJBCA's queue length end, in milliseconds. */
export const AGE_LIMITS_MS = [60_000, 600_000, 3_600_000] as const;

/** No back-off is longer, so what is due later than that was set by a clock that went wrong. */
export const MAX_DELAY_MS = 600_000;

const REMOVE_FROM_CRL = 8;

type Publishable = Pick<RowColumns, 'status' | 'revocationReason' | 'type'>;

/** A CA certificate is always published, and whole: responders cannot answer without it. */
export function isCaRow({ type }: Pick<Publishable, 'type'>): boolean {
  return type === CERTIFICATE_TYPE.subCA || type === CERTIFICATE_TYPE.rootCA;
}

/**
 * Whether a VA that holds only revoked certificates needs this row: revoked, taken off hold (which must reach who has
 * heard of the hold), or of a CA.
 */
export function isForRevokedOnly(row: Publishable): boolean {
  if (isCaRow(row) || row.status === CERTIFICATE_STATUS.revoked) return true;
  return row.revocationReason === REMOVE_FROM_CRL || isArchivedRevocation(row);
}

/** Whether peers need to know of a change. @param wasRevoked whether what stood before was revoked */
export function isMarkWanted(row: Publishable, { peers, onlyRevoked }: MarkOrder, wasRevoked: boolean): boolean {
  return peers.length > 0 && (!onlyRevoked || wasRevoked || isForRevokedOnly(row));
}

function isArchivedRevocation({ status, revocationReason }: Publishable): boolean {
  return status === CERTIFICATE_STATUS.archived && revocationReason >= 0;
}
