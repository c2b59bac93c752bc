/**
 * A real headless Chromium on the editor of a Node-RED. Nothing but this machine is reachable from it.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium, type Page } from 'playwright-core';

const PROGRAM = '/usr/bin/chromium';
const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Why browser tests do not run here; undefined = they do. */
export const NO_BROWSER: string | undefined = existsSync(PROGRAM) ? undefined : `skipped: no ${PROGRAM}`;

/** How the editor is opened. */
export interface EditorOptions {
  readonly scheme?: 'light' | 'dark';
  readonly language?: 'en-US' | 'de-DE';
  readonly size?: { readonly width: number; readonly height: number };
}

/** Opens a browser with a profile of its own. */
export async function openBrowser({ scheme = 'light', language = 'en-US', size }: EditorOptions = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'browser-'));
  const context: BrowserContext = await chromium.launchPersistentContext(profile, {
    executablePath: PROGRAM,
    args: ARGUMENTS,
    locale: language,
    timezoneId: 'UTC',
    viewport: size ?? { width: 1280, height: 900 },
    acceptDownloads: true,
  });
  const errors: string[] = [];
  const foreign: string[] = [];
  await context.addInitScript((theme) => localStorage.setItem('view-dark-theme', theme), scheme);
  await context.route(
    (url) => !['127.0.0.1', 'localhost'].includes(url.hostname) && url.protocol.startsWith('http'),
    (route) => {
      foreign.push(route.request().url());
      return route.abort();
    },
  );
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(10_000);
  page.on('pageerror', (error) => errors.push(String(error)));
  return {
    page,
    /** Errors of the page, and requests to elsewhere. */
    errors,
    foreign,
    async close(): Promise<void> {
      await context.close();
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Opens the editor and waits until it knows a node. */
export async function openEditor(page: Page, url: string, nodeId: string): Promise<void> {
  await page.goto(url);
  await page.waitForFunction(
    (id) => Boolean((globalThis as unknown as { RED?: Editor }).RED?.nodes?.node(id)),
    nodeId,
    { timeout: 20_000 },
  );
}

/** What tests use of the editor. */
export interface Editor {
  readonly nodes: { node(id: string): Record<string, unknown> | null; dirty(): boolean };
  readonly sidebar: { show(id: string): void };
  readonly history: { pop(): void; redo(): void };
}

/** Gives the tab the room that a person would give it. */
export async function enlargeTab(page: Page): Promise<void> {
  const drag = async (from: readonly [number, number], to: readonly [number, number]): Promise<void> => {
    await page.mouse.move(...from);
    await page.mouse.down();
    await page.mouse.move(...to, { steps: 4 });
    await page.mouse.up();
  };
  const box = await page.locator('.peer-systems').boundingBox();
  if (box === null) return;
  await drag([box.x + box.width / 2, box.y + box.height + 6], [box.x + box.width / 2, 850]);
  await drag([box.x - 5, 600], [box.x - 190, 600]);
  await page.waitForTimeout(300);
}

/** Shows the tab of the sidebar. */
export async function showTab(page: Page): Promise<void> {
  await page.evaluate(() => (globalThis as unknown as { RED: Editor }).RED.sidebar.show('peer-systems'));
  await page.locator('.peer-systems').waitFor();
}

/** Contrast of two CSS colours (WCAG 2.2). */
export function contrast(colours: readonly string[]): number {
  const [a = 0, b = 0] = colours.map((colour) => {
    const [red = 0, green = 0, blue = 0] = (colour.match(/[\d.]+/g) ?? []).map(Number).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  });
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
