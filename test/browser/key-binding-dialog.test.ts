/** The dialog of an OCSP key binding in a real browser: which fields it shows, and what it objects to. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { type Editor, NO_BROWSER, openBrowser, openEditor } from '../helpers/editor-browser.ts';
import { type NodeRed, startNodeRed } from '../helpers/node-red.ts';
import { keyBindingNode } from '../helpers/peer-flow.ts';
import { issueRootCa } from '../helpers/test-pki.ts';

const SHOTS = process.env['PEER_SCREENSHOTS'];
const OF_FILE = ['tokenFile'];
const OF_DEVICE = ['library', 'slotBy', 'slot', 'keyLabel', 'stateFile'];

describe(`dialog of a key binding in a browser${NO_BROWSER === undefined ? '' : ` (${NO_BROWSER})`}`, function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'binding-dialog-'));
  const ca = issueRootCa('CN=Issuing CA,O=Test,C=SE');
  let nodeRed: NodeRed;

  before(async function () {
    if (NO_BROWSER !== undefined) return this.skip();
    nodeRed = await startNodeRed({});
    await nodeRed.deploy([
      { id: 'tab', type: 'tab', label: 'VA' },
      keyBindingNode('new', join(folder, 'ocsp.p12'), ca, { tokenType: 'pkcs12' }),
      // As a flow from before there was a choice.
      keyBindingNode('old', join(folder, 'old.p12'), ca),
    ]);
  });

  after(async () => {
    await nodeRed?.stop();
    rmSync(folder, { recursive: true });
  });

  const openDialog = async (page: Page, id: string): Promise<void> => {
    await page.evaluate((node) => {
      const { RED } = globalThis as unknown as { RED: { editor: { editConfig(...values: unknown[]): void } } };
      RED.editor.editConfig('', 'peer-ocsp-keybinding', node);
    }, id);
    await page.locator('#node-config-input-tokenType').waitFor();
  };
  const field = (page: Page, name: string) => page.locator(`#node-config-input-${name}`);
  const shown = async (page: Page): Promise<readonly string[]> => {
    const names = [...OF_FILE, ...OF_DEVICE];
    const visible = await Promise.all(names.map((name) => field(page, name).isVisible()));
    return names.filter((_, index) => visible[index]);
  };

  for (const [scheme, language] of [
    ['light', 'en-US'],
    ['dark', 'de-DE'],
  ] as const) {
    it(`shows what belongs to a file or a device, ${scheme}, ${language}`, async () => {
      const browser = await openBrowser({ scheme, language });
      const { page } = browser;
      try {
        await openEditor(page, nodeRed.url, 'new');
        await openDialog(page, 'new');
        assert.deepEqual(await shown(page), OF_FILE);
        await field(page, 'tokenType').selectOption('pkcs11');
        assert.deepEqual(await shown(page), OF_DEVICE);
        const isInvalid = (name: string): Promise<boolean> =>
          field(page, name).evaluate((element) => element.classList.contains('input-error'));
        assert.deepEqual(await Promise.all(['library', 'slot', 'stateFile', 'keyLabel'].map(isInvalid)), [
          true,
          true,
          true,
          false,
        ]);
        await field(page, 'library').fill('/usr/lib/softhsm/libsofthsm2.so');
        await field(page, 'slot').fill('va1');
        await field(page, 'stateFile').fill('peer-keys/ocsp-1.json');
        await field(page, 'stateFile').blur();
        assert.deepEqual(await Promise.all(['library', 'slot', 'stateFile'].map(isInvalid)), [false, false, false]);
        if (SHOTS !== undefined) {
          mkdirSync(SHOTS, { recursive: true });
          await page.screenshot({ path: join(SHOTS, `key-binding-${scheme}.png`) });
          await field(page, 'isDefaultResponder').scrollIntoViewIfNeeded();
          await page.screenshot({ path: join(SHOTS, `key-binding-below-${scheme}.png`) });
        }
        assert.deepEqual(browser.errors, []);
      } finally {
        await browser.close();
      }
    });
  }

  it('takes a binding from before there was a choice as one in a file', async () => {
    const browser = await openBrowser();
    try {
      await openEditor(browser.page, nodeRed.url, 'old');
      await openDialog(browser.page, 'old');
      assert.deepEqual(await shown(browser.page), OF_FILE);
      assert.equal(await field(browser.page, 'tokenType').inputValue(), 'pkcs12');
      await browser.page.locator('#node-config-dialog-ok').click();
      const node = await browser.page.evaluate(() => {
        const { RED } = globalThis as unknown as { RED: Editor };
        return RED.nodes.node('old')?.['tokenType'];
      });
      assert.equal(node, 'pkcs12');
    } finally {
      await browser.close();
    }
  });
});
