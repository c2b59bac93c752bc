/**
 * What PostgreSQL says, as errors of this package.
 *
 * @see PostgreSQL, Appendix A, Error Codes
 */
import { PeerError } from '../errors.ts';
import { type DatabaseServer, detailOf } from './database-server.ts';

/** Deadlock, and a transaction that could not be put in line: the same again will do. */
const REPEATABLE: ReadonlySet<unknown> = new Set(['40P01', '40001']);
const UNIQUE_VIOLATION = '23505';
const CERTIFICATE_DATA_KEY = 'certificatedata_pkey';
/** Classes: data exception, constraint, limit of the program (an index), raised by a trigger. */
const ROW_REFUSALS: ReadonlySet<string> = new Set(['22', '23', '54', 'P0']);

interface DriverError {
  readonly code?: unknown;
  readonly constraint?: unknown;
  readonly message?: string;
}

/** Whether the transaction may simply be repeated, as far as the error tells. */
export function isRepeatable(error: unknown): boolean {
  const { code, constraint } = error as DriverError;
  // Another instance has written the same new certificate in between; the next time its row is seen.
  return REPEATABLE.has(code) || (code === UNIQUE_VIOLATION && constraint === CERTIFICATE_DATA_KEY);
}

/** Whether the database refused what was to be written, and not the writing. */
export function isRowRefusal(error: unknown): boolean {
  const { code } = error as DriverError;
  return typeof code === 'string' && code.length === 5 && ROW_REFUSALS.has(code.slice(0, 2));
}

/** As an error of this package; the password is not in it. */
export function toPostgresError(error: unknown, server: DatabaseServer): PeerError {
  if (error instanceof PeerError) return error;
  const [code, sentence] = meaningOf(error, server);
  return new PeerError(code, `${sentence}: ${detailOf(error)}`, { cause: error });
}

function meaningOf(error: unknown, server: DatabaseServer) {
  const { code, message } = error as DriverError;
  const name = nameOf(server);
  switch (code) {
    case '28000':
    case '28P01':
      return ['ERR_INVALID_CONFIG', `The ${name} does not let the user "${server.user}" in`] as const;
    case '3D000':
      return ['ERR_INVALID_CONFIG', `The ${name} is not there`] as const;
    case '42501':
    case '3F000':
      return ['ERR_INVALID_CONFIG', `The user "${server.user}" lacks a right in the ${name}`] as const;
    case '53100':
      return ['ERR_STORE_FULL', `The disk of the ${name} is full`] as const;
    case '53300':
      return ['ERR_STORE_UNAVAILABLE', `The ${name} has no connection left`] as const;
    case '25006':
      return ['ERR_STORE_UNAVAILABLE', `The ${name} is read only now, as a standby is`] as const;
    case '55P03':
    case '57014':
      return ['ERR_STORE_UNAVAILABLE', `The ${name} took too long`] as const;
    default:
      // The driver itself refuses an empty password when the server wants one.
      if (message?.startsWith('SASL')) return ['ERR_INVALID_CONFIG', `The ${name} wants another password`] as const;
      return ['ERR_STORE_UNAVAILABLE', `The ${name} cannot be used`] as const;
  }
}

/** The database as people know it. */
export function nameOf({ host, port, database }: DatabaseServer): string {
  return `PostgreSQL database ${database} at ${host}:${port}`;
}
