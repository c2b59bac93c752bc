/**
 * Where a database server is, who asks it, and the driver that does: what stores in databases have in common.
 */
import { PeerError } from '../errors.ts';

/** A database on a server. Plain data. */
export interface DatabaseServer {
  /** With `tls` the name that is in the certificate of the server. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** Encrypts; the certificate of the server is verified. Absent = unencrypted. */
  readonly tls?: DatabaseTls;
}

/** Certificates and keys in PEM. */
export interface DatabaseTls {
  /** CAs to trust. Default: those of Node.js. */
  readonly ca?: string;
  /** Own certificate and its private key, where the database wants one. */
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Refuses what cannot be a server.
 *
 * @param what the database in words, as the beginning of a sentence
 * @throws PeerError ERR_INVALID_CONFIG
 */
export function checkServer({ host, port, database, user }: DatabaseServer, what: string): void {
  if (!(Number.isInteger(port) && port > 0 && port < 65_536))
    throw new PeerError('ERR_INVALID_CONFIG', `${what} has no usable port: ${String(port)}`);
  for (const [name, value] of Object.entries({ host, database, user })) {
    if (typeof value !== 'string' || value.trim() === '')
      throw new PeerError('ERR_INVALID_CONFIG', `${what} has no ${name}`);
  }
}

/**
 * A driver, which need not be installed.
 *
 * @throws PeerError ERR_INVALID_CONFIG naming the package
 */
export async function loadDriver<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    throw new PeerError('ERR_INVALID_CONFIG', `The package '${name}' is not installed; this database needs it`, {
      cause: error,
    });
  }
}

/** What a driver says, in words. A name that resolves to several addresses fails with an empty message. */
export function detailOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: string };
  return message === undefined || message === '' ? String(code ?? error) : message;
}
