/**
 * The report of a synchronisation: what could not be brought to the peer, in EJBCA's YAML form.
 *
 * @see EJBCA, Peer Systems Operations › Certificate Data Synchronization
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import mustache from 'mustache';
import { stringify } from 'yaml';

/** One certificate that did not arrive. */
export interface SyncFailure {
  readonly fingerprint: string;
  readonly subjectDn: string;
  readonly issuerDn: string;
  /** Stable code of `lib/errors.ts`. */
  readonly errorType: string;
  readonly errorMessage: string;
}

/** Failures of a run. Counts all of them, remembers the first so many. */
export class SyncReport {
  readonly #failures: SyncFailure[] = [];
  #count = 0;

  /** All failures, also those that are not remembered. */
  get failureCount(): number {
    return this.#count;
  }

  get failures(): readonly SyncFailure[] {
    return this.#failures;
  }

  add(failure: SyncFailure): void {
    this.#count += 1;
    if (this.#failures.length < MAX_REMEMBERED) this.#failures.push(failure);
  }

  /** The report as text. Gives the event loop its turn, however long the report is. */
  async toYaml(created: Date): Promise<string> {
    const head = stringify({
      implementation: IMPLEMENTATION,
      creationDate: dateOf(created),
      failureCount: this.#count,
    });
    if (this.#failures.length === 0) return `${head}failures: []\n`;
    const parts = [head, 'failures:\n'];
    for (let at = 0; at < this.#failures.length; at += FAILURES_PER_TURN) {
      parts.push(stringify(this.#failures.slice(at, at + FAILURES_PER_TURN), { indent: 2, lineWidth: 0 }));
      await nextTurn();
    }
    return parts.join('');
  }
}

const IMPLEMENTATION = 'CertificateDataSynchronizationReport';
const MAX_REMEMBERED = 100_000;
const FAILURES_PER_TURN = 100;

/** EJBCA's form, `yyyy-MM-dd HH:mm`, in UTC. */
function dateOf(date: Date): string {
  return date.toISOString().slice(0, 16).replace('T', ' ');
}

/**
 * Renders the name of the report file, e.g. `sync-{{peer}}-{{date}}.yaml`. Whatever a peer is called, the
 * name stays one of a file in one folder.
 */
export function renderReportName(template: string, values: { readonly peer: string; readonly date: Date }): string {
  const view = { peer: values.peer, date: values.date.toISOString().slice(0, 16).replaceAll(/[-:T]/g, '') };
  return mustache.render(template, view, {}, { escape: String }).replaceAll(/[^\p{L}\p{N}._ -]/gu, '_');
}
