import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { freePort } from '../helpers/node-red.ts';
import { waitFor } from '../helpers/wait-for.ts';

const PROGRAM = fileURLToPath(new URL('start.ts', import.meta.url));
/** The bundle, its CA and the roots of Node.js. */
const EXPECTED_ROWS = 400;

describe('npm start', () => {
  const folder = mkdtempSync(join(tmpdir(), 'demo-'));
  const running: ChildProcess[] = [];
  let ports: { readonly PORT: string; readonly PEER_PORT: string };

  const start = (env: Record<string, string> = {}) => {
    const child = spawn(process.execPath, [PROGRAM], {
      env: { ...process.env, DEMO_DIR: folder, ...ports, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.push(child);
    const output: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => output.push(text));
    }
    return { child, text: () => output.join('') };
  };

  const startAndWait = async (): Promise<ReturnType<typeof start>> => {
    const demo = start();
    await waitFor({
      look: () => (demo.text().includes('Ctrl-C stops it') ? true : undefined),
      what: 'the demo to start',
      timeoutMs: 25_000,
      context: demo.text,
    });
    return demo;
  };

  const endOf = async ({ child }: { readonly child: ChildProcess }): Promise<number | null> => {
    if (child.exitCode === null) await once(child, 'exit');
    return child.exitCode;
  };

  const storedRows = (): number => {
    if (!existsSync(join(folder, 'va.sqlite'))) return 0;
    const database = new DatabaseSync(join(folder, 'va.sqlite'), { readOnly: true, timeout: 5_000 });
    try {
      // The VA makes its file first and the tables then.
      if (database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'CertificateData'").get() === undefined) return 0;
      return Number(database.prepare('SELECT count(*) AS rows FROM CertificateData').get()?.['rows']);
    } finally {
      database.close();
    }
  };

  const contentOf = (file: string): string => readFileSync(join(folder, file), 'latin1');

  before(async () => {
    ports = { PORT: String(await freePort()), PEER_PORT: String(await freePort()) };
  });

  after(() => {
    for (const child of running) child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });

  it('makes a PKI, tells the address and lets certificates travel to the VA', async function () {
    this.timeout(60_000);
    const demo = await startAndWait();
    assert.match(demo.text(), new RegExp(`http://127\\.0\\.0\\.1:${ports.PORT}/`));
    await waitFor({
      look: () => (storedRows() >= EXPECTED_ROWS ? true : undefined),
      what: `${EXPECTED_ROWS} certificates at the VA`,
      timeoutMs: 20_000,
      context: demo.text,
    });
    const editor = await fetch(`http://127.0.0.1:${ports.PORT}/`);
    assert.equal(editor.status, 200);
  });

  it('prints no secret, and keeps those it has for its user alone', () => {
    const { PEER_CA_PASSPHRASE: passphrase } = JSON.parse(contentOf('variables.json'));
    for (const name of ['variables.json', 'ca.p12', 'va.key', 'settings.cjs', 'flows_cred.json']) {
      assert.equal(statSync(join(folder, name)).mode & 0o077, 0, name);
    }
    assert.equal(statSync(folder).mode & 0o077, 0);
    const readable = readdirSync(folder).filter((name) => /flows|settings/.test(name));
    for (const name of readable) assert.ok(!contentOf(name).includes(passphrase), name);
  });

  it('refuses to start a second time on a taken editor port, in one sentence', async () => {
    const demo = start({ PEER_PORT: String(await freePort()) });
    assert.equal(await endOf(demo), 1);
    assert.match(demo.text(), new RegExp(`^Port ${ports.PORT} is taken; .*PORT=\\d+ npm start\\n$`));
  });

  it('refuses to start on a taken peer port, in one sentence', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const taken = String((server.address() as AddressInfo).port);
    const demo = start({ PORT: String(await freePort()), PEER_PORT: taken });
    assert.equal(await endOf(demo), 1);
    server.close();
    assert.match(demo.text(), new RegExp(`^Port ${taken} is taken; .*PEER_PORT=\\d+ npm start\\n$`));
  });

  it('refuses a port that is none', async () => {
    const demo = start({ PORT: 'http' });
    assert.equal(await endOf(demo), 1);
    assert.match(demo.text(), /^PORT must be a port from 1 to 65535, not "http"\.\n$/);
  });

  it('stops on Ctrl-C with exit code 0 and leaves no process', async () => {
    const [first] = running;
    assert.ok(first);
    first.kill('SIGINT');
    assert.equal(await endOf({ child: first }), 0);
    await assert.rejects(fetch(`http://127.0.0.1:${ports.PORT}/`));
  });

  it('keeps keys, flows and certificates at the second start, and stops on SIGTERM too', async function () {
    this.timeout(60_000);
    const keptFiles = ['variables.json', 'va.key', 'ca.p12', 'bundle.pem', 'flows.json'];
    const kept = keptFiles.map(contentOf);
    const rows = storedRows();
    const demo = await startAndWait();
    assert.deepEqual(keptFiles.map(contentOf), kept);
    assert.ok(storedRows() >= rows);
    demo.child.kill('SIGTERM');
    assert.equal(await endOf(demo), 0);
    assert.doesNotMatch(demo.text(), /First start|error/i);
  });

  it('takes Node-RED along when it is killed', async function () {
    this.timeout(60_000);
    const demo = await startAndWait();
    demo.child.kill('SIGKILL');
    const isUp = async (): Promise<boolean> =>
      fetch(`http://127.0.0.1:${ports.PORT}/`).then(
        () => true,
        () => false,
      );
    for (let i = 0; i < 100 && (await isUp()); i++) await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(await isUp(), false);
  });
});
