/**
 * Foreign clients: OpenSSL, GnuTLS, nginx.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { CertificateData } from '../../../lib/store/certificate-data.ts';
import { readCertificate } from '../../../lib/x509/certificate.ts';
import { toPem } from '../../../lib/x509/pem.ts';
import { freePort } from '../../helpers/node-red.ts';
import { type Credential, issue } from '../../helpers/test-pki.ts';
import { ON_HOLD, REVOKED, row } from '../store/rows.ts';
import { OCSP_KEYS, type OcspSide, openOcspSide } from './ocsp-side.ts';

const run = promisify(execFile);
const OPTIONS = { timeout: 20_000 };

function isMissing(program: string): boolean {
  return spawnSync(program, ['--version']).error !== undefined && spawnSync(program, ['-v']).error !== undefined;
}

function rowOf({ certificate }: Credential, change: Partial<CertificateData> = {}): CertificateData {
  const { fingerprint, issuerDN, serialNumber } = readCertificate(certificate);
  return row(0, { fingerprint, issuerDN, serialNumber, ...change });
}

describe('OCSP with foreign clients', () => {
  let side: OcspSide;
  const host = (change = {}): Credential =>
    issue(side.ca, {
      subjectDN: 'CN=localhost',
      subjectAltNames: { dns: ['localhost'] },
      extendedKeyUsage: ['serverAuth'],
      ...change,
    });
  const write = (name: string, text: string): string => {
    const file = join(side.folder, name);
    writeFileSync(file, text);
    return file;
  };
  const open = async (makeKey?: () => import('node:crypto').KeyObject): Promise<void> => {
    side = await openOcspSide({}, makeKey);
    write('ca.pem', side.ca.certificatePem);
  };
  afterEach(() => side.close());

  describe('openssl ocsp', () => {
    before(function () {
      if (isMissing('openssl')) this.skip();
    });
    const openssl = async (...parameters: readonly string[]): Promise<string> => {
      const ca = join(side.folder, 'ca.pem');
      const fixed = ['ocsp', '-issuer', ca, '-CAfile', ca];
      const { stdout, stderr } = await run('openssl', [...fixed, '-url', side.url, ...parameters], OPTIONS);
      return stdout + stderr;
    };

    for (const [kind, makeKey] of Object.entries(OCSP_KEYS)) {
      it(`verifies answers signed with ${kind}`, async () => {
        await open(makeKey);
        await side.publish(row(1), row(2, REVOKED));
        const text = await openssl('-serial', '1001', '-serial', '1002', '-serial', '3');
        assert.match(text, /Response verify OK/);
        assert.doesNotMatch(text, /WARNING|nonce/i);
        assert.match(text, /1001: good/);
        assert.match(text, /1002: revoked[\s\S]*Reason: keyCompromise[\s\S]*Revocation Time: /);
        assert.match(text, /3: unknown/);
      });
    }

    for (const digest of ['sha1', 'sha256', 'sha384', 'sha512']) {
      it(`asks with ${digest}`, async () => {
        await open();
        await side.publish(row(1, ON_HOLD));
        const text = await openssl(`-${digest}`, '-no_nonce', '-serial', '1001');
        assert.match(text, /Response verify OK[\s\S]*1001: revoked|1001: revoked[\s\S]*Response verify OK/);
        assert.match(text, /Reason: certificateHold/);
      });
    }

    it('asks by GET with a request of its own', async () => {
      await open();
      await side.publish(row(1));
      const [ca, file] = [join(side.folder, 'ca.pem'), join(side.folder, 'request.der')];
      await run('openssl', ['ocsp', '-issuer', ca, '-serial', '1001', '-reqout', file], OPTIONS);
      const path = `/ocsp/${encodeURIComponent(readFileSync(file).toString('base64'))}`;
      const answer = await fetch(side.origin + path);
      const saved = join(side.folder, 'response.der');
      writeFileSync(saved, Buffer.from(await answer.arrayBuffer()));
      const check = ['ocsp', '-issuer', ca, '-CAfile', ca, '-reqin', file, '-respin', saved, '-resp_text'];
      const { stdout, stderr } = await run('openssl', check, OPTIONS);
      assert.match(stdout + stderr, /Response verify OK/);
      assert.match(stdout, /Cert Status: good/);
    });

    it('understands every error', async () => {
      await open();
      side.binding.current = undefined;
      await assert.rejects(openssl('-serial', '1'), (error: { stdout: string; stderr: string }) => {
        return /trylater/i.test(error.stdout + error.stderr);
      });
      side.bindings.length = 0;
      await assert.rejects(openssl('-serial', '1'), (error: { stdout: string; stderr: string }) => {
        return /unauthorized/i.test(error.stdout + error.stderr);
      });
    });

    it('signs its requests, and is answered all the same', async () => {
      await open();
      await side.publish(row(1));
      const client = issue(side.ca, { subjectDN: 'CN=client' });
      const [certificate, key] = [write('c.pem', client.certificatePem), write('k.pem', client.keyPem)];
      assert.match(await openssl('-serial', '1001', '-signer', certificate, '-signkey', key), /1001: good/);
    });
  });

  it('GnuTLS ocsptool verifies an answer', async function () {
    await open();
    if (isMissing('ocsptool')) this.skip();
    const certificate = host();
    await side.publish(rowOf(certificate));
    const file = write('host.pem', certificate.certificatePem);
    const issuer = join(side.folder, 'ca.pem');
    const trust = ['--load-cert', file, '--load-issuer', issuer, '--load-trust', issuer];
    const ask = async () => {
      const { stdout, stderr } = await run('ocsptool', [`--ask=${side.url}`, ...trust], OPTIONS);
      return stdout + stderr;
    };
    const good = await ask();
    assert.match(good, /Certificate Status: good/);
    assert.match(good, /Verifying OCSP Response: Success/);
    await side.publish(rowOf(certificate, { ...REVOKED, updateTime: 1_780_000_000_001 }));
    assert.match(await ask(), /Certificate Status: revoked/);
  });

  it('nginx staples an answer', async function () {
    await open();
    if (isMissing('nginx') || isMissing('openssl')) this.skip();
    this.timeout(30_000);
    const certificate = host();
    await side.publish(rowOf(certificate));
    const port = await freePort();
    write('host.pem', toPem(certificate.certificate) + side.ca.certificatePem);
    write('host.key', certificate.keyPem);
    const nginx = startNginx(side, port);
    try {
      const ca = join(side.folder, 'ca.pem');
      const parameters = ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'localhost', '-CAfile', ca];
      let text = '';
      // nginx asks for the answer when the first client comes.
      for (let tries = 0; tries < 40 && !text.includes('OCSP Response Status: successful'); tries++) {
        await sleep(150);
        const { stdout } = spawnSync('openssl', [...parameters, '-status'], { input: '', timeout: 5_000 });
        text = stdout.toString();
      }
      assert.match(text, /OCSP Response Status: successful[\s\S]*Cert Status: good/);
    } finally {
      nginx.kill();
    }
  });

  it('takes what a proxy with a kept connection sends, one request after the other', async () => {
    await open();
    await side.publish(row(1));
    for (let i = 0; i < 20; i++) {
      const sent = request(side.url, { method: 'POST', headers: { 'Content-Type': 'application/ocsp-request' } });
      sent.end(randomBytes(i));
      const status = await new Promise((resolve) => sent.on('response', (r) => resolve(r.resume().statusCode)));
      assert.equal(status, 200);
    }
  });
});

function startNginx({ folder, url }: OcspSide, port: number): ChildProcess {
  const file = join(folder, 'nginx.conf');
  writeFileSync(
    file,
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/nginx.log info;
events {}
http {
  access_log off;
  client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f;
  uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${folder}/host.pem; ssl_certificate_key ${folder}/host.key;
    ssl_stapling on; ssl_stapling_verify on; ssl_trusted_certificate ${folder}/ca.pem;
    ssl_stapling_responder ${url};
  }
}
`,
  );
  return spawn('nginx', ['-c', file, '-p', folder], { stdio: 'ignore' });
}
