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

type State = Pick<RowColumns, 'status' | 'revocationReason' | 'revocationDate'>;

/** Whether a state can never be undone: revoked other than on hold, also after its expiry (archived). */
export function isPermanentlyRevoked({ status, revocationReason, revocationDate }: State): boolean {
  if (revocationReason === CERTIFICATE_HOLD || revocationReason === REMOVE_FROM_CRL) return false;
  if (status === CERTIFICATE_STATUS.revoked) return true;
  return status === CERTIFICATE_STATUS.archived && revocationReason >= 0 && revocationDate >= 0;
}

/** Whether an incoming state takes the place of the one that stands. */
export function replaces(incoming: RowColumns, standing: RowColumns): boolean {
  const isPermanent = isPermanentlyRevoked(incoming);
  if (isPermanent !== isPermanentlyRevoked(standing)) return isPermanent;
  if (incoming.updateTime !== standing.updateTime) return incoming.updateTime > standing.updateTime;
  return rowDigest(incoming) > rowDigest(standing);
}
