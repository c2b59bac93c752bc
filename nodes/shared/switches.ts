/**
 * The global switches of this Node-RED: one object for all nodes and the sidebar.
 */
import { join } from 'node:path';
import type { NodeAPI } from 'node-red';
import { GlobalSwitches } from '../../lib/overview/global-switches.ts';

const FILE = 'peer-systems.json';
const byFile = new Map<string, GlobalSwitches>();

/**
 * The switches, read from the user directory when first asked for. `peerSystems` in the settings of Node-RED, such as
 * `{ incoming: true }`, says what holds until somebody uses a switch.
 *
 * @throws PeerError ERR_INVALID_CONFIG when their file is not readable
 */
export function switchesOf(RED: NodeAPI): GlobalSwitches {
  const file = join(RED.settings.userDir ?? process.cwd(), FILE);
  const known = byFile.get(file);
  if (known !== undefined) return known;
  const switches = new GlobalSwitches(file, initialState(RED.settings as { readonly peerSystems?: unknown }));
  byFile.set(file, switches);
  return switches;
}

function initialState({ peerSystems }: { readonly peerSystems?: unknown }) {
  const { outgoing, incoming } = (peerSystems ?? {}) as Readonly<Record<string, unknown>>;
  return {
    ...(typeof outgoing === 'boolean' && { outgoing }),
    ...(typeof incoming === 'boolean' && { incoming }),
  };
}
