/**
 * Two machines on a wire of their own, in network namespaces: what a network does to TLS connections can only be had
 * from a network.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';

/** The machines, with the addresses that they have on the wire. */
export const HOSTS = { ca: '10.99.0.1', va: '10.99.0.2' } as const;

export type Host = keyof typeof HOSTS;

/** What fails: both ways; what the VA sends; every connection is reset; one or three packets of ten, both ways. */
export type Cut = 'both' | 'replies' | 'reset' | 'one in ten' | 'three in ten';

const INPUT = 'add chain ip peers in { type filter hook input priority 0; policy drop; }';
const OUTPUT = 'add chain ip peers out { type filter hook output priority 0; policy drop; }';
const [PASSING_IN, PASSING_OUT] = [INPUT.replace('drop', 'accept'), OUTPUT.replace('drop', 'accept')];
const losing = (percent: number): readonly string[] => [
  PASSING_IN,
  PASSING_OUT,
  ...['in', 'out'].map((chain) => `add rule ip peers ${chain} numgen random mod 100 < ${percent} drop`),
];
/** What the firewall of the VA is told. */
const RULES: Readonly<Record<Cut, readonly string[]>> = {
  both: [INPUT, OUTPUT],
  replies: [OUTPUT],
  reset: [PASSING_IN, 'add rule ip peers in meta l4proto tcp reject with tcp reset'],
  'one in ten': losing(10),
  'three in ten': losing(30),
};
const FOLDERS = ['/usr/sbin', '/sbin', '/usr/bin', '/bin'];
const TIMEOUT_MS = 5_000;

/** Why there can be no network here; undefined = there can. */
export function whyNoNetwork(): string | undefined {
  if (process.getuid?.() !== 0) return 'skipped: needs root';
  const missing = ['ip', 'nft', 'tc'].find((name) => !FOLDERS.some((folder) => existsSync(`${folder}/${name}`)));
  if (missing !== undefined) return `skipped: no program ${missing}`;
  try {
    createNetwork().remove();
    return undefined;
  } catch (error) {
    return `skipped: no network namespaces here (${String((error as { stderr?: unknown }).stderr ?? error).trim()})`;
  }
}

let count = 0;

/** Makes both machines and the wire; `remove` always. */
export function createNetwork() {
  const own = `${process.pid}-${++count}`;
  const space = (host: Host): string => `peers-${host}-${own}`;
  const inside = (host: Host, ...command: readonly string[]): string =>
    run('ip', 'netns', 'exec', space(host), ...command);
  const layWire = (): void => {
    run('ip', 'link', 'add', 'wire', 'netns', space('ca'), 'type', 'veth', 'peer', 'wire', 'netns', space('va'));
    for (const host of ['ca', 'va'] as const) {
      run('ip', '-n', space(host), 'address', 'add', `${HOSTS[host]}/24`, 'dev', 'wire');
      for (const device of ['lo', 'wire']) run('ip', '-n', space(host), 'link', 'set', device, 'up');
    }
  };
  const remove = (): void => {
    for (const host of ['ca', 'va'] as const) {
      if (existsSync(`/run/netns/${space(host)}`)) run('ip', 'netns', 'delete', space(host));
    }
  };
  try {
    for (const host of ['ca', 'va'] as const) run('ip', 'netns', 'add', space(host));
    layWire();
    inside('va', 'nft', 'list', 'ruleset');
  } catch (error) {
    remove();
    throw error;
  }
  return {
    /** Runs a script of Node on a machine, with a channel for messages. */
    start(host: Host, script: URL, args: readonly string[]): ChildProcess {
      return spawn('ip', ['netns', 'exec', space(host), process.execPath, script.pathname, ...args], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
    },
    /** Nobody is told: what was sent is gone. */
    cut(where: Cut): void {
      for (const line of ['add table ip peers', ...RULES[where]]) inside('va', 'nft', line);
    },
    heal: (): void => void inside('va', 'nft', 'flush', 'ruleset'),
    /** From now on the wire carries so many kilobits a second, both ways. */
    slow(kilobits: number): void {
      const limits = ['rate', `${kilobits}kbit`, 'burst', '16kb', 'latency', '400ms'];
      for (const host of ['ca', 'va'] as const)
        inside(host, 'tc', 'qdisc', 'add', 'dev', 'wire', 'root', 'tbf', ...limits);
    },
    quicken(): void {
      for (const host of ['ca', 'va'] as const) inside(host, 'tc', 'qdisc', 'delete', 'dev', 'wire', 'root');
    },
    /** Takes the wire away, and the addresses with it. */
    unplug: (): void => void run('ip', '-n', space('va'), 'link', 'delete', 'wire'),
    /** A new wire with the old addresses. */
    plug: layWire,
    /** TCP connections that a machine takes for open. */
    openSockets: (host: Host): number =>
      inside(host, 'ss', '-Htn', 'state', 'established').split('\n').filter(Boolean).length,
    remove,
  };
}

/** What `createNetwork` gives. */
export type Network = ReturnType<typeof createNetwork>;

function run(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', timeout: TIMEOUT_MS, stdio: ['ignore', 'pipe', 'pipe'] });
}
