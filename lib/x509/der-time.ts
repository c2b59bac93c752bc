/** Reads UTCTime and GeneralizedTime, also in the odd forms real certificates hold (X.690 11.7, 11.8). */
import { TAG } from './der.ts';

/** What an unreadable time reads as; EJBCA's "unknown". */
export const UNKNOWN_TIME = -1;

const MINUTE_MS = 60_000;
const DAYS_IN_MONTH = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/**
 * Epoch milliseconds of a time between two positions; UNKNOWN_TIME when it is not readable.
 *
 * Accepted beyond RFC 5280 4.1.2.5: no seconds, no minutes (GeneralizedTime), fractions of a second, an offset
 * instead of `Z`, no zone at all (taken as UTC). A two-digit year from 50 is of the 20th century.
 */
export function readTime(bytes: Uint8Array, tag: number, start: number, end: number): number {
  let at = start;
  let valid = tag === TAG.utcTime || tag === TAG.generalizedTime;

  function isDigit(position: number): boolean {
    const octet = position < end ? (bytes[position] ?? 0) : 0;
    return octet >= 0x30 && octet <= 0x39;
  }
  function pair(): number {
    if (!isDigit(at) || !isDigit(at + 1)) valid = false;
    const value = ((bytes[at] ?? 0) - 0x30) * 10 + (bytes[at + 1] ?? 0) - 0x30;
    at += 2;
    return value;
  }

  const century = tag === TAG.generalizedTime ? pair() * 100 : undefined;
  const yearOfCentury = pair();
  const year = (century ?? (yearOfCentury >= 50 ? 1900 : 2000)) + yearOfCentury;
  const month = pair();
  const day = pair();
  const hour = pair();
  const minute = tag === TAG.utcTime || isDigit(at) ? pair() : 0;
  const hasSeconds = isDigit(at);
  const second = hasSeconds ? pair() : 0;
  if (!valid || !isDate(year, month, day) || hour > 23 || minute > 59 || second > 59) return UNKNOWN_TIME;

  const tail = at === end - 1 && bytes[at] === 0x5a ? 0 : readTail(bytes, at, end, hasSeconds);
  if (tail === undefined) return UNKNOWN_TIME;
  return startOfDay(year, month, day) + hour * 3_600_000 + minute * MINUTE_MS + second * 1000 + tail;
}

/**
 * Epoch milliseconds of a time in the one form RFC 5280 5.1.2.4 allows, `[YY]YYMMDDHHMMSSZ`; UNKNOWN_TIME otherwise.
 *
 * Quick, because a CRL has one for every entry.
 */
export function readStrictTime(bytes: Uint8Array, tag: number, start: number, end: number): number {
  const isUtc = tag === TAG.utcTime;
  if (end - start !== (isUtc ? 13 : 15) || bytes[end - 1] !== 0x5a) return UNKNOWN_TIME;
  if (!isUtc && tag !== TAG.generalizedTime) return UNKNOWN_TIME;
  const digits = digitsAt(bytes, start, end - 1);
  if (digits < 0) return UNKNOWN_TIME;
  const day = Math.floor(digits / 1_000_000);
  const time = digits - day * 1_000_000;
  const second = time % 100;
  const minute = Math.floor(time / 100) % 100;
  const hour = Math.floor(time / 10_000);
  if (hour > 23 || minute > 59 || second > 59) return UNKNOWN_TIME;
  const dayMs = strictDay(isUtc ? day + (day >= 500_000 ? 19_000_000 : 20_000_000) : day);
  return dayMs === undefined ? UNKNOWN_TIME : dayMs + hour * 3_600_000 + minute * MINUTE_MS + second * 1000;
}

/** The number that the digits between two positions make; -1 when there is something else among them. */
function digitsAt(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

// Neighbours in a CRL were often revoked on the same day.
let lastDay = -1;
let lastDayMs: number | undefined;

/** Epoch milliseconds of midnight of a day written YYYYMMDD. */
function strictDay(digits: number): number | undefined {
  if (digits === lastDay) return lastDayMs;
  const [year, month, day] = [Math.floor(digits / 10_000), Math.floor(digits / 100) % 100, digits % 100];
  lastDay = digits;
  lastDayMs = isDate(year, month, day) ? startOfDay(year, month, day) : undefined;
  return lastDayMs;
}

/** Milliseconds that fraction and offset add; undefined when what is left over is neither. */
function readTail(bytes: Uint8Array, start: number, end: number, hasSeconds: boolean): number | undefined {
  if (end - start > 40) return undefined;
  const text = String.fromCharCode(...bytes.subarray(start, end));
  const match = /^(?:[.,](\d+))?(?:Z|([+-])(\d\d)(\d\d))?$/.exec(text);
  if (match === null || (match[1] !== undefined && !hasSeconds)) return undefined;
  const [, fraction = '0', sign, hours, minutes] = match;
  const offset = sign === undefined ? 0 : (Number(hours) * 60 + Number(minutes)) * MINUTE_MS;
  return Math.floor(Number(`0.${fraction}`) * 1000) - (sign === '-' ? -offset : offset);
}

function isDate(year: number, month: number, day: number): boolean {
  if (day < 1 || day > (DAYS_IN_MONTH[month - 1] ?? 0)) return false;
  return month !== 2 || day < 29 || (year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0));
}

/** Epoch milliseconds of midnight, in the Gregorian calendar; Date.UTC would take year 26 for 1926. */
function startOfDay(year: number, month: number, day: number): number {
  // Counted from March, so that the leap day comes last.
  const y = month > 2 ? year : year - 1;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const leapDays = Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400);
  return (y * 365 + leapDays + dayOfYear - 719_468) * 86_400_000;
}
