/** The sidebar tab in a real browser, on a Node-RED that is both sides at once. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { WorkerStore } from '../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../lib/x509/ca-scope.ts';
import {
  contrast,
  type Editor,
  enlargeTab,
  NO_BROWSER,
  openBrowser,
  openEditor,
  showTab,
} from '../helpers/editor-browser.ts';
import { freePort, type NodeRed, startNodeRed } from '../helpers/node-red.ts';
import { outgoingPeer } from '../helpers/outgoing-peer.ts';
import { authenticatorNode, connectorNode, endpointNode, flowNode, storeNode } from '../helpers/peer-flow.ts';
import { createTestPki, daysFromNow } from '../helpers/test-pki.ts';
import { row, stream } from '../lib/store/rows.ts';

const ROWS = 1_500;
const SHOTS = process.env['PEER_SCREENSHOTS'];

describe(`sidebar tab in a browser${NO_BROWSER === undefined ? '' : ` (${NO_BROWSER})`}`, function () {
  this.timeout(60_000);
  const pki = createTestPki();
  const folder = mkdtempSync(join(tmpdir(), 'sidebar-'));
  let port: number;
  let nodeRed: NodeRed;
  let browser: Awaited<ReturnType<typeof openBrowser>>;
  let page: Page;

  before(async function () {
    if (NO_BROWSER !== undefined) return this.skip();
    const file = join(folder, 'ca.sqlite');
    const source = new WorkerStore({ kind: 'sqlite', file });
    await source.writeRows([stream(...Array.from({ length: ROWS }, (_, i) => row(i)))], ALL_CAS);
    await source.close();
    port = await freePort();
    const notAfter = daysFromNow(365);
    const caClient = pki.client({ subjectDN: 'CN=ca-1,O=Test,C=SE', notAfter });
    const vaServer = pki.server({ subjectDN: 'CN=va-1,O=Test,C=SE', notAfter });
    nodeRed = await startNodeRed({ settings: { peerSystems: {} } });
    await nodeRed.deploy([
      { id: 'tab', type: 'tab', label: 'Both sides' },
      authenticatorNode('ca', caClient, pki.managementCa),
      authenticatorNode('va', vaServer, pki.managementCa),
      storeNode('source', file),
      storeNode('store', join(folder, 'va.sqlite')),
      connectorNode('connector', `https://localhost:${port}`, { name: 'VA Frankfurt' }),
      endpointNode('endpoint', port, { name: 'VA endpoint', roles: [] }),
      flowNode('later', 'inject', ['publish'], {
        props: [{ p: 'payload' }],
        repeat: '',
        crontab: '',
        once: false,
        onceDelay: 0,
        topic: '',
        payload: pki.vaServer.certificatePem,
        payloadType: 'str',
        x: 140,
        y: 220,
      }),
      flowNode('publish', 'peer-publish-cert', [], {
        connectors: ['connector'],
        mode: 'queue',
        store: 'source',
        wires: [[], []],
        x: 320,
        y: 220,
      }),
      flowNode('ping', 'peer-ping', [], { connector: 'connector', x: 140, y: 160 }),
      flowNode('sync', 'peer-sync', [], {
        name: 'nightly',
        connector: 'connector',
        store: 'source',
        cas: '',
        status: 'all',
        changedSince: '',
        includeExpired: true,
        withCertificate: true,
        dryRun: false,
        batchRows: 50,
        maxRowsPerSecond: 1_000,
        reportName: 'sync-{{peer}}.yaml',
        wires: [[], []],
        x: 140,
        y: 100,
      }),
    ]);
    browser = await openBrowser();
    page = browser.page;
    await openEditor(page, nodeRed.url, 'connector');
    await showTab(page);
  });

  after(async () => {
    await browser?.close();
    await nodeRed?.stop();
    rmSync(folder, { recursive: true });
  });

  const card = () => page.locator('.peer-card[data-id="connector"]');
  const textOf = (term: string) => card().locator(`dt:has-text("${term}") + dd`);
  const press = (name: string) => page.locator('.peer-systems').getByRole('button', { name, exact: true }).click();
  const shoot = async (name: string, on = page): Promise<void> => {
    if (SHOTS === undefined) return;
    mkdirSync(SHOTS, { recursive: true });
    await on.screenshot({ path: join(SHOTS, `${name}.png`) });
  };

  it('says what it means that the editor asks nobody for a password', async () => {
    await page.getByRole('note').waitFor();
    assert.match((await page.getByRole('note').textContent()) ?? '', /adminAuth is not set/);
  });

  it('lets nobody in until incoming connections are allowed, and then lives without a reload', async () => {
    await page.getByText('off: incoming connections are not allowed here').waitFor();
    await shoot('1-off');
    await page.getByLabel('Incoming connections', { exact: true }).first().click();
    await page.getByText(/listening on port \d+/).waitFor();
  });

  it('shows a ping that is refused, on both sides', async () => {
    await press('Ping');
    await textOf('Last ping').getByText('ERR_NOT_AUTHORIZED').waitFor();
    await page
      .locator('.peer-line', { hasText: 'CN=ca-1' })
      .getByText(/refused/)
      .waitFor();
    await shoot('2-refused');
  });

  it('makes a role from the refused connection, which can be undone', async () => {
    await page.locator('.peer-list').focus();
    await page.keyboard.press('ArrowDown');
    await page.getByLabel('What the new role may do').selectOption('synchronise');
    await press('Create role');
    await page.locator('#node-config-dialog-ok').waitFor();
    await page.locator('#peer-role-certificate').selectOption({ label: 'CN=ca-1,O=Test,C=SE' });
    const rights = page.locator('#peer-role-rights');
    await rights.getByText('Belongs to: ca-1').waitFor();
    await rights.locator('.peer-right-allowed', { hasText: '/peerpublish/readcert' }).waitFor();
    assert.equal(await rights.locator('.peer-right-allowed', { hasText: '/cryptotoken' }).count(), 0);
    await page.waitForTimeout(600);
    await shoot('3-role');
    await page.locator('#node-config-dialog-ok').click();
    await page.locator('#node-config-dialog-ok').waitFor({ state: 'detached' });
    const undone = await page.evaluate(() => {
      const { RED } = globalThis as unknown as { RED: Editor };
      const count = (): number => ((RED.nodes.node('endpoint')?.['roles'] ?? []) as string[]).length;
      RED.history.pop();
      const undone = count();
      RED.history.redo();
      return [undone, count()];
    });
    assert.deepEqual(undone, [0, 1]);
  });

  it('admits the peer after the deploy', async () => {
    await page.locator('#red-ui-header-button-deploy').click();
    await page.waitForFunction(() => !(globalThis as unknown as { RED: Editor }).RED.nodes.dirty());
    await page.waitForTimeout(500);
    await press('Ping');
    await textOf('Last ping')
      .getByText(/[\d.]+ ms/)
      .waitFor();
    await page
      .locator('.peer-line', { hasText: 'CN=ca-1' })
      .getByText(/ca-1 · ping/)
      .waitFor();
  });

  it('runs a synchronisation and shows it to its end, with the report for download', async () => {
    await press('Sync');
    await page.locator('.peer-sync progress').waitFor();
    await shoot('4-sync');
    await page
      .locator('.peer-sync')
      .getByText(/finished .*pushed 1500/)
      .waitFor({ timeout: 20_000 });
    const [download] = await Promise.all([page.waitForEvent('download'), press('Report')]);
    assert.match(download.suggestedFilename(), /^sync-VA Frankfurt\.yaml$/);
    await shoot('5-synced');
  });

  it('disables and enables a connector', async () => {
    await press('Disable');
    await card().getByText('disabled', { exact: true }).waitFor();
    assert.ok(await card().getByRole('button', { name: 'Ping' }).isDisabled());
    await press('Enable');
    await card().getByText('ready', { exact: true }).waitFor();
  });

  it('shows the queue of a peer that is away, with its marks, until it is back', async () => {
    await press('Disable');
    await card().getByText('disabled', { exact: true }).waitFor();
    await nodeRed.inject('later');
    await textOf('Queue').getByText(/^1 ·/).waitFor();
    await press('Queue');
    await page.getByText(/waiting · certificate [0-9a-f]{40}/).waitFor();
    await shoot('6-queue');
    await page.getByRole('button', { name: 'Close', exact: true }).click();
    await press('Enable');
    await card().getByRole('button', { name: 'Queue', exact: true }).waitFor({ state: 'hidden' });
  });

  it('shows the key bindings of a peer, or why it may not see them', async () => {
    await press('Key bindings');
    await card().getByText('There are none.').waitFor();
    await press('Key bindings');
    await card().getByText('There are none.').waitFor({ state: 'hidden' });
  });

  it('refuses a peer for good, and admits it again', async () => {
    await page.locator('.peer-line', { hasText: 'CN=ca-1' }).click();
    await press('Refuse');
    await page
      .locator('.peer-line')
      .getByText(/refused by an operator/)
      .waitFor();
    await press('Ping');
    await textOf('Last ping').getByText('ERR_NOT_AUTHENTICATED').waitFor();
    await press('Admit again');
    await press('Ping');
    await textOf('Last ping')
      .getByText(/[\d.]+ ms/)
      .waitFor();
  });

  it('shows who is refused because it has no role, beside who is admitted', async () => {
    const stranger = outgoingPeer(port, pki.nobody(), pki.managementCa);
    await assert.rejects(stranger.client.ping(), { code: 'ERR_NOT_AUTHORIZED' });
    await stranger.close();
    await page
      .locator('.peer-line', { hasText: 'CN=nobody' })
      .getByText(/refused/)
      .waitFor();
  });

  for (const [scheme, language, word] of [
    ['light', 'en-US', 'Outgoing connections'],
    ['dark', 'en-US', 'Outgoing connections'],
    ['dark', 'de-DE', 'Ausgehende Verbindungen'],
  ] as const) {
    it(`is readable in ${scheme} and ${language}`, async () => {
      const other = await openBrowser({ scheme, language });
      try {
        await openEditor(other.page, nodeRed.url, 'connector');
        await showTab(other.page);
        await other.page.getByRole('heading', { name: word }).waitFor();
        const colours = await other.page.locator('.peer-systems').evaluate((element) => {
          const { color, backgroundColor } = getComputedStyle(element);
          return [color, backgroundColor];
        });
        assert.ok(contrast(colours) > 4.5, colours.join(' on '));
        if (SHOTS !== undefined) await enlargeTab(other.page);
        await other.page.locator('.peer-line').last().click();
        await other.page.waitForTimeout(300);
        await other.page.locator('.peer-systems').evaluate((tab) => tab.scrollTo(0, 0));
        await shoot(`tab-${scheme}-${language}`, other.page);
        assert.deepEqual(other.errors, []);
      } finally {
        await other.close();
      }
    });
  }

  it('causes no error in the page and asks nothing of other machines', () => {
    assert.deepEqual(browser.errors, []);
    assert.deepEqual(browser.foreign, []);
  });
});
