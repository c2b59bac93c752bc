/**
 * Reads `index.txt`, the database of `openssl ca`: a line per certificate, six fields with tabs between them.
 *
 * @see OpenSSL manual, openssl-ca(1), "database" and `-crl_reason`
 */
import { PeerError } from '../errors.ts';
import { parseRevocationReason, REVOCATION_REASONS } from '../x509/revocation-reason.ts';

/** What a line says of a certificate. */
export interface IndexEntry {
  /** Upper-case hex, an even number of digits, as in the name of the certificate's file. */
  readonly serialNumber: string;
  /** undefined = it is valid or has expired. */
  readonly revocation:
    | {
        /** Epoch milliseconds. */
        readonly date: number;
        /** Code of RFC 5280. */
        readonly reason: number;
      }
    | undefined;
}

/** Reasons that are no names of RFC 5280; a time or an OID follows them. */
const OPENSSL_REASONS: Readonly<Record<string, number>> = {
  holdInstruction: REVOCATION_REASONS.certificateHold,
  keyTime: REVOCATION_REASONS.keyCompromise,
  CAkeyTime: REVOCATION_REASONS.cACompromise,
};

const FIELDS = 6;

/**
 * Reads one line.
 *
 * @throws PeerError ERR_INVALID_INPUT when it is none, or the date or reason of a revocation cannot be read: a
 *   revocation is never taken for something less
 */
export function readIndexLine(line: string): IndexEntry {
  const fields = line.split('\t');
  const [status = '', , revoked = '', serialNumber = ''] = fields;
  if (fields.length !== FIELDS) throw invalid(`has ${fields.length} fields with tabs between them, not ${FIELDS}`);
  if (!/^([0-9A-F]{2}){1,80}$/.test(serialNumber)) throw invalid('has no serial number in hex');
  if (status === 'R') return { serialNumber, revocation: readRevocation(revoked) };
  if ((status === 'V' || status === 'E') && revoked === '') return { serialNumber, revocation: undefined };
  throw invalid(`has the status "${status.slice(0, 10)}"${revoked === '' ? '' : ' and a date of revocation'}`);
}

function readRevocation(text: string) {
  const [time = '', reason] = text.split(',');
  return { date: readTime(time), reason: reason === undefined ? REVOCATION_REASONS.unspecified : readReason(reason) };
}

function readReason(text: string): number {
  const known = Object.hasOwn(OPENSSL_REASONS, text) ? OPENSSL_REASONS[text] : undefined;
  if (known !== undefined) return known;
  try {
    return parseRevocationReason(text);
  } catch (cause) {
    throw new PeerError('ERR_INVALID_INPUT', `has the reason "${text.slice(0, 50)}", which is none`, { cause });
  }
}

/** UTCTime or GeneralizedTime (RFC 5280 4.1.2.5). */
function readTime(text: string): number {
  const [, digits = ''] = /^(\d{12}|\d{14})Z$/.exec(text) ?? [];
  const century = digits.length === 14 ? '' : Number(digits.slice(0, 2)) < 50 ? '20' : '19';
  const full = `${century}${digits}`;
  const iso = full.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/, '$1-$2-$3T$4:$5:$6.000Z');
  const time = Date.parse(iso);
  // A day that a month does not have is moved to the next month by some parsers.
  if (Number.isNaN(time) || new Date(time).toISOString() !== iso)
    throw invalid(`has "${text.slice(0, 30)}" as date of revocation`);
  return time;
}

function invalid(detail: string): PeerError {
  return new PeerError('ERR_INVALID_INPUT', detail);
}
