/** The dashboard example, loaded and looked at in a real browser. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { demoPki } from '../demo/demo-pki.ts';
import { NO_BROWSER, openBrowser } from '../helpers/editor-browser.ts';
import { exampleFiles, readExample } from '../helpers/examples.ts';
import { freePort, type NodeRed, startNodeRed } from '../helpers/node-red.ts';

const SHOTS = process.env['PEER_SCREENSHOTS'];

describe(`dashboard example in a browser${NO_BROWSER === undefined ? '' : ` (${NO_BROWSER})`}`, function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'dashboard-'));
  let nodeRed: NodeRed;
  let browser: Awaited<ReturnType<typeof openBrowser>>;

  before(async function () {
    if (NO_BROWSER !== undefined) return this.skip();
    const port = await freePort();
    const env = { ...demoPki(folder, 5), PEER_PORT: String(port), PEER_URL: `https://localhost:${port}/ejbca/peer/v1` };
    nodeRed = await startNodeRed({ env });
    const files = exampleFiles().filter((file) => /^(01|10) /.test(file));
    await nodeRed.deploy(files.flatMap(readExample));
    browser = await openBrowser({ size: { width: 1280, height: 860 } });
    await browser.page.goto(`${nodeRed.url}/dashboard/peers`);
  });

  after(async () => {
    await browser?.close();
    await nodeRed?.stop();
    rmSync(folder, { recursive: true });
  });

  it('shows the chart and the gauge of the pings', async () => {
    const { page } = browser;
    await page.locator('.nrdb-ui-chart canvas, .nrdb-ui-chart svg').first().waitFor();
    await page.getByText('Last ping').first().waitFor();
  });

  it('shows connectors and incoming peers as tables', async () => {
    const { page } = browser;
    await page.locator('.nrdb-ui-table').getByText('running').waitFor({ timeout: 20_000 });
    await page.locator('.nrdb-ui-table').getByText('CN=Demo CA,O=Demo,C=SE').waitFor();
  });

  it('raises the alarm when a dry run finds differences', async () => {
    const { page } = browser;
    await nodeRed.inject('dash10dry');
    await page.getByText('VA: out of sync').first().waitFor({ timeout: 20_000 });
    if (SHOTS !== undefined) {
      mkdirSync(SHOTS, { recursive: true });
      await page.waitForTimeout(6_000);
      await page.screenshot({ path: join(SHOTS, 'dashboard.png') });
    }
  });

  it('shows how far the synchronisation is', async () => {
    await browser.page.locator('.nrdb-ui-progress, .v-progress-linear').getByText('100').first().waitFor();
  });

  it('causes no error in the page and asks nothing of other machines', () => {
    assert.deepEqual(browser.errors, []);
    assert.deepEqual(browser.foreign, []);
  });
});
