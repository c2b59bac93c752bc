/** Validation authorities and key bindings in the sidebar of a real browser: of this Node-RED, and of a peer. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { NO_BROWSER, openBrowser, openEditor, showTab } from '../helpers/editor-browser.ts';
import { freePort, type NodeRed, startNodeRed } from '../helpers/node-red.ts';
import {
  authenticatorNode,
  authorityNode,
  connectorNode,
  endpointNode,
  flowNode,
  keyBindingNode,
  roleNode,
  storeNode,
} from '../helpers/peer-flow.ts';
import { createTestPki, issueRootCa, writePemFiles } from '../helpers/test-pki.ts';

const SHOTS = process.env['PEER_SCREENSHOTS'];
const RULES = ['/peerincoming', '/internalkeybinding', '/cryptotoken'].map((path) => ({ path, state: 'allow' }));

describe(`validation authorities in the sidebar${NO_BROWSER === undefined ? '' : ` (${NO_BROWSER})`}`, function () {
  this.timeout(60_000);
  const pki = createTestPki();
  const ca = issueRootCa('CN=Issuing CA,O=Test,C=SE');
  const folder = mkdtempSync(join(tmpdir(), 'sidebar-va-'));
  let publicPort: number;
  let nodeRed: NodeRed;
  let browser: Awaited<ReturnType<typeof openBrowser>>;
  let page: Page;

  before(async function () {
    if (NO_BROWSER !== undefined) return this.skip();
    const port = await freePort();
    publicPort = await freePort();
    // A token that cannot be opened: it is a folder.
    mkdirSync(join(folder, 'away.p12'));
    nodeRed = await startNodeRed({ settings: { peerSystems: { incoming: true } } });
    const keyBindings = ['signer', 'away'];
    await nodeRed.deploy([
      { id: 'tab', type: 'tab', label: 'VA' },
      authenticatorNode('ca', pki.caClient, pki.managementCa),
      authenticatorNode('va', pki.vaServer, pki.managementCa),
      storeNode('store', join(folder, 'va.sqlite')),
      keyBindingNode('signer', join(folder, 'signer.p12'), ca, { name: 'ocsp 1' }),
      keyBindingNode('away', join(folder, 'away.p12'), ca, { name: 'ocsp 2' }),
      roleNode('role', { rules: RULES }),
      endpointNode('endpoint', port, { name: 'VA endpoint', keyBindings }),
      connectorNode('connector', `https://localhost:${port}`, { name: 'VA Frankfurt' }),
      connectorNode('other', `https://localhost:${port}`, { name: 'VA without renewal' }),
      authorityNode('issuer', { kind: 'pem-files', ...writePemFiles(folder, 'issuing-ca', ca) }),
      flowNode('renew', 'peer-renew-keybinding', [], {
        connector: 'connector',
        authority: 'issuer',
        expiresWithin: 7,
        newKeyPair: true,
        wires: [[], []],
        x: 140,
        y: 60,
      }),
      flowNode('public', 'peer-validation-authority', [], {
        name: 'Public VA',
        store: 'store',
        host: '127.0.0.1',
        port: publicPort,
        crls: true,
        certificates: false,
        keyBindings,
        x: 140,
        y: 120,
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

  const card = (on = page) => on.locator('.peer-card[data-id="public"]');
  const close = async (): Promise<void> => {
    await page.getByRole('button', { name: 'Close', exact: true }).click();
    await page.locator('.peer-marks').waitFor({ state: 'detached' });
  };
  const binding = (name: string) => card().locator('.peer-sync', { hasText: name });
  const ask = async (): Promise<void> => {
    const response = await fetch(`http://127.0.0.1:${publicPort}/ocsp`, {
      method: 'POST',
      headers: { 'content-type': 'application/ocsp-request' },
      body: 'no request',
    });
    assert.equal(response.status, 200);
  };

  it('shows what listens, and which key binding does not sign, and why', async () => {
    await card().getByText(`listening on port ${publicPort}`).waitFor();
    await binding('ocsp 1').getByText('waits for a certificate').waitFor();
    await binding('ocsp 2').getByText('offline').waitFor();
  });

  it('counts requests as they come', async () => {
    await ask();
    await card()
      .getByText(/^1 · good 0 .* errors 1/)
      .waitFor();
  });

  it('renews a key binding of a peer at the press of a button; the one that is away has none', async () => {
    await page.locator('.peer-card[data-id="connector"]').getByRole('button', { name: 'Key bindings' }).click();
    const lines = page.locator('.peer-marks > div');
    await lines.filter({ hasText: 'ocsp 2 · offline' }).waitFor();
    assert.equal(await lines.getByRole('button').count(), 1);
    await lines.getByRole('button', { name: 'Renew' }).click();
    await lines.filter({ hasText: /ocsp 1 · online \(enabled\) · P-256 · \d+ · until/ }).waitFor();
    await close();
    await binding('ocsp 1')
      .getByText(/^signs/)
      .waitFor();
  });

  it('has no button where no node renews at the connector', async () => {
    await page.locator('.peer-card[data-id="other"]').getByRole('button', { name: 'Key bindings' }).click();
    const lines = page.locator('.peer-marks > div');
    await lines.filter({ hasText: 'ocsp 1 · online' }).waitFor();
    assert.equal(await lines.getByRole('button').count(), 0);
    await close();
  });

  for (const [scheme, language, word] of [
    ['light', 'en-US', 'Validation authorities'],
    ['dark', 'de-DE', 'Validierungsstellen'],
  ] as const) {
    it(`is shown in ${scheme} and ${language}, without an error in the page`, async () => {
      const other = await openBrowser({ scheme, language, size: { width: 1280, height: 1400 } });
      try {
        await openEditor(other.page, nodeRed.url, 'connector');
        await showTab(other.page);
        await other.page.getByRole('heading', { name: word }).waitFor();
        await card(other.page).scrollIntoViewIfNeeded();
        if (SHOTS !== undefined) {
          mkdirSync(SHOTS, { recursive: true });
          await other.page.screenshot({ path: join(SHOTS, `va-${scheme}.png`) });
        }
        assert.deepEqual([...other.errors, ...browser.errors], []);
      } finally {
        await other.close();
      }
    });
  }
});
