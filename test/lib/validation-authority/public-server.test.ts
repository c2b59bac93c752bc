import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { PeerError } from '../../../lib/errors.ts';
import { PublicServer } from '../../../lib/validation-authority/public-server.ts';
import { certificateFace, crlFace } from '../../../lib/validation-authority/store-faces.ts';
import { readCertificate } from '../../../lib/x509/certificate.ts';
import { makeCrl, manyEntries } from '../../helpers/crl-maker.ts';
import { openCrlStore, storeCertificates, writeCrl } from '../../helpers/crl-store.ts';
import { daysFromNow, issue, issueRootCa } from '../../helpers/test-pki.ts';

const CA = issueRootCa('CN=Public CA,O=Test,C=SE');
const SUB = issue(CA, { subjectDN: 'CN=Sub CA,O=Test,C=SE', ca: true });
const LEAF = issue(CA, { subjectDN: 'CN=leaf', serialNumber: '77' });
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64').replace('=', '');
const facts = readCertificate(CA.certificate);
const I_HASH = base64(hash('sha1', facts.subjectDer, 'buffer'));
const KEY_ID = Buffer.from(facts.subjectKeyId ?? '', 'base64');
const THIS_UPDATE = daysFromNow(-1);
const NEXT_UPDATE = daysFromNow(7);
const CRL = makeCrl({
  issuer: CA,
  number: '4',
  thisUpdate: THIS_UPDATE,
  nextUpdate: NEXT_UPDATE,
  entries: [{ serialNumber: '77', reason: 1 }],
});
const DELTA = makeCrl({ issuer: CA, number: '5', base: '4', thisUpdate: THIS_UPDATE });

describe('public side of a VA', () => {
  let opened: ReturnType<typeof openCrlStore>;
  let server: PublicServer;
  let url: string;
  const answers: [string, number, PeerError | undefined][] = [];
  const broken = {
    path: '/broken',
    methods: ['GET'],
    handle: () => Promise.reject(new PeerError('ERR_INTERNAL', 'secret')),
  };

  before(async () => {
    opened = openCrlStore();
    await storeCertificates(opened.store, CA, SUB);
    await writeCrl(opened.store, CRL);
    await writeCrl(opened.store, DELTA);
    const { crls } = opened.store;
    const faces = [crlFace(crls), certificateFace(crls), broken];
    const onAnswer = (path: string, status: number, error?: PeerError) => answers.push([path, status, error]);
    server = new PublicServer({ port: 0, host: '127.0.0.1', faces, onAnswer });
    await server.start();
    url = `http://127.0.0.1:${server.port}`;
  });

  after(async () => {
    await server?.close();
    await opened?.close();
  });

  const get = (path: string, init: RequestInit = {}) =>
    fetch(url + path, { signal: AbortSignal.timeout(10_000), ...init });
  const bytesOf = async (answer: Response): Promise<Buffer> => Buffer.from(await answer.arrayBuffer());
  const crlPath = (query: string): string => `/crls/search.cgi?${query}`;
  const escaped = (value: string): string => encodeURIComponent(value);

  for (const [what, query] of [
    ['iHash', `iHash=${escaped(I_HASH)}`],
    ['iHash with a bare +', `iHash=${I_HASH}`],
    ['iHash with padding', `iHash=${escaped(`${I_HASH}=`)}`],
    ['sHash', `sHash=${escaped(I_HASH)}`],
    ['sKIDHash as EJBCA has it', `sKIDHash=${escaped(base64(KEY_ID))}`],
    ['sKIDHash as RFC 4387 has it', `sKIDHash=${escaped(base64(hash('sha1', KEY_ID, 'buffer')))}`],
    ['name', 'name=Public%20CA'],
  ] as const) {
    it(`gives the CRL by ${what}`, async () => {
      const answer = await get(crlPath(query));
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get('content-type'), 'application/pkix-crl');
      assert.deepEqual(await bytesOf(answer), CRL);
      assert.deepEqual(await bytesOf(await get(crlPath(`${query}&delta=`))), DELTA);
      assert.equal((await get(crlPath(`${query}&partition=1`))).status, 404);
    });
  }

  it('says how long it may be kept', async () => {
    const { headers } = await get(crlPath(`iHash=${I_HASH}`), { headers: { 'accept-encoding': 'gzip' } });
    assert.equal(headers.get('etag'), `"${hash('sha1', CRL)}"`);
    assert.equal(headers.get('last-modified'), THIS_UPDATE.toUTCString());
    assert.equal(headers.get('expires'), NEXT_UPDATE.toUTCString());
    const age = Number(
      /^public, max-age=(\d+), no-transform, must-revalidate$/.exec(headers.get('cache-control') ?? '')?.[1],
    );
    assert.ok(Math.abs(age - (NEXT_UPDATE.getTime() - Date.now()) / 1_000) < 10);
    assert.equal(headers.get('content-encoding'), null);
  });

  it('sends nothing to who has it', async () => {
    const path = crlPath(`iHash=${I_HASH}`);
    const tag = `"${hash('sha1', CRL)}"`;
    const conditional = async (headers: Record<string, string>) => (await get(path, { headers })).status;
    assert.equal(await conditional({ 'if-none-match': tag }), 304);
    assert.equal(await conditional({ 'if-none-match': `"x", W/${tag}` }), 304);
    assert.equal(await conditional({ 'if-none-match': '*' }), 304);
    assert.equal(await conditional({ 'if-none-match': '"x"', 'if-modified-since': new Date().toUTCString() }), 200);
    assert.equal(await conditional({ 'if-modified-since': THIS_UPDATE.toUTCString() }), 304);
    assert.equal(await conditional({ 'if-modified-since': daysFromNow(-2).toUTCString() }), 200);
    assert.equal(await conditional({ 'if-modified-since': 'yesterday' }), 200);
  });

  it('answers HEAD like GET, without the body', async () => {
    const answer = await get(crlPath(`iHash=${I_HASH}`), { method: 'HEAD' });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-length'), String(CRL.length));
    assert.equal((await bytesOf(answer)).length, 0);
  });

  it('gives a CA certificate, and several as one multipart message', async () => {
    const path = (query: string): string => `/certificates/search.cgi?${query}`;
    const one = await get(path(`sHash=${I_HASH}`));
    assert.equal(one.headers.get('content-type'), 'application/pkix-cert');
    assert.deepEqual(new Uint8Array(await bytesOf(one)), new Uint8Array(CA.certificate));
    assert.deepEqual(
      new Uint8Array(await bytesOf(await get(path(`iHash=${I_HASH}`)))),
      new Uint8Array(SUB.certificate),
    );
    const second = issue(CA, { subjectDN: 'CN=Second CA,O=Test,C=SE', ca: true });
    await storeCertificates(opened.store, second);
    const both = await get(path(`iHash=${I_HASH}`));
    const boundary = /^multipart\/mixed; boundary=(.+)$/.exec(both.headers.get('content-type') ?? '')?.[1] ?? '';
    const body = await bytesOf(both);
    assert.equal(body.toString('latin1').split(`--${boundary}`).length, 4);
    for (const { certificate } of [SUB, second]) assert.ok(body.includes(Buffer.from(certificate)));
    assert.equal((await get(path('name=nobody'))).status, 404);
  });

  for (const query of [
    '',
    'iHash=',
    'iHash=short',
    `iHash=${I_HASH.slice(0, -1)}%00`,
    `iHash=${I_HASH.slice(0, -1)}-`,
    `iHash=${I_HASH}&iHash=${I_HASH}`,
    `iHash=${I_HASH}&name=x`,
    `iHash=${I_HASH}&partition=x`,
    `iHash=${I_HASH}&partition=-1`,
    `iHash=${I_HASH}&partition=99999999999`,
    'certHash=x',
    `name=${'x'.repeat(2_000)}`,
  ]) {
    it(`refuses the question "${query.slice(0, 60)}"`, async () => {
      const answer = await get(crlPath(query));
      assert.equal(answer.status, 400);
      assert.match(answer.headers.get('content-type') ?? '', /^text\/plain/);
    });
  }

  it('refuses other methods and names those there are', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const answer = await get(crlPath(`iHash=${I_HASH}`), { method, ...(method === 'POST' && { body: 'x' }) });
      assert.equal(answer.status, 405);
      assert.equal(answer.headers.get('allow'), 'GET, HEAD');
    }
  });

  it('knows no other path, and none below or above', async () => {
    for (const path of ['/', '/crls', '/crls/search.cgi/x', '/CRLS/search.cgi', '/crls/../crls/search.cg'])
      assert.equal((await get(path)).status, 404, path);
  });

  it('tells the public nothing of what is wrong inside, and its operator all', async () => {
    const answer = await get('/broken');
    assert.equal(answer.status, 503);
    assert.ok(answer.headers.get('retry-after'));
    assert.doesNotMatch(await answer.text(), /secret/);
    const [path, status, error] = answers.at(-1) ?? [];
    assert.deepEqual([path, status, error?.message], ['/broken', 503, 'secret']);
  });

  it('refuses what is no HTTP, and headers that are too large', async () => {
    for (const bytes of ['\x16\x03\x01\0\0\0\0', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(9_000)}\r\n\r\n`]) {
      const answer = await new Promise<string>((resolve, reject) => {
        const socket = connect(server.port, '127.0.0.1', () => socket.write(bytes));
        socket.once('data', (data) => resolve(data.toString())).once('error', reject);
        socket.once('close', () => resolve(''));
        socket.setTimeout(5_000, () => socket.destroy());
      });
      assert.match(answer, /^HTTP\/1\.1 4\d\d /);
    }
  });

  it('names a port that is taken', async () => {
    const second = new PublicServer({ port: server.port, host: '127.0.0.1', faces: [] });
    await assert.rejects(second.start(), { code: 'ERR_INVALID_CONFIG' });
  });

  it('lets a client finish a large CRL that is replaced meanwhile', async () => {
    const other = issueRootCa('CN=Large CA');
    const crl = makeCrl({ issuer: other, number: '1', entries: manyEntries(100_000) });
    await writeCrl(opened.store, crl);
    const answer = await get(crlPath('name=Large%20CA'));
    await writeCrl(opened.store, makeCrl({ issuer: other, number: '2' }));
    assert.ok(crl.equals(await bytesOf(answer)));
    assert.ok((await bytesOf(await get(crlPath('name=Large%20CA')))).length < 1_000);
  });

  describe('is understood by', () => {
    const has = (program: string, ...version: string[]): boolean => spawnSync(program, version).error === undefined;
    const file = (name: string): string => join(opened.folder, name);
    /** Not execFileSync: the server lives in this process. */
    const fetchWith = async (...options: string[]): Promise<string> => {
      const { execFile } = await import('node:child_process');
      const { promisify } = await import('node:util');
      const { stdout } = await promisify(execFile)('curl', ['--silent', '--max-time', '10', ...options]);
      return stdout;
    };

    before(async function () {
      if (!has('curl', '--version') || !has('openssl', 'version')) {
        console.log('      skipped: no curl or no openssl');
        return this.skip();
      }
      writeFileSync(file('ca.pem'), CA.certificatePem);
      writeFileSync(file('leaf.pem'), LEAF.certificatePem);
      writeFileSync(file('sub.pem'), SUB.certificatePem);
      await fetchWith(
        '--fail',
        '-o',
        file('x.crl'),
        '-D',
        file('headers'),
        `${url}${crlPath(`iHash=${escaped(I_HASH)}`)}`,
      );
    });

    it('curl, which fetches it once', async () => {
      const target = `${url}${crlPath(`iHash=${escaped(I_HASH)}`)}`;
      const options = ['-w', '%{http_code} %{size_download}', '-o', file('again.crl')];
      assert.equal(await fetchWith(...options, '--time-cond', file('x.crl'), target), '304 0');
      assert.match(await fetchWith('--head', target), /^HTTP\/1\.1 200 OK.*application\/pkix-crl/s);
    });

    it('openssl, which finds the revoked certificate', () => {
      const text = execFileSync(
        'openssl',
        ['crl', '-inform', 'DER', '-in', file('x.crl'), '-CAfile', file('ca.pem'), '-text'],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
      );
      assert.match(
        text,
        /Serial Number: 4D\s+Revocation Date.*\s+CRL entry extensions:\s+X509v3 CRL Reason Code:\s+Key Compromise/,
      );
      execFileSync('openssl', ['crl', '-inform', 'DER', '-in', file('x.crl'), '-out', file('crl.pem')]);
      const verify = (name: string) =>
        spawnSync(
          'openssl',
          ['verify', '-crl_check', '-CAfile', file('ca.pem'), '-CRLfile', file('crl.pem'), file(name)],
          { encoding: 'utf8' },
        );
      assert.match(verify('leaf.pem').stderr + verify('leaf.pem').stdout, /certificate revoked/);
      assert.equal(verify('sub.pem').status, 0);
    });

    it('GnuTLS', function () {
      if (!has('certtool', '--version')) {
        console.log('      skipped: no certtool');
        return this.skip();
      }
      const options = ['--verify-crl', '--inder', '--load-ca-certificate', file('ca.pem'), '--infile', file('x.crl')];
      // It wants the CA in the form of the CRL.
      writeFileSync(file('ca.der'), CA.certificate);
      options[3] = file('ca.der');
      const { stdout, stderr } = spawnSync('certtool', options, { encoding: 'utf8' });
      assert.match(stdout + stderr, /[Vv]erified/);
      assert.doesNotMatch(stdout + stderr, /[Nn]ot verified/);
    });
  });
});
