/**
 * The package as users get it: packed, installed into an empty user directory, and loaded by Node-RED from there.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type NodeRed, PACKAGE_ROOT, startNodeRed } from './helpers/node-red.ts';

const run = promisify(execFile);
const PACKAGE = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'package.json'), 'utf8'));
const NODES = Object.keys(PACKAGE['node-red'].nodes);
const PLUGINS = Object.keys(PACKAGE['node-red'].plugins);
const INSTALL_MS = 120_000;

interface NodeSet {
  readonly name: string;
  readonly module: string;
  readonly enabled: boolean;
  readonly err?: string;
  readonly types?: readonly string[];
}

describe('installed package', () => {
  const folder = mkdtempSync(join(tmpdir(), 'installed-'));
  let nodeRed: NodeRed | undefined;

  before(async function () {
    this.timeout(INSTALL_MS);
    // Built already; packing must not build it again under the feet of others.
    const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
      cwd: PACKAGE_ROOT,
      maxBuffer: 16 * 1024 * 1024,
    });
    const [{ filename }] = Object.values(JSON.parse(stdout)) as [{ filename: string }];
    writeFileSync(join(folder, 'package.json'), '{ "name": "user-directory", "private": true }');
    const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'];
    try {
      await run('npm', ['install', ...options, join(folder, filename)], { cwd: folder, timeout: INSTALL_MS - 10_000 });
    } catch (error) {
      const reason = (error as { stderr?: string }).stderr ?? String(error);
      // Without a registry there is nothing to install the dependencies from.
      if (!/E(NOTFOUND|AI_AGAIN|CONNREFUSED|TIMEDOUT)|network/i.test(reason)) throw error;
      this.test?.parent?.tests.forEach((test) => {
        test.title += ' (skipped: no registry)';
      });
      this.skip();
    }
  });

  afterEach(async () => {
    await nodeRed?.stop();
    nodeRed = undefined;
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  const get = async <T>(path: string): Promise<T> => {
    const response = await fetch(`${nodeRed?.url}/${path}`, { headers: { accept: 'application/json' } });
    assert.equal(response.status, 200, path);
    return (await response.json()) as T;
  };

  for (const version of [4, 5] as const) {
    it(`brings every node, icon, text, example and the sidebar tab into Node-RED ${version}`, async function () {
      this.timeout(60_000);
      nodeRed = await startNodeRed({ version, userDir: folder, settings: { nodesDir: [] } });
      const sets = (await get<NodeSet[]>('nodes')).filter(({ module }) => module === PACKAGE.name);
      assert.deepEqual(
        sets.filter(({ err, enabled }) => err !== undefined || !enabled),
        [],
      );
      assert.deepEqual(sets.map(({ name }) => name).sort(), [...NODES].sort());
      const plugins = (await get<NodeSet[]>('plugins')).filter(({ module }) => module === PACKAGE.name);
      assert.deepEqual(plugins.map(({ name }) => name).sort(), PLUGINS.sort());

      const icons = (await get<Record<string, readonly string[]>>('icons'))[PACKAGE.name];
      assert.deepEqual([...(icons ?? [])].sort(), readdirSync(join(PACKAGE_ROOT, 'icons')).sort());
      for (const language of ['en-US', 'de']) {
        const texts = await get<Record<string, Record<string, unknown>>>(`nodes/messages?lng=${language}`);
        for (const name of NODES) {
          const own = texts[`${PACKAGE.name}/${name}`];
          assert.ok(own?.[name] !== undefined, `${language} ${name}`);
        }
      }
      const page = await (await fetch(`${nodeRed.url}/nodes`, { headers: { accept: 'text/html' } })).text();
      for (const name of NODES) {
        const type = name.startsWith('peer-') ? name : `peer-${name}`;
        assert.ok(page.includes(`data-template-name="${type}"`), `dialog of ${type}`);
        assert.ok(page.includes(`data-help-name="${type}"`), `help of ${type}`);
      }
      for (const file of readdirSync(join(PACKAGE_ROOT, 'resources'))) {
        assert.equal((await fetch(`${nodeRed.url}/resources/${PACKAGE.name}/${file}`)).status, 200, file);
      }
      const examples = JSON.stringify(await get(`library/examples/flows/${PACKAGE.name}`));
      for (const file of readdirSync(join(PACKAGE_ROOT, 'examples')).filter((name) => name.endsWith('.json'))) {
        assert.ok(examples.includes(file.replace(/\.json$/, '')), file);
      }
    });
  }
});
