/**
 * What a user of the package sees before any message flows: files, texts, help, icons, and the rules of the
 * Node-RED flow library's scorecard that can be checked without a network.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { MEMBER_MATCHES } from '../lib/auth/role.ts';
import { isPeerErrorCode, PEER_ERROR_CODES } from '../lib/errors.ts';

interface PackageJson {
  readonly name: string;
  readonly license: string;
  readonly keywords: readonly string[];
  readonly repository: { readonly url: string };
  readonly bugs: { readonly url: string };
  readonly engines: { readonly node: string };
  readonly files: readonly string[];
  readonly dependencies: Readonly<Record<string, string>>;
  readonly 'node-red': {
    readonly version: string;
    readonly nodes: Readonly<Record<string, string>>;
    readonly plugins: Readonly<Record<string, string>>;
  };
}

const ROOT = new URL('../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');
const exists = (path: string): boolean => existsSync(new URL(path, ROOT));

const PACKAGE = JSON.parse(read('package.json')) as PackageJson;
const NODES = PACKAGE['node-red'].nodes;
const NAMES = Object.keys(NODES);
const PLUGINS = Object.keys(PACKAGE['node-red'].plugins);
const WITH_TEXTS = [...NAMES, ...PLUGINS];
const LANGUAGES = ['en-US', 'de'] as const;
const SECTIONS = {
  'en-US': { flow: ['Inputs', 'Outputs', 'Details', 'References'], config: ['Properties', 'Details', 'References'] },
  de: {
    flow: ['Eingangsdaten', 'Ausgangsdaten', 'Details', 'Referenzen'],
    config: ['Eigenschaften', 'Details', 'Referenzen'],
  },
} as const;
const MAX_STATUS_LENGTH = 28;

const typeOf = (name: string): string => (name.startsWith('peer-') ? name : `peer-${name}`);
const dialogOf = (name: string): string => read(`nodes/${name}.html`);
const isFlowNode = (name: string): boolean => !/category: 'config'/.test(dialogOf(name));
const FLOW_NODES = NAMES.filter(isFlowNode);

/** Texts of one node in one language, by their dotted key. */
function textsOf(name: string, language: string): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  const collect = (value: unknown, key: string): void => {
    if (typeof value === 'string') texts.set(key, value);
    else for (const [part, inner] of Object.entries(value as object)) collect(inner, key ? `${key}.${part}` : part);
  };
  collect(JSON.parse(read(`locales/${language}/${name}.json`)), '');
  return texts;
}

const ENGLISH = new Map(WITH_TEXTS.flatMap((name) => [...textsOf(name, 'en-US')]));
const placeholdersOf = (text: string): readonly string[] => (text.match(/__\w+__/g) ?? []).sort();

/** A whole key must have a text; one that ends in a variable part, at least one below what stands before it. */
function hasText(key: string): boolean {
  const variable = key.indexOf('${');
  if (variable === -1) return ENGLISH.has(key);
  return variable > 0 && [...ENGLISH.keys()].some((known) => known.startsWith(key.slice(0, variable)));
}

/** The keys that a dialog, its scripts or a node names. */
function keysUsedIn(source: string): readonly string[] {
  const attributes = [...source.matchAll(/data-i18n="([^"]+)"/g)].flatMap(([, keys = '']) => keys.split(';'));
  const own = attributes.map((key) => key.replace(/^\[\w+\]/, '')).filter((key) => !key.startsWith('node-red:'));
  const called = [...source.matchAll(/_\(\s*['"`]([\w.-]+(?:\$\{[^}]+\})?[\w.-]*)['"`]/g)].map(([, key = '']) => key);
  const quoted = new RegExp(`['"\`:]((?:${NAMES.join('|')})\\.[\\w-]+\\.[^'"\`]+)['"\`]`, 'g');
  return [...own, ...called, ...[...source.matchAll(quoted)].map(([, key = '']) => key)];
}

function helpOf(name: string, language: string): string {
  return read(`locales/${language}/${name}.html`);
}

describe('package', () => {
  describe('nodes', () => {
    it('have a source and a dialog beside it, and name the built file', () => {
      assert.ok(NAMES.length > 0);
      for (const name of NAMES) {
        assert.equal(NODES[name], `dist/nodes/${name}.js`);
        assert.ok(exists(`nodes/${name}.ts`), `nodes/${name}.ts`);
        assert.ok(exists(`nodes/${name}.html`), `nodes/${name}.html`);
      }
    });

    it('register in source and dialog under one type with the prefix of the package', () => {
      const types = NAMES.map((name) => {
        assert.ok(dialogOf(name).includes(`RED.nodes.registerType('${typeOf(name)}', {`), name);
        assert.ok(dialogOf(name).includes(`data-template-name="${typeOf(name)}"`), name);
        assert.ok(read(`nodes/${name}.ts`).includes(`'${typeOf(name)}'`), name);
        return typeOf(name);
      });
      assert.equal(new Set(types).size, types.length);
    });

    it('have a dialog of at most 80 lines whose definition stands in an inline script', () => {
      for (const name of NAMES) {
        assert.ok(dialogOf(name).split('\n').length <= 81, name);
        assert.match(dialogOf(name), /<script type="text\/javascript">\s*RED\.nodes\.registerType/, name);
      }
    });

    it('load only scripts and styles that the package serves', () => {
      for (const name of NAMES) {
        for (const [, url = ''] of dialogOf(name).matchAll(/(?:src|href)="([^"]+)"/g)) {
          const prefix = `resources/${PACKAGE.name}/`;
          assert.ok(url.startsWith(prefix), `${name}: ${url}`);
          assert.ok(exists(`resources/${url.slice(prefix.length)}`), `${name}: ${url}`);
        }
      }
    });

    it('have, for the palette, one category, one colour and an icon of 40 by 60', () => {
      for (const name of FLOW_NODES) {
        assert.match(dialogOf(name), /category: 'peer systems',\n\s+color: '#8FBDB4',/, name);
        const icon = /icon: '([\w.-]+)'/.exec(dialogOf(name))?.[1];
        assert.match(read(`icons/${icon}`), /<svg [^>]*width="40" height="60"/, name);
        assert.ok(ENGLISH.has('palette.label.peer_systems'), name);
      }
    });

    it('never set what somebody wrote as markup', () => {
      const scripts = readdirSync(new URL('resources', ROOT)).filter((file) => file.endsWith('.js'));
      for (const path of [
        ...scripts.map((file) => `resources/${file}`),
        ...NAMES.map((name) => `nodes/${name}.html`),
      ]) {
        assert.doesNotMatch(read(path), /\.html\(|innerHTML|insertAdjacentHTML|document\.write/, path);
      }
    });

    it('take all colours of their dialogs from the theme of the editor', () => {
      for (const file of readdirSync(new URL('resources', ROOT)).filter((name) => name.endsWith('.css'))) {
        assert.doesNotMatch(read(`resources/${file}`), /#[0-9a-f]{3,8}\b|rgba?\(|hsla?\(/i, file);
      }
    });
  });

  describe('texts', () => {
    it('have the same keys and placeholders in every language', () => {
      for (const name of WITH_TEXTS) {
        const english = textsOf(name, 'en-US');
        const german = textsOf(name, 'de');
        assert.deepEqual([...german.keys()], [...english.keys()], name);
        for (const [key, text] of english) {
          assert.deepEqual(placeholdersOf(german.get(key) ?? ''), placeholdersOf(text), key);
        }
      }
    });

    it('are never empty', () => {
      for (const language of LANGUAGES) {
        for (const name of WITH_TEXTS) {
          for (const [key, text] of textsOf(name, language)) assert.notEqual(text.trim(), '', `${language} ${key}`);
        }
      }
    });

    it('exist for every key that a dialog, its scripts or a node uses', () => {
      const paths = ['nodes', 'nodes/shared', 'resources'].flatMap((folder) =>
        readdirSync(new URL(folder, ROOT)).map((file) => `${folder}/${file}`),
      );
      const sources = paths.filter((path) => /\.(html|js|ts)$/.test(path));
      assert.ok(sources.flatMap((path) => keysUsedIn(read(path))).length > 100);
      for (const path of sources) {
        for (const key of keysUsedIn(read(path))) assert.ok(hasText(key), `${path}: ${key}`);
      }
    });

    it('exist for every key that the sidebar asks for', () => {
      const files = readdirSync(new URL('resources', ROOT)).filter((file) => file.startsWith('peer-systems'));
      const keys = files.flatMap((file) =>
        [...read(`resources/${file}`).matchAll(/\btext\(\s*['"`]([\w.-]+(?:\$\{[^}]+\})?)['"`]/g)].map(
          ([, key = '']) => key,
        ),
      );
      assert.ok(keys.length > 40);
      for (const key of keys) assert.ok(hasText(`peer-systems.${key}`), key);
    });

    it('exist for every way to match a member and for every kind of wrong URL', () => {
      for (const match of MEMBER_MATCHES) assert.ok(hasText(`peer-role.match.${match}`), match);
      for (const [, problem = ''] of read('resources/peer-checks.js').matchAll(/return '(url\w*)';/g)) {
        assert.ok(hasText(`peer-connector.invalid.${problem}`), problem);
      }
    });

    it('name every error code, and no other, shortly enough for a status', () => {
      for (const language of LANGUAGES) {
        const texts = textsOf('peer-connector', language);
        const codes = [...texts.keys()].filter((key) => key.startsWith('peer-connector.error.'));
        assert.deepEqual(codes.map((key) => key.split('.')[2]).sort(), [...PEER_ERROR_CODES].sort());
        for (const key of codes) assert.ok((texts.get(key) ?? '').length <= MAX_STATUS_LENGTH, `${language} ${key}`);
      }
    });
  });

  describe('help', () => {
    it('has a purpose in one paragraph and its sections, in every language for every node', () => {
      for (const language of LANGUAGES) {
        for (const name of NAMES) {
          const [start = '', purpose = '', gap] = helpOf(name, language).split('\n');
          assert.equal(start, `<script type="text/markdown" data-help-name="${typeOf(name)}">`);
          assert.match(purpose, /^\p{Lu}.*\.$/u, `${language} ${name}`);
          assert.equal(gap, '', `${language} ${name}`);
          const headings = [...helpOf(name, language).matchAll(/^### (.+)$/gm)].map(([, heading]) => heading);
          assert.deepEqual(
            headings,
            [...SECTIONS[language][isFlowNode(name) ? 'flow' : 'config']],
            `${language} ${name}`,
          );
        }
      }
    });

    it('writes properties in the one form that Node-RED renders', () => {
      for (const language of LANGUAGES) {
        for (const name of NAMES) {
          const lines = helpOf(name, language).split('\n');
          for (const line of lines.filter((text) => text.startsWith(':'))) {
            assert.match(line, /^: [^:]+ \([^:()]+\) : [^:]+$/, `${language} ${name}`);
          }
        }
      }
    });

    it('names error codes that exist, the same in every language', () => {
      for (const name of NAMES) {
        const [english = [], german = []] = LANGUAGES.map(
          (language) => helpOf(name, language).match(/\bERR_\w+/g) ?? [],
        );
        assert.ok(english.length > 0, name);
        for (const code of english) assert.ok(isPeerErrorCode(code), `${name}: ${code}`);
        assert.deepEqual([...german].sort(), [...english].sort(), name);
      }
    });
  });

  describe('scorecard', () => {
    it('has a licence, a repository, a place for bugs, a scope and the keyword', () => {
      assert.equal(PACKAGE.license, 'Apache-2.0');
      assert.ok(exists('LICENSE'));
      assert.match(PACKAGE.repository.url, /^git\+https:/);
      assert.match(PACKAGE.bugs.url, /^https:/);
      assert.match(PACKAGE.name, /^@[a-z-]+\/[a-z-]+$/);
      assert.ok(PACKAGE.keywords.includes('node-red'));
      assert.equal(PACKAGE['node-red'].version, '>=4.0.0');
      assert.match(PACKAGE.engines.node, /^>=\d+/);
    });

    it('has at most six dependencies, each open to newer versions', () => {
      const ranges = Object.entries(PACKAGE.dependencies);
      assert.ok(ranges.length <= 6);
      for (const [name, range] of ranges) assert.match(range, /^\^\d/, name);
    });

    it('shows every flow node in an example', function () {
      const examples = exists('examples') ? readdirSync(new URL('examples', ROOT)) : [];
      if (examples.length === 0) return this.skip();
      const used = examples
        .filter((file) => file.endsWith('.json'))
        .flatMap((file) =>
          (JSON.parse(read(`examples/${file}`)) as readonly { type: string }[]).map(({ type }) => type),
        );
      for (const name of FLOW_NODES) assert.ok(used.includes(typeOf(name)), typeOf(name));
    });
  });

  describe('tarball', () => {
    let packed: readonly string[];

    before('lists what npm would pack of the built package', async () => {
      const args = ['pack', '--dry-run', '--json', '--ignore-scripts'];
      const { stdout } = await promisify(execFile)('npm', args, { cwd: ROOT, maxBuffer: 16 * 1024 * 1024 });
      const listing = Object.values(JSON.parse(stdout)) as readonly { files: readonly { path: string }[] }[];
      packed = listing.flatMap(({ files }) => files.map(({ path }) => path));
    });

    it('holds the program, dialog, texts and help of every node side by side', () => {
      for (const name of NAMES) {
        const wanted = [`${name}.js`, `${name}.html`].concat(
          LANGUAGES.flatMap((language) => [`locales/${language}/${name}.json`, `locales/${language}/${name}.html`]),
        );
        for (const file of wanted) assert.ok(packed.includes(`dist/nodes/${file}`), file);
      }
    });

    it('holds the icons beside the nodes, and the resources at the top', () => {
      for (const icon of readdirSync(new URL('icons', ROOT)))
        assert.ok(packed.includes(`dist/nodes/icons/${icon}`), icon);
      for (const file of readdirSync(new URL('resources', ROOT))) assert.ok(packed.includes(`resources/${file}`), file);
    });

    it('holds no tests, no sources of nodes and no private files', () => {
      const stray = packed.filter((path) => /^(test|bench|nodes|lib|icons|locales)\//.test(path) || /^\./.test(path));
      assert.deepEqual(stray, []);
      assert.deepEqual(
        packed.filter((path) => ['.pem', '.p12', '.key', '.sqlite'].some((end) => basename(path).endsWith(end))),
        [],
      );
    });
  });
});
