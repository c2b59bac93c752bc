/**
 * Whether client certificates are revoked in the certificate store: asked at the door and again and again while
 * connections are open.
 *
 * Unknown is not good: a connection whose certificate the store has not vouched for lately does not go on, whatever
 * keeps the store from answering.
 */
import type { RefusalCause } from '../auth/client-certificate.ts';
import { PeerError } from '../errors.ts';
import { CERTIFICATE_STATUS } from '../store/certificate-data.ts';
import type { CertificateStore } from '../store/certificate-store.ts';
import type { IncomingPeerConnection } from './incoming-peer-connection.ts';

/** What the store said of a certificate, and when. */
export interface CertificateStanding {
  /** undefined = it may go on. */
  readonly cause: RefusalCause | undefined;
  /** Milliseconds of the clock that does not jump, when the question was asked. */
  readonly askedAt: number;
}

/** Settings of the check. */
export interface RevocationCheckOptions {
  readonly store: Pick<CertificateStore, 'findByFingerprint'>;
  /** Whether a certificate that the store does not know is refused, as with EJBCA's `web.reqcertindb`. */
  readonly mustBeStored: boolean;
  /** Milliseconds of a clock that does not jump. */
  readonly clock?: () => number;
}

/** With a look every second, whoever is revoked or cannot be asked for is cut within five seconds. */
const MAX_AGE_MS = 3_500;
const MAX_UNDERWAY = 16;

/** Asks one store. */
export class RevocationCheck {
  readonly #options: RevocationCheckOptions;
  readonly #clock: () => number;
  readonly #underway = new Set<string>();

  constructor(options: RevocationCheckOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
  }

  /**
   * Asks for the certificate of a connection that wants to come in.
   *
   * @throws PeerError ERR_STORE_UNAVAILABLE, also when there is no answer in time
   */
  async admit(connection: IncomingPeerConnection): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(unavailable()), MAX_AGE_MS);
    });
    try {
      connection.standing = await Promise.race([this.#ask(connection.peer.fingerprint), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Begins to ask anew for the certificates of open connections, each once however many have it, and does not wait.
   * A question that is not answered yet is not repeated.
   */
  refresh(connections: Iterable<IncomingPeerConnection>): void {
    const groups = byFingerprint(connections);
    const fingerprints = [...groups.keys()].filter((fingerprint) => !this.#underway.has(fingerprint));
    for (const fingerprint of fingerprints) this.#underway.add(fingerprint);
    const next = async (): Promise<void> => {
      for (let fingerprint = fingerprints.pop(); fingerprint !== undefined; fingerprint = fingerprints.pop()) {
        const standing = await this.#ask(fingerprint).catch(() => undefined);
        this.#underway.delete(fingerprint);
        if (standing === undefined) continue;
        for (const connection of groups.get(fingerprint) ?? []) connection.standing = standing;
      }
    };
    for (let worker = 0; worker < MAX_UNDERWAY; worker++) void next();
  }

  /** Whether the last word of the store on a connection is too old to rely on. */
  isStale({ standing }: IncomingPeerConnection): boolean {
    return standing === undefined || this.#clock() - standing.askedAt > MAX_AGE_MS;
  }

  async #ask(fingerprint: string): Promise<CertificateStanding> {
    const askedAt = this.#clock();
    const { store, mustBeStored } = this.#options;
    const row = await store.findByFingerprint(fingerprint);
    if (row?.status === CERTIFICATE_STATUS.revoked) return { cause: 'revoked', askedAt };
    return { cause: row === undefined && mustBeStored ? 'not in the certificate store' : undefined, askedAt };
  }
}

function byFingerprint(
  connections: Iterable<IncomingPeerConnection>,
): ReadonlyMap<string, readonly IncomingPeerConnection[]> {
  const groups = new Map<string, IncomingPeerConnection[]>();
  for (const connection of connections) {
    const { fingerprint } = connection.peer;
    const group = groups.get(fingerprint);
    if (group === undefined) groups.set(fingerprint, [connection]);
    else group.push(connection);
  }
  return groups;
}

/** What a peer is told while the store does not answer. */
export function unavailable(): PeerError {
  return new PeerError('ERR_STORE_UNAVAILABLE', 'Whether the client certificate is revoked cannot be found out now');
}
