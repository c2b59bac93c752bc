/**
 * Which CRL may take the place of which: pure rules over two rows.
 *
 * A CRL goes forward or not at all, because a replayed old one would make revoked certificates good again.
 */
import { PeerError } from '../errors.ts';
import type { IssuingDistributionPoint } from '../x509/crl-extensions.ts';
import type { StoredCrl } from './crl-data.ts';

/** What is known of a CRL before its entries were read. */
export type CrlCandidate = Omit<StoredCrl, 'fingerprint' | 'entries' | 'cAFingerprint'>;

/** Clocks differ; a CRL from the future by more than this would bar the way for all that come before. */
const CLOCK_SKEW_MS = 300_000;

/** Whether a CRL is a delta CRL. */
export function isDelta({ deltaCRLIndicator }: Pick<StoredCrl, 'deltaCRLIndicator'>): boolean {
  return deltaCRLIndicator !== '-1';
}

/** The one with the same partition and kind. */
export function counterpart(crl: CrlCandidate, standing: readonly StoredCrl[]): StoredCrl | undefined {
  return standing.find((other) => other.crlPartitionIndex === crl.crlPartitionIndex && isDelta(other) === isDelta(crl));
}

/**
 * Refuses a CRL that must not stand by itself: without an end, expired, of the future, of a partition that it does not
 * name.
 *
 * @throws PeerError ERR_INVALID_CRL, ERR_CRL_TOO_OLD
 */
export function judgeAlone(crl: CrlCandidate, now: number): void {
  if (crl.nextUpdate < 0) throw invalid(crl, 'has no nextUpdate (RFC 5280 5.1.2.5)');
  if (crl.nextUpdate < crl.thisUpdate) throw invalid(crl, 'ends before it begins');
  if (crl.thisUpdate > now + CLOCK_SKEW_MS) throw invalid(crl, `begins in the future, ${iso(crl.thisUpdate)}`);
  if (crl.nextUpdate < now) throw tooOld(crl, `has expired, ${iso(crl.nextUpdate)}`);
  if (isDelta(crl) && crl.cRLNumber === '-1') throw invalid(crl, 'is a delta CRL without number');
  if (isDelta(crl) && BigInt(crl.cRLNumber) < BigInt(crl.deltaCRLIndicator))
    throw invalid(crl, 'is a delta CRL with a number below that of its base');
  if (crl.crlPartitionIndex > 0 && crl.issuingDistributionPoint === null)
    throw invalid(crl, `has no issuing distribution point, so it is not that of partition ${crl.crlPartitionIndex}`);
}

/**
 * Refuses a CRL that must not stand beside, or in the place of, those that are there.
 *
 * @param standing all CRLs of the issuer
 * @param isVerified whether the signature of the CRL is checked; one that stands unchecked binds no checked one
 * @throws PeerError ERR_INVALID_CRL, ERR_CRL_TOO_OLD, ERR_CRL_BASE_MISSING
 */
export function judgeAmong(
  crl: CrlCandidate,
  standing: readonly StoredCrl[],
  { isVerified, now }: { readonly isVerified: boolean; readonly now: number },
): void {
  const binding = standing.filter(({ cAFingerprint }) => !isVerified || cAFingerprint !== null);
  const before = counterpart(crl, binding);
  if (before !== undefined) judgeProgress(crl, before);
  if (isDelta(crl)) judgeBase(crl, standing);
  // A CA may move its distribution points once the CRLs of the old ones have run out.
  judgeScope(
    crl,
    binding.filter(({ nextUpdate }) => nextUpdate >= now),
  );
}

function judgeProgress(crl: CrlCandidate, before: StoredCrl): void {
  if (crl.thisUpdate < before.thisUpdate)
    throw tooOld(crl, `is of ${iso(crl.thisUpdate)}; one of ${iso(before.thisUpdate)} is stored`);
  const isUnnumbered = crl.cRLNumber === '-1' && before.cRLNumber === '-1';
  const goesForward = isUnnumbered
    ? crl.thisUpdate > before.thisUpdate
    : BigInt(crl.cRLNumber) > BigInt(before.cRLNumber);
  if (!goesForward) throw tooOld(crl, `does not go on from number ${before.cRLNumber}, which is stored`);
}

/** A delta CRL applies to full ones from its base up to its own number (RFC 5280 5.2.4). */
function judgeBase(crl: CrlCandidate, standing: readonly StoredCrl[]): void {
  const base = standing.find((other) => !isDelta(other) && other.crlPartitionIndex === crl.crlPartitionIndex);
  if (base === undefined || BigInt(base.cRLNumber) < BigInt(crl.deltaCRLIndicator)) {
    const stored = base === undefined ? 'no full CRL is stored' : `number ${base.cRLNumber} is stored`;
    throw new PeerError(
      'ERR_CRL_BASE_MISSING',
      `${nameOf(crl)} builds on full CRL number ${crl.deltaCRLIndicator}; ${stored}`,
    );
  }
  if (BigInt(base.cRLNumber) > BigInt(crl.cRLNumber))
    throw tooOld(crl, `is older than the full CRL number ${base.cRLNumber}, which is stored`);
  if (!isSameScope(crl.issuingDistributionPoint, base.issuingDistributionPoint))
    throw invalid(crl, 'has another issuing distribution point than the full CRL');
}

/** The same partition has the same distribution point, another partition another one. */
function judgeScope(crl: CrlCandidate, standing: readonly StoredCrl[]): void {
  for (const other of standing) {
    const isSame = isSameScope(crl.issuingDistributionPoint, other.issuingDistributionPoint);
    const isSamePartition = other.crlPartitionIndex === crl.crlPartitionIndex;
    if (isSamePartition && !isSame)
      throw invalid(crl, `has another issuing distribution point than the one that is stored for its partition`);
    if (!isSamePartition && isSame)
      throw invalid(crl, `has the issuing distribution point of partition ${other.crlPartitionIndex}`);
  }
}

/** Whether two CRLs speak for the same certificates: the same restrictions and a name in common (RFC 5280 6.3.3). */
function isSameScope(a: IssuingDistributionPoint | null, b: IssuingDistributionPoint | null): boolean {
  if (a === null || b === null) return a === b;
  if (a.only !== b.only || a.onlySomeReasons !== b.onlySomeReasons) return false;
  return a.names.length === 0 && b.names.length === 0 ? true : a.names.some((name) => b.names.includes(name));
}

function nameOf({ issuerDN, cRLNumber, crlPartitionIndex, deltaCRLIndicator }: CrlCandidate): string {
  const number = cRLNumber === '-1' ? '' : ` number ${cRLNumber}`;
  const partition = crlPartitionIndex === 0 ? '' : `, partition ${crlPartitionIndex},`;
  return `The ${deltaCRLIndicator === '-1' ? '' : 'delta '}CRL${number}${partition} of ${issuerDN}`;
}

function invalid(crl: CrlCandidate, detail: string): PeerError {
  return new PeerError('ERR_INVALID_CRL', `${nameOf(crl)} ${detail}`);
}

function tooOld(crl: CrlCandidate, detail: string): PeerError {
  return new PeerError('ERR_CRL_TOO_OLD', `${nameOf(crl)} ${detail}`);
}

function iso(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
