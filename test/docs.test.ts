/**
 * The documents say what the code does: every table, name, limit and link in them is compared with its source.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { ACCESS_RULES } from '../lib/auth/access-rules.ts';
import { REQUEST_RULES } from '../lib/auth/request-rules.ts';
import { failureOf, PEER_ERROR_CODES } from '../lib/errors.ts';
import { OPERATIONS, type Operation } from '../lib/protocol/operations.ts';
import { anchorsOf, codesIn, linksIn, tableOf } from './helpers/markdown.ts';

const ROOT = new URL('../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');
const markdownIn = (folder: string): readonly string[] =>
  readdirSync(new URL(folder, ROOT))
    .filter((file) => file.endsWith('.md'))
    .map((file) => `${folder}${file}`);

const DOCUMENTS = [...markdownIn('./'), ...markdownIn('docs/')].map((path) => path.replace('./', ''));
const PACKAGE = JSON.parse(read('package.json')) as {
  readonly scripts: Readonly<Record<string, string>>;
  readonly engines: { readonly node: string };
  readonly files: readonly string[];
  readonly 'node-red': { readonly nodes: Readonly<Record<string, string>> };
};
const ALL_OPERATIONS: readonly (Operation & { readonly name: string })[] = Object.entries(OPERATIONS).map(
  ([name, operation]) => ({ name, ...operation }),
);

describe('documents', () => {
  describe('errors.md', () => {
    it('has every code with its status and whether to retry, in the order of the table', () => {
      const rows = tableOf(read('docs/errors.md'), 'Code');
      assert.deepEqual(
        rows.map(({ Code = '', Status, Retry }) => [codesIn(Code)[0], Number(Status), Retry]),
        PEER_ERROR_CODES.map((code) => {
          const { status, retryable } = failureOf(code);
          return [code, status, retryable ? 'yes' : 'no'];
        }),
      );
    });

    it('says of every code when it occurs and what to do', () => {
      for (const row of tableOf(read('docs/errors.md'), 'Code')) {
        for (const column of ['When', 'What to do']) assert.match(row[column] ?? '', /^\p{Lu}.{10,}\.$/u, row['Code']);
      }
    });

    it('is the only place that codes need: no document names one that does not exist', () => {
      for (const path of DOCUMENTS) {
        for (const code of read(path).match(/\bERR_\w+/g) ?? []) {
          assert.ok((PEER_ERROR_CODES as readonly string[]).includes(code), `${path}: ${code}`);
        }
      }
    });
  });

  describe('access-rules.md', () => {
    const rows = tableOf(read('docs/access-rules.md'), 'Rule');

    it('has every rule, whether a name may follow, and what it opens', () => {
      assert.deepEqual(
        rows.map(({ Rule = '', Name, Opens }) => ({ path: codesIn(Rule)[0], named: Name === 'yes', opens: Opens })),
        ACCESS_RULES,
      );
    });

    it('names the operations that ask for each rule', () => {
      const rulesOf = ({ rules, recordRule }: Operation): readonly string[] => [
        ...rules,
        ...[recordRule ?? []].flat().map((rule) => rule.replace(/\/\[\w+\]$/, '')),
      ];
      for (const row of rows) {
        const [path = ''] = codesIn(row['Rule'] ?? '');
        const askedBy = ALL_OPERATIONS.filter((operation) => rulesOf(operation).includes(path));
        assert.deepEqual(
          codesIn(row['Asked for by'] ?? ''),
          askedBy.map(({ name }) => name),
          path,
        );
      }
    });
  });

  describe('access-rules.md, templates', () => {
    it('has every template with its rules, each a rule that exists', async () => {
      const { ROLE_TEMPLATES } = (await import(new URL('resources/peer-checks.js', ROOT).href)) as {
        readonly ROLE_TEMPLATES: Readonly<Record<string, readonly string[]>>;
      };
      const rows = tableOf(read('docs/access-rules.md'), 'Template');
      assert.deepEqual(
        Object.fromEntries(rows.map(({ Template = '', Rules = '' }) => [codesIn(Template)[0], codesIn(Rules)])),
        ROLE_TEMPLATES,
      );
      const known = ACCESS_RULES.map(({ path }) => path);
      for (const rule of Object.values(ROLE_TEMPLATES).flat()) assert.ok(known.includes(rule), rule);
    });
  });

  describe('access-rules.md on RA requests', () => {
    it('has every type with the rules it needs', () => {
      assert.deepEqual(
        Object.fromEntries(
          tableOf(read('docs/access-rules.md'), 'Type').map((row) => [
            codesIn(row['Type'] ?? '')[0],
            codesIn(row['Needs beside `/ra_master/invoke_api`'] ?? ''),
          ]),
        ),
        REQUEST_RULES,
      );
    });
  });

  describe('README.md', () => {
    it('has every node of the package, in its order, with a link to its help', () => {
      const cells = tableOf(read('README.md'), 'Node').map(({ Node = '' }) => Node);
      assert.deepEqual(
        cells,
        Object.keys(PACKAGE['node-red'].nodes).map((name) => `[${name}](locales/en-US/${name}.html)`),
      );
    });

    it('says on its first screen what it does not speak, and how to start and test', () => {
      const firstScreen = read('README.md').split('\n').slice(0, 35).join('\n');
      assert.match(firstScreen, /does not speak EJBCA's own peer protocol/);
      for (const command of ['npm ci && npm start', 'npm ci && npm test']) assert.ok(firstScreen.includes(command));
    });

    it('names the Node.js that the package asks for', () => {
      const version = PACKAGE.engines.node.replace('>=', '');
      assert.ok(read('README.md').includes(`Node.js ${version} or later`));
    });
  });

  describe('all of them', () => {
    it('stay short: README within 150 lines, CONTRIBUTING within 80', () => {
      assert.ok(read('README.md').split('\n').length <= 151);
      assert.ok(read('CONTRIBUTING.md').split('\n').length <= 81);
    });

    it('link to files and headings that exist', () => {
      for (const path of DOCUMENTS) {
        for (const target of linksIn(read(path)).filter((link) => !/^\w+:/.test(link))) {
          const [file = '', anchor] = target.split('#');
          const linked = new URL(file === '' ? path : file, new URL(path, ROOT));
          const resolved = file === '' ? new URL(path, ROOT) : linked;
          assert.ok(existsSync(resolved), `${path}: ${target}`);
          if (anchor === undefined) continue;
          assert.ok(anchorsOf(readFileSync(resolved, 'utf8')).includes(anchor), `${path}: ${target}`);
        }
      }
    });

    it('name scripts and benchmarks that exist', () => {
      for (const path of DOCUMENTS) {
        const text = read(path);
        for (const [, script = ''] of text.matchAll(/\bnpm run ([\w:]+)/g)) {
          assert.ok(PACKAGE.scripts[script], `${path}: npm run ${script}`);
        }
        for (const [, name] of text.matchAll(/\bnpm run bench -- ([\w-]+)/g)) {
          assert.ok(existsSync(new URL(`bench/${name}.bench.ts`, ROOT)), `${path}: ${name}`);
        }
        for (const [, script = ''] of text.matchAll(/\bnpm (start|test)\b/g)) assert.ok(PACKAGE.scripts[script]);
      }
    });

    it('explain every key that a benchmark they name prints, and no other', () => {
      const sections = read('docs/performance.md').split(/^## /m);
      for (const [, name = ''] of read('docs/performance.md').matchAll(/^npm run bench -- ([\w-]+)$/gm)) {
        const section = sections.find((text) => text.startsWith(`${name}\n`)) ?? '';
        const keys = tableOf(section, 'Key').map(({ Key = '' }) => codesIn(Key)[0]);
        const result = /\n {2}return \{\n([\s\S]*?)\n {2}\};/.exec(read(`bench/${name}.bench.ts`))?.[1] ?? '';
        assert.deepEqual(
          keys,
          [...result.matchAll(/^ {4}(\w+):/gm)].map(([, key]) => key),
          name,
        );
      }
    });

    it('come with the package where they speak to its users', () => {
      for (const path of ['docs', 'CHANGELOG.md', 'SECURITY.md']) assert.ok(PACKAGE.files.includes(path), path);
    });

    it('never call anything simple', () => {
      for (const path of DOCUMENTS) assert.doesNotMatch(read(path), /\b(simply|obviously|just)\b/i, path);
    });
  });
});
