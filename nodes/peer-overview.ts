/**
 * Flow node: the overview as messages, for dashboards and alarms: when it changes and on request.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Node, NodeAPI, NodeDef } from 'node-red';
import type { Overview } from '../lib/overview/overview.ts';
import { collectOverview } from './shared/collect-overview.ts';
import { type FlowMessage, handleInput } from './shared/handle-input.ts';
import { numberField } from './shared/node-config.ts';
import { showStatus } from './shared/node-status.ts';

/** The tables, one for each output. */
const TABLES = ['outgoing', 'incoming', 'validationAuthorities'] as const;

type Table = (typeof TABLES)[number];

interface PeerOverviewDef extends NodeDef {
  /** Milliseconds between two looks. */
  readonly intervalMs: number | string;
}

export default function (RED: NodeAPI): void {
  function PeerOverview(this: Node, config: PeerOverviewDef): void {
    RED.nodes.createNode(this, config);
    let shown: Overview | undefined;
    handleInput(this, async (message) => {
      const overview = collectOverview(RED);
      const [first, ...others] = TABLES;
      const copies = others.map((table) => fill(RED.util.cloneMessage(message), table, overview));
      return [fill(message, first, overview), ...copies];
    });
    const look = (): void => {
      const overview = collectOverview(RED);
      const messages = TABLES.map((table) =>
        isSameTable(table, shown, overview) ? null : fill({} as FlowMessage, table, overview),
      );
      shown = overview;
      if (messages.some((each) => each !== null)) this.send(messages as never);
      showCounts(this, overview);
    };
    try {
      const intervalMs = numberField(config.intervalMs, 'Interval', { min: 250, max: 3_600_000 });
      const timer = setInterval(look, intervalMs);
      RED.events.once('flows:started', look);
      this.on('close', () => {
        clearInterval(timer);
        RED.events.off('flows:started', look);
      });
    } catch (error) {
      this.error((error as Error).message);
    }
  }

  RED.nodes.registerType('peer-overview', PeerOverview);

  function showCounts(node: Node, { outgoing }: Overview): void {
    const lagging = outgoing.filter(({ outOfSync }) => outOfSync).length;
    const failing = outgoing.filter(({ pingError, state }) => pingError !== '' || state === 'unusable').length;
    const text = RED._('peer-overview.status.counts', { peers: outgoing.length, failing, lagging });
    const fill = failing > 0 ? 'red' : lagging > 0 ? 'yellow' : 'green';
    showStatus(node, { fill, shape: 'dot', text });
  }
}

function isSameTable(table: Table, before: Overview | undefined, now: Overview): boolean {
  return isDeepStrictEqual(before?.[table], now[table]);
}

function fill(message: FlowMessage, table: Table, overview: Overview): FlowMessage {
  message.topic = table;
  message.payload = overview[table];
  message['overview'] = overview;
  return message;
}
