/**
 * A real Node-RED in a process of its own: private user directory, a free port on 127.0.0.1, this package
 * loaded from the tree. Flows go in through the admin API, debug messages come out of the editor's websocket.
 *
 * Every wait has a limit and says what it waited for.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor } from './wait-for.ts';

/** Root of this package. */
export const PACKAGE_ROOT = fileURLToPath(new URL('../../', import.meta.url));

const PROGRAMS = { 4: 'node-red-4/red.js', 5: 'node-red/red.js' } as const;
const START_MS = 30_000;
const STOP_MS = 8_000;

/** What starts a Node-RED. */
export interface NodeRedOptions {
  /** Default 5. */
  readonly version?: keyof typeof PROGRAMS;
  /** User directory. Default: a temporary one, removed at the end. */
  readonly userDir?: string;
  /** Port of the editor. Default: a free one. */
  readonly port?: number;
  /** Beside the variables of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Beside, or instead of, the settings of `nodeRedSettings`. Plain data. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

/** A node of a flow as the admin API takes it. */
export type FlowNode = { readonly id: string; readonly type: string } & Readonly<Record<string, unknown>>;

/** What a debug node showed. */
export interface DebugMessage {
  /** Id of the debug node. */
  readonly id: string;
  readonly name: string;
  /** The whole value, as far as JSON carries it. */
  readonly value: unknown;
}

/** The settings of a Node-RED that keeps to itself: nothing is fetched, installed or reported. */
function nodeRedSettings(userDir: string, port: number): Record<string, unknown> {
  return {
    uiHost: '127.0.0.1',
    uiPort: port,
    userDir,
    nodesDir: [PACKAGE_ROOT],
    flowFile: 'flows.json',
    credentialSecret: 'private to this machine',
    // As if an operator had allowed incoming connections in the sidebar.
    peerSystems: { incoming: true },
    debugMaxLength: 1_000_000,
    functionExternalModules: true,
    telemetry: { enabled: false, updateNotification: false },
    editorTheme: {
      tours: false,
      projects: { enabled: false },
      palette: { catalogues: [] },
      multiplayer: { enabled: false },
    },
    externalModules: {
      autoInstall: false,
      palette: { allowInstall: false, allowUpload: false, allowUpdate: false },
      modules: { allowInstall: false },
    },
  };
}

/** A port that nobody uses at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** The process of a Node-RED that is on its way. */
export interface NodeRedProcess {
  readonly child: ChildProcess;
  readonly url: string;
}

/** Starts the process; it ends when this one does. */
export function spawnNodeRed(
  options: NodeRedOptions & { readonly userDir: string; readonly port: number },
): NodeRedProcess {
  const { userDir, port, version = 5 } = options;
  mkdirSync(userDir, { recursive: true, mode: 0o700 });
  const settingsFile = join(userDir, 'settings.cjs');
  const settings = JSON.stringify({ ...nodeRedSettings(userDir, port), ...options.settings }, null, 2);
  // Should this process die, the channel closes and the child goes too.
  const orphanRule = "process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));";
  writeFileSync(settingsFile, `${orphanRule}\nmodule.exports = ${settings};\n`, { mode: 0o600 });
  const program = join(PACKAGE_ROOT, 'node_modules', PROGRAMS[version]);
  const child = spawn(process.execPath, [program, '--settings', settingsFile], {
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // In a process group of its own: a Ctrl-C reaches it through its parent only, and only once.
    detached: true,
  });
  return { child, url: `http://127.0.0.1:${port}` };
}

/** Starts a Node-RED and waits until its flows run. */
export async function startNodeRed(options: NodeRedOptions = {}): Promise<NodeRed> {
  const isTemporary = options.userDir === undefined;
  const userDir = options.userDir ?? mkdtempSync(join(tmpdir(), 'node-red-'));
  const port = options.port ?? (await freePort());
  const nodeRed = new NodeRed(spawnNodeRed({ ...options, userDir, port }), userDir, isTemporary);
  try {
    await nodeRed.waitForLog(/Server now running/, START_MS);
    await nodeRed.waitForLog(/Started flows/, START_MS);
    await nodeRed.listen();
  } catch (error) {
    await nodeRed.kill9();
    throw error;
  }
  return nodeRed;
}

/** A running Node-RED. */
export class NodeRed {
  readonly url: string;
  readonly userDir: string;
  /** Lines of standard output and standard error. */
  readonly log: string[] = [];
  readonly messages: DebugMessage[] = [];
  /** Status objects as they came, per node id. */
  readonly statuses = new Map<string, Record<string, unknown>[]>();
  readonly #child: ChildProcess;
  readonly #isTemporary: boolean;
  #socket: WebSocket | undefined;

  constructor({ child, url }: NodeRedProcess, userDir: string, isTemporary: boolean) {
    this.#child = child;
    this.#isTemporary = isTemporary;
    this.url = url;
    this.userDir = userDir;
    for (const stream of [child.stdout, child.stderr]) {
      let rest = '';
      stream?.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        this.log.push(...lines);
      });
    }
    child.once('exit', (code, signal) => {
      this.log.push(`(ended with ${signal ?? `exit code ${code}`})`);
    });
  }

  /** True until the process has ended. */
  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  /** Follows debug messages and statuses. */
  async listen(): Promise<void> {
    const socket = new WebSocket(`${this.url.replace('http', 'ws')}/comms`);
    this.#socket = socket;
    await new Promise<void>((resolve, reject) => {
      socket.onopen = () => resolve();
      socket.onerror = () => reject(new Error(`The websocket of ${this.url} cannot be opened`));
    });
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(String(data)));
    for (const topic of ['debug', 'status/#']) socket.send(JSON.stringify({ subscribe: topic }));
  }

  /** Calls the admin API; gives the body of the answer. */
  async admin(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<unknown> {
    const response = await fetch(this.url + path, {
      method,
      headers: { accept: 'application/json', 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(START_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' || !(response.headers.get('content-type') ?? '').includes('json') ? text : JSON.parse(text);
  }

  /** Deploys flows, with credentials inside the nodes as the editor sends them, and waits until they run. */
  async deploy(flows: readonly FlowNode[], type: 'full' | 'nodes' | 'flows' = 'full'): Promise<void> {
    const start = this.log.length;
    await this.admin('POST', '/flows', { flows }, { 'Node-RED-API-Version': 'v2', 'Node-RED-Deployment-Type': type });
    await this.waitFor(
      () => this.log.slice(start).find((line) => /Started (flows|modified (nodes|flows))/.test(line)),
      `the ${type} deploy`,
      START_MS,
    );
  }

  /** Presses the button of an inject node. */
  async inject(id: string): Promise<void> {
    await this.admin('POST', `/inject/${id}`, {});
  }

  /** Waits until `look` finds something in what this Node-RED has shown so far. */
  waitFor<T>(look: () => T | undefined, what: string, timeoutMs = 10_000): Promise<T> {
    return waitFor({
      look: () => {
        const found = look();
        if (found === undefined && !this.isRunning) throw new Error(`Node-RED ended while waiting for ${what}`);
        return found;
      },
      what,
      timeoutMs,
      // What was seen instead helps to find out why.
      context: () => this.log.slice(-15).join('\n'),
    });
  }

  waitForLog(pattern: RegExp, timeoutMs = 10_000): Promise<string> {
    return this.waitFor(() => this.log.find((line) => pattern.test(line)), `the log line ${pattern}`, timeoutMs);
  }

  /** The first message of a debug node that fits. */
  waitForDebug(id: string, fits: (value: never) => boolean, timeoutMs = 10_000): Promise<DebugMessage> {
    const look = (): DebugMessage | undefined =>
      this.messages.find((message) => message.id === id && fits(message.value as never));
    return this.waitFor(look, `a message of debug node ${id} that fits ${fits}`, timeoutMs);
  }

  /** Ends it as an operator would; gives the exit code. */
  async stop(): Promise<number | null> {
    if (this.isRunning) {
      this.#child.kill('SIGTERM');
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
      await once(this.#child, 'exit');
      clearTimeout(timer);
    }
    this.#cleanUp();
    return this.exitCode;
  }

  /** Ends it as a power cut would. */
  async kill9(): Promise<void> {
    if (this.isRunning) {
      this.#child.kill('SIGKILL');
      await once(this.#child, 'exit');
    }
    this.#cleanUp();
  }

  #cleanUp(): void {
    this.#socket?.close();
    if (this.#isTemporary) rmSync(this.userDir, { recursive: true, force: true });
  }

  #receive(packets: readonly { readonly topic?: string; readonly data?: unknown }[]): void {
    for (const { topic = '', data } of Array.isArray(packets) ? packets : [packets]) {
      if (topic === 'debug') this.messages.push(readDebug(data as RawDebug));
      else if (topic.startsWith('status/')) this.#noteStatus(topic.slice('status/'.length), data);
    }
  }

  #noteStatus(id: string, status: unknown): void {
    this.statuses.set(id, [...(this.statuses.get(id) ?? []), status as Record<string, unknown>]);
  }
}

interface RawDebug {
  readonly id: string;
  readonly name?: string;
  readonly msg?: string;
  readonly format?: string;
}

/** The editor is sent text; objects, arrays and numbers are JSON in it. */
function readDebug({ id, name = '', msg = '', format = '' }: RawDebug): DebugMessage {
  const isJson = /^(Object|array|number|boolean|error)/i.test(format);
  try {
    return { id, name, value: isJson ? JSON.parse(msg) : msg };
  } catch {
    return { id, name, value: msg };
  }
}
