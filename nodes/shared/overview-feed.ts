/**
 * Keeps the sidebar up to date: tells editors that something has changed, and whoever asks, what.
 *
 * What travels over the editor's websocket is a version and nothing else, because the websocket reaches every editor
 * whatever its user may see; the rows are behind a route with a permission. While nobody looks, nothing is done.
 */
import type { NodeAPI } from 'node-red';
import type { SwitchState } from '../../lib/overview/global-switches.ts';
import { type OverviewChanges, OverviewLog } from '../../lib/overview/overview-changes.ts';
import { collectOverview } from './collect-overview.ts';
import { switchesOf } from './switches.ts';

/** What the sidebar is told. */
export interface OverviewAnswer extends OverviewChanges {
  readonly switches: Pick<SwitchState, 'outgoing' | 'incoming' | 'disabledConnectors'>;
  /** Whether the editor asks who its users are. */
  readonly hasAdminAuth: boolean;
}

const INTERVAL_MS = 250;
/** An open sidebar asks more often. */
const WATCHED_MS = 60_000;
const TOPIC = 'peer-systems/changed';

/** The one feed of this Node-RED. */
export class OverviewFeed {
  readonly #RED: NodeAPI;
  readonly #log = new OverviewLog();
  #switches: SwitchState | undefined;
  #lookedAt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(RED: NodeAPI) {
    this.#RED = RED;
  }

  /** What has changed since a version; and begins to watch for more. */
  since(version: string): OverviewAnswer {
    this.#lookedAt = performance.now();
    this.#timer ??= setInterval(() => this.#tick(), INTERVAL_MS).unref();
    this.#log.update(collectOverview(this.#RED));
    this.#switches = switchesOf(this.#RED).state;
    const { outgoing, incoming, disabledConnectors } = this.#switches;
    const { adminAuth } = this.#RED.settings as { readonly adminAuth?: unknown };
    const switches = { outgoing, incoming, disabledConnectors };
    return { ...this.#log.since(version), switches, hasAdminAuth: Boolean(adminAuth) };
  }

  #tick(): void {
    if (performance.now() - this.#lookedAt > WATCHED_MS) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    const { state } = switchesOf(this.#RED);
    const isSwitched = state !== this.#switches;
    this.#switches = state;
    const isChanged = this.#log.update(collectOverview(this.#RED));
    if (isChanged || isSwitched) this.#RED.comms.publish(TOPIC, { version: this.#log.version }, false);
  }
}
