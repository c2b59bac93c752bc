/** Key bindings in the sidebar tab: those of a peer, renewed from there, and those of a validation authority. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { contrast, enlargeTab, NO_BROWSER, openBrowser, openEditor, showTab } from '../helpers/editor-browser.ts';
import { type FlowNode, freePort, type NodeRed, startNodeRed } from '../helpers/node-red.ts';
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
import { createTestPki, daysFromNow, issueRootCa, writePemFiles } from '../helpers/test-pki.ts';

const SHOTS = process.env['PEER_SCREENSHOTS'];
const NAMES: Readonly<Record<string, string>> = {
  connector: 'VA Frankfurt',
  chosen: 'VA Berlin',
  unserved: 'VA Hamburg',
};
const RULES = ['/peerincoming', '/internalkeybinding', '/cryptotoken'];

describe(`key bindings in a browser${NO_BROWSER === undefined ? '' : ` (${NO_BROWSER})`}`, function () {
  this.timeout(60_000);
  const pki = createTestPki();
  const ca = issueRootCa('CN=Issuing CA 1,O=Test,C=SE');
  const folder = mkdtempSync(join(tmpdir(), 'bindings-'));
  let publicPort: number;
  let nodeRed: NodeRed;
  let browser: Awaited<ReturnType<typeof openBrowser>>;
  let page: Page;

  before(async function () {
    if (NO_BROWSER !== undefined) return this.skip();
    const port = await freePort();
    publicPort = await freePort();
    const notAfter = daysFromNow(365);
    const bindings = ['signer', 'spare'];
    nodeRed = await startNodeRed();
    await nodeRed.deploy([
      { id: 'tab', type: 'tab', label: 'Both sides' },
      authenticatorNode('ca', pki.client({ subjectDN: 'CN=ca-1,O=Test,C=SE', notAfter }), pki.managementCa),
      authenticatorNode('va', pki.server({ subjectDN: 'CN=va-1,O=Test,C=SE', notAfter }), pki.managementCa),
      storeNode('store', join(folder, 'va.sqlite')),
      keyBindingNode('signer', join(folder, 'signer.p12'), ca, { name: 'OCSP signer 1', isDefaultResponder: true }),
      keyBindingNode('spare', join(folder, 'spare.p12'), ca, { name: 'OCSP signer 2', enabled: false }),
      roleNode('role', { rules: RULES.map((path) => ({ path, state: 'allow' })) }),
      endpointNode('endpoint', port, { name: 'VA endpoint', keyBindings: bindings }),
      ...['connector', 'chosen', 'unserved'].map((id) =>
        connectorNode(id, `https://localhost:${port}`, { name: NAMES[id] }),
      ),
      authorityNode('local', {
        name: 'Issuing CA 1',
        kind: 'pem-files',
        validityDays: 90,
        ...writePemFiles(folder, 'issuing-ca', ca),
      }),
      authorityNode('step', { name: 'step-ca', kind: 'flow', timeout: 2 }),
      renewNode('renew', 'connector', 'local', 'every night'),
      renewNode('first', 'chosen', 'local', 'every night'),
      renewNode('second', 'chosen', 'step', 'by step-ca'),
      flowNode('public', 'peer-validation-authority', [], {
        name: 'VA of Frankfurt',
        store: 'store',
        port: publicPort,
        host: '127.0.0.1',
        crls: true,
        certificates: true,
        keyBindings: bindings,
        x: 160,
        y: 160,
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

  const cardOf = (id: string, on = page) => on.locator(`.peer-card[data-id="${id}"]`);
  const bindingOf = (id: string, name: string, on = page) => cardOf(id, on).locator('.peer-binding', { hasText: name });
  const renewButton = (id: string, name: string, label = 'Renew') =>
    bindingOf(id, name).getByRole('button', { name: label, exact: true });
  const openList = (id: string) => cardOf(id).getByRole('button', { name: 'Key bindings' }).click();
  const shoot = async (name: string, on = page): Promise<void> => {
    if (SHOTS === undefined) return;
    mkdirSync(SHOTS, { recursive: true });
    await on.screenshot({ path: join(SHOTS, `${name}.png`) });
  };

  it('show where a validation authority listens, and that its key bindings do not sign yet', async () => {
    await cardOf('public').getByText(`127.0.0.1:${publicPort}`).waitFor();
    await bindingOf('public', 'OCSP signer 1').getByText('pending').waitFor();
    await bindingOf('public', 'OCSP signer 2').getByText('offline (disabled)').waitFor();
    await cardOf('public').locator('.peer-head .peer-dot-yellow').waitFor();
  });

  it('count what the public asks, without a reload', async () => {
    const malformed = { method: 'POST', body: 'x', headers: { 'content-type': 'application/ocsp-request' } };
    await (await fetch(`http://127.0.0.1:${publicPort}/ocsp`, malformed)).arrayBuffer();
    await fetch(`http://127.0.0.1:${publicPort}/crls/search.cgi?name=nobody`);
    await cardOf('public')
      .getByText(/requests 1 · .* errors 1/)
      .waitFor();
    await cardOf('public').getByText('2 · not found 1').waitFor();
  });

  it('of a peer are shown when they are asked for, and not renewed where the peer refuses', async () => {
    await openList('connector');
    await bindingOf('connector', 'OCSP signer 1').waitFor();
    assert.ok(await renewButton('connector', 'OCSP signer 1').isEnabled());
    assert.ok(await renewButton('connector', 'OCSP signer 2').isDisabled());
    assert.match(
      (await renewButton('connector', 'OCSP signer 2').getAttribute('title')) ?? '',
      /does not let this side renew/,
    );
  });

  it('are renewed by a button, which shows how it went on both sides', async () => {
    await renewButton('connector', 'OCSP signer 1').click();
    const line = bindingOf('connector', 'OCSP signer 1');
    await line.getByText(/^renewed, /).waitFor();
    await line.getByText(/online · P-256 · \d+ · until/).waitFor();
    await bindingOf('public', 'OCSP signer 1')
      .getByText(/online · P-256/)
      .waitFor();
    await cardOf('public').locator('.peer-head .peer-dot-green').waitFor();
    assert.ok(await renewButton('connector', 'OCSP signer 1').isEnabled());
  });

  it('are renewed by whichever of several nodes somebody chooses, and say why it failed', async () => {
    await openList('chosen');
    await renewButton('chosen', 'OCSP signer 1', 'Renew: by step-ca').click();
    const line = bindingOf('chosen', 'OCSP signer 1');
    await line.getByText('certificate requested').waitFor();
    assert.ok(await renewButton('chosen', 'OCSP signer 1', 'Renew: every night').isDisabled());
    await line.scrollIntoViewIfNeeded();
    await shoot('bindings-underway');
    await line.getByText(/renewal failed, .*ERR_PEER_TIMEOUT/).waitFor();
    await line.getByText(/online · P-256/).waitFor();
    assert.ok(await renewButton('chosen', 'OCSP signer 1', 'Renew: every night').isEnabled());
  });

  it('have no button where no node renews those of the peer', async () => {
    await openList('unserved');
    await bindingOf('unserved', 'OCSP signer 1').waitFor();
    assert.equal(await bindingOf('unserved', 'OCSP signer 1').getByRole('button').count(), 0);
  });

  it('are shown to who may only look, with buttons that cannot be pressed', async () => {
    const other = await openBrowser();
    try {
      // What the runtime tells the editor of such a user.
      await other.page.route(/\/settings(\?|$)/, async (route) => {
        const response = await route.fetch();
        const user = { anonymous: true, permissions: 'read' };
        await route.fulfill({ response, json: { ...((await response.json()) as object), user } });
      });
      await openEditor(other.page, nodeRed.url, 'connector');
      await showTab(other.page);
      await cardOf('connector', other.page).getByRole('button', { name: 'Key bindings' }).click();
      const renew = bindingOf('connector', 'OCSP signer 1', other.page).getByRole('button', { name: 'Renew' });
      await renew.waitFor();
      assert.ok(await renew.isDisabled());
      assert.deepEqual(other.errors, []);
    } finally {
      await other.close();
    }
  });

  it('are put away with a connector that is disabled', async () => {
    await cardOf('connector').getByRole('button', { name: 'Disable' }).click();
    await bindingOf('connector', 'OCSP signer 1').waitFor({ state: 'hidden' });
    await cardOf('connector').getByRole('button', { name: 'Enable' }).click();
    await cardOf('connector').getByText('ready', { exact: true }).waitFor();
  });

  for (const [scheme, language, words] of [
    ['light', 'en-US', ['Key bindings', 'Renew', 'Validation authorities']],
    ['dark', 'en-US', ['Key bindings', 'Renew', 'Validation authorities']],
    ['dark', 'de-DE', ['Key Bindings', 'Erneuern', 'Validation Authorities']],
  ] as const) {
    it(`are readable in ${scheme} and ${language}`, async () => {
      const other = await openBrowser({ scheme, language });
      try {
        const [list, renew, title] = words;
        await openEditor(other.page, nodeRed.url, 'connector');
        await showTab(other.page);
        await other.page.getByRole('heading', { name: title }).waitFor();
        await cardOf('connector', other.page).getByRole('button', { name: list }).click();
        const line = bindingOf('connector', 'OCSP signer 1', other.page);
        await line.getByRole('button', { name: renew, exact: true }).click();
        await line.locator('[role="status"]', { hasText: /^(renewed|erneuert)/ }).waitFor();
        const colours = await line.locator('.peer-subject').evaluate((element) => {
          const card = element.closest('.peer-card') as Element;
          return [getComputedStyle(element).color, getComputedStyle(card).backgroundColor];
        });
        assert.ok(contrast(colours) > 4.5, colours.join(' on '));
        if (SHOTS !== undefined) await enlargeTab(other.page);
        await shoot(`bindings-${scheme}-${language}`, other.page);
        await other.page.locator('.peer-systems').evaluate((tab) => tab.scrollTo(0, tab.scrollHeight));
        await shoot(`validation-${scheme}-${language}`, other.page);
        assert.deepEqual(other.errors, []);
      } finally {
        await other.close();
      }
    });
  }

  it('cause no error in the page and ask nothing of other machines', () => {
    assert.deepEqual(browser.errors, []);
    assert.deepEqual(browser.foreign, []);
  });
});

function renewNode(id: string, connector: string, authority: string, name: string): FlowNode {
  const dialog = { name, connector, authority, expiresWithin: 7, newKeyPair: true };
  return flowNode(id, 'peer-renew-keybinding', [], { ...dialog, wires: [[], []], x: 140, y: 220 });
}
