/**
 * curl and OpenSSL as clients of a VA in a real Node-RED: admitted or refused as certificate and role say.
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BASE_PATH } from '../lib/protocol/operations.ts';
import type { NodeRed } from './helpers/node-red.ts';
import { type Credential, createTestPki, writePemFiles } from './helpers/test-pki.ts';
import { startVa } from './helpers/va-node-red.ts';

describe('foreign clients', () => {
  const pki = createTestPki();
  const folder = mkdtempSync(join(tmpdir(), 'foreign-'));
  let port: number;
  let va: NodeRed;
  const files = (name: string, credential: Credential): readonly string[] => {
    const { certificateFile, keyFile } = writePemFiles(folder, name, credential);
    return ['--cert', certificateFile, '--key', keyFile];
  };
  const caFile = writePemFiles(folder, 'management-ca', pki.managementCa).certificateFile;

  /** Status, content type and body of curl's answer. */
  const curl = async (path: string, identity: readonly string[], more: readonly string[] = []) => {
    const format = '\n%{http_code} %{content_type}';
    const url = `https://localhost:${port}${BASE_PATH}${path}`;
    const { stdout } = await run('curl', [
      '-sS',
      '-m',
      '10',
      '--cacert',
      caFile,
      '-w',
      format,
      ...identity,
      ...more,
      url,
    ]);
    const [, body = '', status, type] = /^([\s\S]*)\n(\d+) (.*)$/.exec(stdout) ?? [];
    return { status: Number(status), type, body: JSON.parse(body) as Record<string, unknown> };
  };
  const PING = ['-H', 'content-type: application/json', '-d', '{}'];

  before(async () => {
    ({ va, port } = await startVa(pki, { version: 5, storeFile: join(folder, 'va.sqlite') }));
  });

  after(async () => {
    await va.stop();
    rmSync(folder, { recursive: true });
  });

  describe('curl', () => {
    before(function () {
      if (!isInstalled('curl')) {
        console.log('      skipped: no curl');
        this.skip();
      }
    });

    it('is admitted with the certificate of the CA: capabilities and ping', async () => {
      const identity = files('ca', pki.caClient);
      const capabilities = await curl('/capabilities', identity);
      assert.deepEqual([capabilities.status, capabilities.body['protocol']], [200, 1]);
      const ping = await curl('/ping', identity, PING);
      assert.equal(ping.status, 200);
      assert.match(String(ping.body['serverTime']), /^\d{4}-/);
    });

    it('is refused by its role: 403 with a problem document', async () => {
      const answer = await curl('/ping', files('nobody', pki.nobody()), PING);
      assert.deepEqual(
        [answer.status, answer.type, answer.body['code']],
        [403, 'application/problem+json', 'ERR_NOT_AUTHORIZED'],
      );
    });

    it('is refused without a certificate: 401 with the cause', async () => {
      const answer = await curl('/capabilities', []);
      assert.deepEqual(
        [answer.status, answer.type, answer.body['code']],
        [401, 'application/problem+json', 'ERR_NOT_AUTHENTICATED'],
      );
      assert.match(String(answer.body['detail']), /no certificate/);
    });

    for (const cause of ['expired', 'not yet valid', 'untrusted issuer', 'self-signed', 'wrong purpose'] as const) {
      it(`is refused with a certificate that is ${cause}: 401 with the cause`, async () => {
        const answer = await curl('/capabilities', files('stranger', pki.strangers()[cause]));
        assert.deepEqual([answer.status, answer.body['code']], [401, 'ERR_NOT_AUTHENTICATED']);
        assert.match(String(answer.body['detail']), new RegExp(cause));
      });
    }

    it('is told that there is no such operation, once it may come in', async () => {
      const answer = await curl('/nothing', files('ca', pki.caClient));
      assert.deepEqual([answer.status, answer.body['code']], [404, 'ERR_UNKNOWN_OPERATION']);
    });

    it('is refused with garbage instead of certificates: 400', async () => {
      const body = ['-H', 'content-type: application/cbor-seq', '--data-binary', 'garbage'];
      const answer = await curl('/certificates', files('ca', pki.caClient), body);
      assert.deepEqual([answer.status, answer.body['code']], [400, 'ERR_MALFORMED_MESSAGE']);
    });

    it('gets no answer over plain http', async () => {
      const { code } = await run('curl', ['-sS', '-m', '5', `http://localhost:${port}${BASE_PATH}/capabilities`]);
      assert.notEqual(code, 0);
    });
  });

  describe('openssl s_client', () => {
    before(function () {
      if (!isInstalled('openssl')) {
        console.log('      skipped: no openssl');
        this.skip();
      }
    });

    const request = `GET ${BASE_PATH}/capabilities HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
    const sClient = async (options: readonly string[], input = request): Promise<string> => {
      const connect = [
        's_client',
        '-connect',
        `localhost:${port}`,
        '-CAfile',
        caFile,
        '-verify_return_error',
        '-quiet',
      ];
      const { stdout, stderr } = await run('openssl', [...connect, ...options], input);
      return stdout + stderr;
    };
    const withFiles = (name: string, credential: Credential): readonly string[] =>
      files(name, credential).map((text) => text.replace(/^--/, '-'));

    it('is admitted with the certificate of the CA, over TLS 1.3', async () => {
      assert.match(await sClient([...withFiles('ca', pki.caClient), '-tls1_3']), /^HTTP\/1\.1 200 /m);
    });

    it('is refused without a certificate: 401 with the cause', async () => {
      const answer = await sClient([]);
      assert.match(answer, /^HTTP\/1\.1 401 /m);
      assert.match(answer, /ERR_NOT_AUTHENTICATED/);
    });

    it('is refused with the certificate of a stranger: 401 with the cause', async () => {
      const answer = await sClient(withFiles('stranger', pki.strangers()['untrusted issuer']));
      assert.match(answer, /^HTTP\/1\.1 401 /m);
      assert.match(answer, /untrusted issuer/);
    });

    it('is refused with TLS 1.2: no handshake', async () => {
      const answer = await sClient([...withFiles('ca', pki.caClient), '-tls1_2']);
      assert.doesNotMatch(answer, /HTTP\/1\.1/);
      assert.match(answer, /protocol version|alert/i);
    });
  });

  describe('the flow of the VA', () => {
    it('tells of both, the admitted and the refused', async () => {
      const refusal = await va.waitForDebug('shown', ({ kind }: { kind: string }) => kind === 'refused');
      assert.ok(refusal);
      const admission = await va.waitForDebug('shown', ({ kind }: { kind: string }) => kind === 'admitted');
      assert.equal((admission.value as { roles: string }).roles, 'the role');
    });
  });
});

function isInstalled(program: string): boolean {
  return spawnSync(program, ['--help']).error === undefined;
}

function run(program: string, parameters: readonly string[], input = '') {
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    const child = execFile(program, [...parameters], { timeout: 15_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
    });
    // A program that does not read its input may have closed it already.
    child.stdin?.on('error', () => undefined).end(input);
  });
}
