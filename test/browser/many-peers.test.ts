/** A thousand incoming peers and fifty connectors do not slow the editor. */
import assert from 'node:assert/strict';
import type { Page } from 'playwright-core';
import { toOverview } from '../../lib/overview/overview.ts';
import { OverviewLog } from '../../lib/overview/overview-changes.ts';
import { type Editor, NO_BROWSER, openBrowser, openEditor } from '../helpers/editor-browser.ts';
import { type NodeRed, startNodeRed } from '../helpers/node-red.ts';
import { connector, endpoint, facts, peer } from '../lib/overview/rows.ts';

const PEERS = 1_000;
const CONNECTORS = 50;
const HOSTILE = '<img src=x onerror="globalThis.hacked = true">';

describe(`sidebar tab with ${PEERS} peers${NO_BROWSER === undefined ? '' : ` (${NO_BROWSER})`}`, function () {
  this.timeout(60_000);
  let nodeRed: NodeRed;
  let browser: Awaited<ReturnType<typeof openBrowser>>;
  let page: Page;
  const log = new OverviewLog();
  let round = 0;
  let asked = 0;
  let bytes = 0;

  /** The rows a busy VA would have; each round a few peers do something. */
  const answer = (since: string) => {
    round += 1;
    const peers = Array.from({ length: PEERS }, (_, i) =>
      peer(`${i}`.padStart(40, '0'), {
        subjectDN: i === 0 ? `CN=${HOSTILE}` : `CN=ca-${i},O=Test,C=SE`,
        lastOperation: 'ping',
        roles: ['CAs'],
        requests: i % 100 === 0 ? round : 1,
        lastSeen: new Date(1_767_225_600_000 - i * 1_000).toISOString(),
      }),
    );
    const connectors = Array.from({ length: CONNECTORS }, (_, i) =>
      connector(`va-${i}`, { name: i === 0 ? HOSTILE : `VA ${i}` }),
    );
    log.update(toOverview(facts({ connectors, endpoints: [endpoint('endpoint', peers)] })));
    const switches = { outgoing: true, incoming: true, disabledConnectors: [] };
    return JSON.stringify({ ...log.since(since), switches, hasAdminAuth: true });
  };

  before(async function () {
    if (NO_BROWSER !== undefined) return this.skip();
    nodeRed = await startNodeRed();
    await nodeRed.deploy([
      { id: 'tab', type: 'tab', label: 'VA' },
      { id: 'note', z: 'tab', type: 'comment', name: '', x: 100, y: 100, wires: [] },
    ]);
    browser = await openBrowser();
    page = browser.page;
    // The rows come from the code that makes them in the runtime; a thousand real clients would test the machine.
    await page.route(/\/peer-systems\/overview/, (route) => {
      const body = answer(new URL(route.request().url()).searchParams.get('since') ?? '');
      asked += 1;
      bytes = body.length;
      return route.fulfill({ contentType: 'application/json', body });
    });
    await openEditor(page, nodeRed.url, 'note');
    await page.evaluate(() => (globalThis as unknown as { RED: Editor }).RED.sidebar.show('peer-systems'));
    await page.locator('.peer-line').first().waitFor();
  });

  after(async () => {
    await browser?.close();
    await nodeRed?.stop();
  });

  it('draws as many rows as are in sight', async () => {
    const drawn = await page.locator('.peer-line').count();
    assert.ok(drawn > 0 && drawn < 40, String(drawn));
    assert.equal(await page.locator('.peer-line').first().getAttribute('aria-setsize'), String(PEERS));
  });

  it('reaches the last row by key', async () => {
    await page.locator('.peer-list').focus();
    await page.keyboard.press('End');
    await page.locator('.peer-line[aria-selected="true"]', { hasText: `CN=ca-${PEERS - 1},` }).waitFor();
    await page.keyboard.press('Home');
    await page.locator('.peer-line[aria-selected="true"][aria-posinset="1"]').waitFor();
  });

  it('shows what peers and connectors are called as text', async () => {
    await page.locator('.peer-name', { hasText: HOSTILE }).waitFor();
    await page.locator('.peer-subject', { hasText: HOSTILE }).waitFor();
    assert.equal(await page.locator('.peer-systems img').count(), 0);
    assert.equal(await page.evaluate(() => 'hacked' in globalThis), false);
  });

  it('takes four changes a second without a long pause of the editor', async () => {
    const before = asked;
    const longest = await page.evaluate(async () => {
      let last = performance.now();
      let longest = 0;
      const timer = setInterval(() => {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }, 5);
      for (let i = 0; i < 12; i++) {
        document.dispatchEvent(new Event('visibilitychange'));
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
      clearInterval(timer);
      return longest;
    });
    assert.ok(asked - before >= 8, String(asked - before));
    assert.ok(bytes < 20_000, `${bytes} bytes for a change`);
    assert.ok(longest < 200, `${longest} ms`);
  });

  it('asks nothing while the tab is hidden', async () => {
    await page.evaluate(() => (globalThis as unknown as { RED: Editor }).RED.sidebar.show('info'));
    await page.waitForTimeout(600);
    const before = asked;
    await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    await page.waitForTimeout(500);
    assert.equal(asked, before);
  });

  it('finds a peer by what is typed', async () => {
    await page.evaluate(() => (globalThis as unknown as { RED: Editor }).RED.sidebar.show('peer-systems'));
    await page.getByLabel('Search name, address, role').fill('ca-777,');
    await page.waitForFunction(() => document.querySelectorAll('.peer-line').length === 1);
    assert.deepEqual(browser.errors, []);
  });
});
