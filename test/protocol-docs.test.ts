/**
 * The protocol as it is written down, in prose, CDDL and OpenAPI, is the one that is spoken; its examples run.
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { decode, encode as encodeCbor } from 'cborg';
import { parse as parseYaml } from 'yaml';
import { PEER_ERROR_CODES } from '../lib/errors.ts';
import type { KeyBinding } from '../lib/keybinding/key-binding.ts';
import { BASE_PATH, OPERATIONS, type Operation, PROTOCOL_VERSION } from '../lib/protocol/operations.ts';
import { RaQueue } from '../lib/ra/ra-queue.ts';
import { CborWriter } from '../lib/store/cbor.ts';
import { faultOf, ROW_ITEMS, type RowColumns, readRows, toColumns, writeRow } from '../lib/store/certificate-row.ts';
import { STATUS_CHOICES } from '../lib/store/row-filter.ts';
import { WorkerStore } from '../lib/store/worker-store.ts';
import { anchorsOf, type CodeBlock, codeBlocks, codesIn, tableOf } from './helpers/markdown.ts';
import { openBinding } from './helpers/ocsp-binding.ts';
import { issueRootCa, writePemFiles } from './helpers/test-pki.ts';
import { caRole, startTwoPeers, type TwoPeers } from './helpers/two-peers.ts';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const ALL_OPERATIONS: readonly (Operation & { readonly name: string })[] = Object.entries(OPERATIONS).map(
  ([name, operation]) => ({ name, ...operation }),
);

describe('the written protocol', () => {
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
          recordRule: oneOrAll(codesIn(row['Per certificate'] ?? '')),
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
          const withNull = encodeCbor(items.map((item) => (item.name === name ? null : plain(ROW[item.name]))));
          const readIt = () => readRows(withNull)[0]?.[name];
          if (type.endsWith('/ null')) assert.equal(readIt(), null);
          else assert.throws(readIt, { code: 'ERR_MALFORMED_MESSAGE' }, name);
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
      const references = [...read('docs/openapi.yaml').matchAll(/\$ref: ["']#\/([^"']+)/g)].map(
        ([, path = '']) => path,
      );
      assert.ok(references.length > 0);
      for (const path of references) {
        const found = path.split('/').reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], api);
        assert.notEqual(found, undefined, path);
      }
    });
  });

  describe('examples with curl', () => {
    const folder = mkdtempSync(join(tmpdir(), 'protocol-examples-'));
    const store = new WorkerStore({ kind: 'sqlite', file: join(folder, 'va.sqlite') });
    const blocks = codeBlocks(read('docs/protocol.md'));
    let peers: TwoPeers;
    let desk: RaQueue | undefined;
    let binding: KeyBinding;

    before(async function () {
      if (spawnSync('curl', ['--version']).error !== undefined) {
        console.log('      skipped: no curl');
        this.skip();
      }
      desk = new RaQueue();
      const issuingCa = issueRootCa('CN=Issuing CA 1');
      binding = await openBinding(folder, [issuingCa], { name: 'OCSP signer 1', subjectDN: 'CN=OCSP signer 1' });
      const endpoint = { desk, keyBindings: () => [binding] };
      peers = await startTwoPeers({ store, endpoint, roles: [caRole({ '/': 'allow' })] });
      writePemFiles(folder, 'issuing-ca', issuingCa);
      writePemFiles(folder, 'management-ca', peers.pki.managementCa);
      writePemFiles(folder, 'ca-1', peers.pki.caClient);
    });

    after(async () => {
      desk?.close();
      await peers?.close();
      await binding?.close();
      await store.close();
      rmSync(folder, { recursive: true });
    });

    /** Runs a block in bash, with the options of the document and the peer of this test. */
    const run = async ({ text }: CodeBlock): Promise<string> => {
      const [settings] = blocks.filter(({ language }) => language === 'sh');
      const script = `set -eo pipefail\n${settings?.text}PEER=${peers.url.href}\n${text}`;
      const { stdout } = await promisify(execFile)('bash', ['-c', script], { cwd: folder, timeout: 15_000 });
      return stdout;
    };

    it('run, one per operation, and give the answers that stand below them', async () => {
      const examples = blocks.filter(({ language, text }) => language === 'sh' && text.includes('curl'));
      const paths = examples.map(({ text }) => /\$PEER(\/[\w/-]+)/.exec(text)?.[1]);
      assert.deepEqual(
        paths,
        ALL_OPERATIONS.map(({ path }) => path),
      );
      for (const example of examples) {
        const expected = blocks[blocks.indexOf(example) + 1];
        const answer = await run(example);
        if (expected?.language === 'json') assert.deepEqual(comparable(answer), comparable(expected.text));
        else assert.equal(hexOf(answer), hexOf(expected?.text ?? ''), example.text);
      }
    });

    it('fail with the problem document for who has no role', async () => {
      writePemFiles(folder, 'ca-1', peers.pki.nobody());
      const [, example] = blocks.filter(({ language }) => language === 'sh');
      const error = await run(example as CodeBlock).then(
        () => undefined,
        (cause: { stdout: string }) => cause,
      );
      const problem = JSON.parse(error?.stdout ?? '{}') as Record<string, unknown>;
      const documented = blocks.filter(({ language }) => language === 'json').at(-1);
      assert.equal(problem['code'], 'ERR_NOT_AUTHORIZED');
      assert.deepEqual(Object.keys(problem), Object.keys(JSON.parse(documented?.text ?? '{}')));
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
  readonly 'x-record-rule'?: string | readonly string[];
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

/** One rule stands alone in the table of operations, several in a list. */
function oneOrAll(rules: readonly string[]): string | readonly string[] | undefined {
  return rules.length > 1 ? rules : rules[0];
}

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

/** Clock and software differ from run to run. */
function comparable(json: string): unknown {
  return { ...JSON.parse(json), serverTime: '', software: '' };
}

function hexOf(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}
