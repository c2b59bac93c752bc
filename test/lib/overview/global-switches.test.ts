import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GlobalSwitches } from '../../../lib/overview/global-switches.ts';

describe('global switches', () => {
  const folder = mkdtempSync(join(tmpdir(), 'switches-'));
  let number = 0;
  const newFile = (): string => join(folder, String(++number), 'peer-systems.json');

  after(() => rmSync(folder, { recursive: true }));

  it('allow outgoing and no incoming connections until somebody says otherwise', () => {
    const file = newFile();
    const { state } = new GlobalSwitches(file);
    assert.deepEqual([state.outgoing, state.incoming], [true, false]);
    assert.ok(!existsSync(file));
  });

  it('take what the settings say until somebody uses a switch', () => {
    const file = newFile();
    assert.equal(new GlobalSwitches(file, { incoming: true }).state.incoming, true);
    new GlobalSwitches(file, { incoming: true }).set({ incoming: false });
    assert.equal(new GlobalSwitches(file, { incoming: true }).state.incoming, false);
  });

  it('are on the disk when they count, for their owner only', () => {
    const file = newFile();
    const switches = new GlobalSwitches(file);
    switches.onChange(() => assert.equal(JSON.parse(readFileSync(file, 'utf8')).incoming, true));
    switches.set({ incoming: true });
    assert.equal(statSync(file).mode & 0o077, 0);
    assert.equal(new GlobalSwitches(file).state.incoming, true);
  });

  it('survive a process that is killed right after', () => {
    const file = newFile();
    const module = new URL('../../../lib/overview/global-switches.ts', import.meta.url).href;
    const program = `import { GlobalSwitches } from '${module}';
      new GlobalSwitches(process.argv[1]).set({ incoming: true }); process.kill(process.pid, 'SIGKILL');`;
    assert.throws(() =>
      execFileSync(process.execPath, ['--input-type=module', '-e', program, file], { timeout: 10_000 }),
    );
    assert.equal(new GlobalSwitches(file).state.incoming, true);
  });

  it('disable one connector, or all, and enable it again', () => {
    const switches = new GlobalSwitches(newFile());
    switches.setConnector('a', false);
    switches.setConnector('a', false);
    assert.deepEqual(switches.state.disabledConnectors, ['a']);
    assert.ok(!switches.isConnectorAllowed('a') && switches.isConnectorAllowed('b'));
    switches.set({ outgoing: false });
    assert.ok(!switches.isConnectorAllowed('b'));
    switches.set({ outgoing: true });
    switches.setConnector('a', true);
    assert.ok(switches.isConnectorAllowed('a'));
  });

  it('remember who is blocked', () => {
    const file = newFile();
    new GlobalSwitches(file).setBlocked('aa', true);
    assert.deepEqual(new GlobalSwitches(file).state.blockedPeers, ['aa']);
    new GlobalSwitches(file).setBlocked('aa', false);
    assert.deepEqual(new GlobalSwitches(file).state.blockedPeers, []);
  });

  it('tell nobody who does not listen any more', () => {
    const switches = new GlobalSwitches(newFile());
    let told = 0;
    const end = switches.onChange(() => told++);
    switches.set({ outgoing: false });
    end();
    switches.set({ outgoing: true });
    assert.equal(told, 1);
  });

  for (const [what, text] of [
    ['empty', ''],
    ['cut off', '{"outgoing": tr'],
    ['another thing', '[]'],
    ['without a switch', '{"outgoing":true,"disabledConnectors":[],"blockedPeers":[]}'],
    [
      'with a switch that is no yes or no',
      '{"outgoing":true,"incoming":"yes","disabledConnectors":[],"blockedPeers":[]}',
    ],
    ['with a list of numbers', '{"outgoing":true,"incoming":true,"disabledConnectors":[1],"blockedPeers":[]}'],
    ['too large', ' '.repeat(2 * 1024 * 1024)],
  ] as const) {
    it(`refuse a file that is ${what}, instead of guessing`, () => {
      const file = newFile();
      mkdirSync(join(file, '..'), { recursive: true });
      writeFileSync(file, text);
      assert.throws(() => new GlobalSwitches(file), { code: 'ERR_INVALID_CONFIG' });
    });
  }

  it('stay as they were when the disk does not take them', () => {
    const file = newFile();
    mkdirSync(file, { recursive: true });
    writeFileSync(join(file, 'x'), '');
    const other = join(file, 'x', 'peer-systems.json');
    assert.throws(() => new GlobalSwitches(other).set({ incoming: true }), /ENOTDIR|EEXIST/);
  });
});
