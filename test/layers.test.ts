/**
 * Who may import whom: a file of `lib/` imports from lower levels and from its own folder, never sideways, never up.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { tableOf } from './helpers/markdown.ts';

const LEVELS: readonly (readonly string[])[] = [
  ['errors'],
  ['x509'],
  ['auth', 'store', 'keybinding'],
  ['protocol'],
  ['pool', 'ocsp'],
  ['authority'],
  ['publisher', 'sync', 'renewal', 'ra', 'validation-authority'],
  ['endpoint'],
  ['overview'],
  ['nodes'],
];
/** What the outgoing side is made of. It and the endpoint meet in the protocol only. */
const OUTGOING = ['pool', 'authority', 'publisher', 'sync', 'renewal', 'ra'];

const ROOT = new URL('../', import.meta.url);

/** TypeScript sources below a folder, by their path from the root. */
function sourcesIn(folder: string): ReadonlyMap<string, string> {
  const names = readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' });
  const paths = names.filter((name) => name.endsWith('.ts')).map((name) => posix.join(folder, name));
  return new Map(paths.map((path) => [path, readFileSync(new URL(path, ROOT), 'utf8')]));
}

/** `lib/store/cbor.ts` → `store`, `lib/errors.ts` → `errors`, `nodes/ping.ts` → `nodes`. */
function unitOf(path: string): string {
  const [top = '', unit = ''] = path.split('/');
  return top === 'lib' ? unit.replace(/\.ts$/, '') : top;
}

function levelOf(path: string): number {
  return LEVELS.findIndex((units) => units.includes(unitOf(path)));
}

const IMPORT = /(?:\bfrom|\bimport|\bimport\(|\brequire\(|\bnew URL\()\s*(['"`])([^'"`]+)\1/g;

/** Whatever a source names: static and dynamic imports, types too, and files that it starts threads from. */
function importsOf(source: string): readonly string[] {
  return [...source.matchAll(IMPORT)].map(([, , specifier = '']) => specifier);
}

/** What is wrong with an import; undefined = nothing. */
function faultOf(path: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) {
    const isForbidden = path.startsWith('lib/') && /^(@node-red\/|node-red)/.test(specifier);
    return isForbidden ? `${path} imports ${specifier}: lib knows nothing of Node-RED` : undefined;
  }
  const target = posix.join(posix.dirname(path), specifier);
  if (unitOf(target) === unitOf(path)) return undefined;
  if (levelOf(target) === -1) return `${path} imports ${specifier}, which is on no level`;
  if (levelOf(target) >= levelOf(path)) return `${path} imports ${specifier}, which is not on a lower level`;
  const isAcross = unitOf(path) === 'endpoint' && OUTGOING.includes(unitOf(target));
  return isAcross ? `${path} imports ${specifier}: the two sides meet in the protocol only` : undefined;
}

describe('layers', () => {
  const sources = new Map([...sourcesIn('lib'), ...sourcesIn('nodes')]);

  it('have a place for every folder of lib', () => {
    assert.ok(sources.size > 50);
    for (const path of sources.keys()) assert.notEqual(levelOf(path), -1, path);
  });

  it('import downwards only', () => {
    const faults = [...sources].flatMap(([path, source]) =>
      importsOf(source).flatMap((specifier) => faultOf(path, specifier) ?? []),
    );
    assert.deepEqual(faults, []);
  });

  it('are the ones that CONTRIBUTING.md shows', () => {
    const table = tableOf(readFileSync(new URL('CONTRIBUTING.md', ROOT), 'utf8'), 'Level');
    assert.deepEqual(
      table.map((row) => (row['Folders of `lib/`'] ?? '').replaceAll(/[`/]/g, '').split(', ')),
      LEVELS,
    );
    assert.deepEqual(
      table.map(({ Level }) => Number(Level)),
      [...LEVELS.keys()],
    );
  });

  it('see every way to import', () => {
    const source = `
      import { a } from './a.ts';
      import type { B } from "./b.ts";
      import './c.ts';
      export { d } from './d.ts';
      const e = await import('./e.ts');
      const f = require('./f.ts');
      new Worker(new URL('./g.ts', import.meta.url));
      import {
        h,
      } from './h.ts';
    `;
    assert.deepEqual(
      importsOf(source),
      [...'abcdefgh'].map((name) => `./${name}.ts`),
    );
  });

  for (const [path, specifier, what] of [
    ['lib/x509/pem.ts', '../store/cbor.ts', 'up'],
    ['lib/store/sqlite-store.ts', '../auth/role.ts', 'sideways'],
    ['lib/auth/role.ts', '../keybinding/identity.ts', 'sideways'],
    ['lib/errors.ts', './x509/pem.ts', 'up from the bottom'],
    ['lib/protocol/operations.ts', '../pool/peer-client.ts', 'up to the sockets'],
    ['lib/endpoint/dispatch.ts', '../../nodes/ping.ts', 'a node'],
    ['lib/endpoint/dispatch.ts', '../pool/exchange.ts', 'the other side'],
    ['lib/pool/peer-client.ts', 'node-red', 'Node-RED'],
    ['lib/pool/peer-client.ts', '@node-red/util', 'a part of Node-RED'],
    ['lib/pool/peer-client.ts', '../utils/misc.ts', 'a folder without a level'],
    ['lib/pool/peer-client.ts', '../../test/helpers/two-peers.ts', 'tests'],
  ] as const) {
    it(`refuse an import of ${what}: ${specifier} from ${path}`, () => {
      assert.ok(faultOf(path, specifier));
    });
  }

  for (const [path, specifier] of [
    ['lib/store/sqlite-store.ts', './cbor.ts'],
    ['lib/endpoint/dispatch.ts', '../auth/role.ts'],
    ['nodes/shared/connectors.ts', '../../lib/errors.ts'],
    ['nodes/shared/connectors.ts', '../peer-connector.ts'],
    ['nodes/ping.ts', 'node-red'],
  ] as const) {
    it(`allow ${specifier} from ${path}`, () => {
      assert.equal(faultOf(path, specifier), undefined);
    });
  }
});
