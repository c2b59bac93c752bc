/**
 * `npm start`: a private Node-RED with all examples running, on this machine only.
 *
 * Keys, flows and data are made at the first start and kept in `.demo/`.
 * PORT = the editor's port (1880), PEER_PORT = the VA's port for peers (8443), PEER_RA_PORT = the RA's (the one after it),
 * DEMO_DIR = another folder.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { exampleFiles, readExample } from '../helpers/examples.ts';
import { type FlowNode, PACKAGE_ROOT, spawnNodeRed } from '../helpers/node-red.ts';
import { demoPki } from './demo-pki.ts';

const CERTIFICATES = 300;
const START_MS = 60_000;
const STOP_MS = 10_000;

const folder = resolve(process.env['DEMO_DIR'] || join(PACKAGE_ROOT, '.demo'));
const port = portOf('PORT', 1880);
const peerPort = portOf('PEER_PORT', 8443);
const raPort = portOf('PEER_RA_PORT', peerPort + 1);
await checkPort(port, 'PORT');
await checkPort(peerPort, 'PEER_PORT');
await checkPort(raPort, 'PEER_RA_PORT');

const isFirstStart = !existsSync(join(folder, 'variables.json'));
if (isFirstStart) console.log(`First start: making keys and ${CERTIFICATES} certificates in ${folder}`);
const pki = demoPki(folder, CERTIFICATES);
writeFlows();

const { child, url } = spawnNodeRed({
  userDir: folder,
  port,
  // None: Node-RED makes its own, for what a user may put into this demo.
  settings: { credentialSecret: undefined },
  env: {
    ...pki,
    PEER_PORT: String(peerPort),
    PEER_URL: `https://localhost:${peerPort}/ejbca/peer/v1`,
    PEER_PUBLIC_PORT: process.env['PEER_PUBLIC_PORT'] ?? '0',
    PEER_RA_PORT: String(raPort),
    PEER_RA_URL: `https://localhost:${raPort}/ejbca/peer/v1`,
  },
});
const lines = followLog(child);
let isStopping = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
child.once('exit', () => {
  if (!isStopping) fail(`Node-RED has ended. Its last lines:\n${lines.join('\n')}`);
});
await started();
tellWhatToSee();

function portOf(name: string, standard: number): number {
  const text = process.env[name] ?? '';
  const value = text === '' ? standard : Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 65_535)
    fail(`${name} must be a port from 1 to 65535, not "${text}".`);
  return value;
}

async function checkPort(number: number, variable: string): Promise<void> {
  const server = createServer().listen(number, '127.0.0.1');
  const error = await once(server, 'listening').then(
    () => undefined,
    (cause: { code?: string }) => cause,
  );
  if (error !== undefined) {
    const reason = error.code === 'EADDRINUSE' ? 'is taken' : 'cannot be used';
    fail(`Port ${number} ${reason}; choose another one, for example: ${variable}=${number + 1} npm start`);
  }
  server.close();
  await once(server, 'close');
}

/** All examples as tabs of one flow, at the first start; later the flow is the user's. */
function writeFlows(): void {
  const file = join(folder, 'flows.json');
  if (existsSync(file)) return;
  const nodes = exampleFiles().flatMap(readExample).map(onThisMachineOnly);
  // The variables inside stay variables: no secret is written here.
  const credentials = Object.fromEntries(
    nodes.flatMap(({ id, credentials }) => (credentials ? [[id, credentials]] : [])),
  );
  writeFileSync(join(folder, 'flows_cred.json'), JSON.stringify(credentials), { mode: 0o600 });
  writeFileSync(
    file,
    JSON.stringify(
      nodes.map(({ credentials, ...node }) => node),
      null,
      2,
    ),
  );
}

function onThisMachineOnly(node: FlowNode): FlowNode {
  return node.type === 'peer-endpoint' ? { ...node, host: '127.0.0.1' } : node;
}

/** Keeps the last lines, and shows what nodes complain of. */
function followLog({ stdout, stderr }: ChildProcess): string[] {
  const last: string[] = [];
  for (const stream of [stdout, stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      const fresh = text.split('\n').filter((line) => line.trim() !== '');
      last.push(...fresh);
      last.splice(0, last.length - 30);
      for (const line of fresh) if (/\[(warn|error)\] \[/.test(line)) console.log(line);
    });
  }
  return last;
}

async function started(): Promise<void> {
  const limit = AbortSignal.timeout(START_MS);
  while (!lines.some((line) => line.includes('Started flows'))) {
    if (limit.aborted) fail(`Node-RED did not start within ${START_MS / 1000} s. Its last lines:\n${lines.join('\n')}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function tellWhatToSee(): void {
  console.log(`
Node-RED runs at ${url}/ (this machine only). Open it and look at

  01 VA endpoint   the VA: who comes in, with which role, and what was published
  02 Ping a peer   the CA: the round trip below the ping node, every five seconds
  03 Publish       the CA: certificates on their way; one is revoked every ten seconds
  04 Synchronize   the CA: compares its store with the VA's and pushes what is missing
  05 Queue         the CA: publishes by way of its queue, which loses nothing while the VA is away
  06 CRL           a CRL on its way to the VA, which serves it to the public
  08 RA requests   an RA and its CA: open ra/ at this address, or see what the debug nodes show

What the debug nodes show is in the debug sidebar (the bug icon).
The VA listens for peers at https://localhost:${peerPort}/ejbca/peer/v1
Keys, flows and certificates are kept in ${folder}; delete it to begin anew.
Ctrl-C stops it.`);
}

async function stop(): Promise<void> {
  if (isStopping) return void child.kill('SIGKILL');
  isStopping = true;
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), STOP_MS).unref();
    await once(child, 'exit');
  }
  console.log('Stopped.');
  process.exit(0);
}

function fail(sentence: string): never {
  console.error(sentence);
  process.exit(1);
}
