/**
 * The documents say what the code does: every table, name, limit and link in them is compared with its source.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { decode } from 'cborg';
import { parse as parseYaml } from 'yaml';
import { ACCESS_RULES } from '../lib/auth/access-rules.ts';
import { failureOf, PEER_ERROR_CODES } from '../lib/errors.ts';
import { BASE_PATH, OPERATIONS, type Operation, PROTOCOL_VERSION } from '../lib/protocol/operations.ts';
import { CborReader, CborWriter } from '../lib/store/cbor.ts';
import { faultOf, ROW_ITEMS, type RowColumns, readRow, toColumns, writeRow } from '../lib/store/certificate-row.ts';
import { STATUS_CHOICES } from '../lib/store/row-filter.ts';
import { anchorsOf, codeBlocks, codesIn, linksIn, tableOf } from './helpers/markdown.ts';

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
      const rulesOf = ({ rules, recordRule }: Operation): readonly string[] =>
        recordRule === undefined ? rules : [...rules, recordRule.replace('/[name]', '')];
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

  describe('protocol.md', () => {
    const text = read('docs/protocol.md');
    const cddl = codeBlocks(text)
      .filter(({ language }) => language === 'cddl')
      .map((block) => block.text)
      .join('\n');

    it('has every operation with method, path, media types, limit and access rules', () => {
      assert.deepEqual(
        tableOf(text, 'Operation').map((row) => ({
          name: codesIn(row['Operation'] ?? '')[0],
          method: row['Method'],
          path: codesIn(row['Path'] ?? '')[0],
          rules: codesIn(row['Access rules'] ?? ''),
          recordRule: codesIn(row['Per certificate'] ?? '')[0],
          requestType: codesIn(row['Request'] ?? '')[0],
          maxBodyBytes: Number(row['Largest request']),
          answerType: codesIn(row['Answer'] ?? '')[0],
        })),
        ALL_OPERATIONS.map((operation) => ({ recordRule: undefined, requestType: undefined, ...operation })),
      );
    });

    it('has a section for each operation, and names path and version', () => {
      for (const { name } of ALL_OPERATIONS) assert.ok(anchorsOf(text).includes(name.toLowerCase()), name);
      assert.ok(text.includes(`**Base path** \`${BASE_PATH}\``));
      assert.ok(text.includes(`This is version **${PROTOCOL_VERSION}**`));
    });

    it('names the choices of status in the order of the wire', () => {
      assert.match(cddl, new RegExp(`status: 0 / 1 / 2, +; ${STATUS_CHOICES.join(', ')}\n`));
    });

    describe('the row in CDDL', () => {
      const items = rowItems(cddl);

      it('has the items of the wire in their order', () => {
        const decoded = decode(encode(ROW)) as unknown[];
        assert.equal(items.length, ROW_ITEMS);
        assert.deepEqual(
          decoded,
          items.map(({ name }) => plain(ROW[name])),
        );
      });

      it('says which of them may be null', () => {
        for (const { name, type } of items) {
          const withNull = encode({ ...ROW, [name]: null });
          const mayBeNull = () => readRow(new CborReader(withNull));
          if (type.endsWith('/ null')) assert.equal(mayBeNull()[name], null);
          else assert.throws(mayBeNull, { code: 'ERR_MALFORMED_MESSAGE' }, name);
        }
      });

      it('says how long byte strings may be', () => {
        for (const { name, type } of items) {
          const [, least, most = least] = /^bstr \.size \(?(\d+)(?:\.\.(\d+))?/.exec(type) ?? [];
          if (least === undefined) continue;
          const faultAt = (size: number) => sizeFault(name, size);
          for (const size of [Number(least), Number(most)]) assert.equal(faultAt(size), undefined, `${name} ${size}`);
          assert.ok(faultAt(Number(most) + 1), name);
          if (Number(least) > 0) assert.ok(faultAt(Number(least) - 1), name);
        }
      });

      it('says which numbers may stand in status, revocation reason and time', () => {
        const faultOfValue = (name: string, value: number) => faultOf({ ...ROW, [name]: value });
        const status =
          items
            .find(({ name }) => name === 'status')
            ?.type.split(' / ')
            .map(Number) ?? [];
        for (let value = -1; value <= 100; value++) {
          assert.equal(faultOfValue('status', value) === undefined, status.includes(value), `status ${value}`);
        }
        const time = /^time = (-?\d+)\.\.(\d+)$/m.exec(cddl);
        const reason = /(-?\d+)\.\.(\d+)/.exec(items.find(({ name }) => name === 'revocationReason')?.type ?? '');
        for (const [name, range] of [
          ['updateTime', time],
          ['revocationReason', reason],
        ] as const) {
          const [least, most] = [Number(range?.[1]), Number(range?.[2])];
          for (const value of [least, most]) assert.equal(faultOfValue(name, value), undefined, `${name} ${value}`);
          for (const value of [least - 1, most + 1]) assert.ok(faultOfValue(name, value), `${name} ${value}`);
        }
      });
    });
  });

  describe('openapi.yaml', () => {
    const api = parseYaml(read('docs/openapi.yaml')) as OpenApi;

    it('has every operation with method, path, media types, limit and access rules', () => {
      const described = Object.entries(api.paths).flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, operation]) => ({
          name: operation.operationId,
          method: method.toUpperCase(),
          path,
          rules: operation['x-access-rules'],
          recordRule: operation['x-record-rule'],
          requestType: Object.keys(operation.requestBody?.content ?? {})[0],
          maxBodyBytes: operation['x-max-body-bytes'],
          answerType: Object.keys(operation.responses['200']?.content ?? {})[0],
        })),
      );
      assert.deepEqual(
        described,
        ALL_OPERATIONS.map((operation) => ({ recordRule: undefined, requestType: undefined, ...operation })),
      );
    });

    it('is OpenAPI 3.1 of this version at this path, and needs a client certificate', () => {
      assert.match(api.openapi, /^3\.1\./);
      assert.equal(api.info.version, String(PROTOCOL_VERSION));
      assert.ok(api.servers.every(({ url }) => url.endsWith(BASE_PATH)));
      assert.equal(api.components.securitySchemes['clientCertificate']?.type, 'mutualTLS');
    });

    it('has every error code', () => {
      assert.deepEqual(api.components.schemas['Code']?.enum, PEER_ERROR_CODES);
    });

    it('refers to nothing that it does not hold', () => {
      const references = [...read('docs/openapi.yaml').matchAll(/\$ref: '#\/([^']+)'/g)].map(([, path = '']) => path);
      assert.ok(references.length > 0);
      for (const path of references) {
        const found = path.split('/').reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], api);
        assert.notEqual(found, undefined, path);
      }
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

interface OpenApi {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, { readonly enum?: readonly string[] }>>;
    readonly securitySchemes: Readonly<Record<string, { readonly type: string }>>;
  };
}

interface OpenApiOperation {
  readonly operationId: string;
  readonly 'x-access-rules': readonly string[];
  readonly 'x-record-rule'?: string;
  readonly 'x-max-body-bytes': number;
  readonly requestBody?: { readonly content: object };
  readonly responses: Readonly<Record<string, { readonly content?: object }>>;
}

/** Every item with a value of its own, so that two of them cannot be mistaken for each other. */
const ROW: RowColumns = toColumns({
  fingerprint: '01'.repeat(20),
  issuerDN: 'CN=issuer',
  subjectDN: 'CN=subject',
  serialNumber: '3',
  status: 40,
  revocationReason: 5,
  revocationDate: 1_006,
  updateTime: 1_007,
  expireDate: 1_008,
  notBefore: 1_009,
  caFingerprint: '0a'.repeat(20),
  subjectKeyId: Buffer.from([11]).toString('base64'),
  type: 2,
  tag: 'P',
  crlPartitionIndex: 14,
  certificateProfileId: 15,
  username: 'sixteen',
  certificate: null,
});

function encode(row: RowColumns): Uint8Array {
  const writer = new CborWriter();
  writeRow(writer, row);
  return writer.take();
}

function plain(value: unknown): unknown {
  return value instanceof Uint8Array ? new Uint8Array(value) : value;
}

function rowItems(cddl: string): readonly { readonly name: keyof RowColumns; readonly type: string }[] {
  const [, body = ''] = /^row = \[\n([\s\S]*?)^\]/m.exec(cddl) ?? [];
  return [...body.matchAll(/^ {2}(\w+): ([^;]+?), *(?:;|$)/gm)].map(([, name = '', type = '']) => ({
    name: name as keyof RowColumns,
    type,
  }));
}

/** A certificate is looked at only once its size is right. */
function sizeFault(name: keyof RowColumns, size: number) {
  const fault = faultOf({ ...ROW, [name]: new Uint8Array(size).fill(1) });
  return name === 'certificate' && fault?.code === 'ERR_INVALID_CERTIFICATE' ? undefined : fault;
}
