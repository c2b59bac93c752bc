/**
 * Which of two states of one certificate stands: a rule that gives the same result in any order and
 * under any repetition, so that all stores converge.
 *
 * A permanent revocation beats what is none, whatever the times. Then the newer updateTime wins. At
 * equal times the greater digest does. The certificate itself is not part of it: it is added where it
 * is missing and never taken away.
 */
import { CERTIFICATE_STATUS } from './certificate-data.ts';
import { type RowColumns, rowDigest } from './certificate-row.ts';

const CERTIFICATE_HOLD = 6;
const REMOVE_FROM_CRL = 8;

type Revocation = Pick<RowColumns, 'status' | 'revocationReason' | 'revocationDate'>;
type State = Revocation & Pick<RowColumns, 'updateTime'>;

/** Whether a state can never be undone: revoked other than on hold, also after its expiry (archived). */
export function isPermanentlyRevoked({ status, revocationReason, revocationDate }: Revocation): boolean {
  if (revocationReason === CERTIFICATE_HOLD || revocationReason === REMOVE_FROM_CRL) return false;
  if (status === CERTIFICATE_STATUS.revoked) return true;
  return status === CERTIFICATE_STATUS.archived && revocationReason >= 0 && revocationDate >= 0;
}

/** Whether an incoming state takes the place of the one that stands. */
export function replaces(incoming: RowColumns, standing: RowColumns): boolean {
  return replacesByTime(incoming, standing) ?? rowDigest(incoming) > rowDigest(standing);
}

/** The same, as far as it can be told without the whole rows; undefined = their digests decide. */
export function replacesByTime(incoming: State, standing: State): boolean | undefined {
  const isPermanent = isPermanentlyRevoked(incoming);
  if (isPermanent !== isPermanentlyRevoked(standing)) return isPermanent;
  if (incoming.updateTime !== standing.updateTime) return incoming.updateTime > standing.updateTime;
  return undefined;
}
