import assert from 'node:assert/strict';
import { hash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { REVOKED, row } from '../store/rows.ts';
import { certId, ocspRequest, readAnswer, statusOf } from './ocsp-messages.ts';
import { type OcspSide, openOcspSide } from './ocsp-side.ts';

const MALFORMED = 1;
const REQUEST_TYPE = 'application/ocsp-request';

describe('OCSP over HTTP', () => {
  let side: OcspSide;
  before(async () => {
    side = await openOcspSide();
    await side.publish(row(1), row(2, REVOKED));
  });
  after(() => side.close());

  /** A request whose base64 has the characters that need escaping. */
  const escapable = (): Uint8Array => {
    for (let i = 0; ; i++) {
      const der = ocspRequest([certId(side.ca.certificate, String(1_001 + (i % 2)))], { nonce: randomBytes(17) });
      const base64 = Buffer.from(der).toString('base64');
      if (base64.includes('/') && base64.includes('+') && base64.includes('=') && !base64.includes('//')) return der;
    }
  };
  /** By hand: fetch would tidy up the path. */
  const get = (path: string, options: { method?: string; headers?: Record<string, string> } = {}) =>
    new Promise<{ status: number; headers: Record<string, string>; body: Buffer }>((resolve, reject) => {
      const sent = httpRequest(side.origin, { path, ...options }, async (response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk as Buffer);
        const headers = response.headers as Record<string, string>;
        resolve({ status: response.statusCode ?? 0, headers, body: Buffer.concat(chunks) });
      });
      sent.on('error', reject).end();
    });
  const post = async (body: Uint8Array, type = REQUEST_TYPE) => {
    const response = await fetch(side.url, {
      method: 'POST',
      headers: { 'content-type': type },
      body: new Uint8Array(body),
    });
    return { status: response.status, body: Buffer.from(await response.arrayBuffer()), headers: response.headers };
  };
  const escaped = (text: string): string => text.replaceAll('+', '%2B').replaceAll('/', '%2F').replaceAll('=', '%3D');

  describe('takes a GET', () => {
    const forms: Record<string, (base64: string) => string> = {
      'that is escaped as it should be': (base64) => `/ocsp/${escaped(base64)}`,
      'in lower-case hexadecimal': (base64) => `/ocsp/${lower(base64)}`,
      'with bare slash, plus and equals': (base64) => `/ocsp/${base64}`,
      'with some of it escaped': (base64) => `/ocsp/${base64.replaceAll('+', '%2B')}`,
      'that is escaped twice': (base64) => `/ocsp/${encodeURIComponent(escaped(base64))}`,
      'with every character escaped': (base64) =>
        `/ocsp/${[...base64].map((c) => `%${c.charCodeAt(0).toString(16)}`).join('')}`,
      'whose plus became a blank': (base64) => `/ocsp/${base64.replaceAll('+', '%20')}`,
      'in the alphabet for URLs': (base64) => `/ocsp/${base64.replaceAll('+', '-').replaceAll('/', '_')}`,
      'without padding': (base64) => `/ocsp/${base64.replaceAll('=', '')}`,
      'with line breaks': (base64) => `/ocsp/${base64.slice(0, 64)}%0D%0A${base64.slice(64)}%0A`,
      'after two slashes': (base64) => `/ocsp//${base64}`,
      'after many slashes': (base64) => `//ocsp///${base64}`,
      'at the root': (base64) => `/${escaped(base64)}`,
      'at the root after two slashes': (base64) => `//${base64}`,
      'with a query': (base64) => `/ocsp/${escaped(base64)}?x=1`,
      'through a proxy': (base64) => `http://ocsp.example.org/ocsp/${escaped(base64)}`,
    };
    const lower = (base64: string): string =>
      base64.replaceAll('+', '%2b').replaceAll('/', '%2f').replaceAll('=', '%3d');
    for (const [what, form] of Object.entries(forms)) {
      it(what, async () => {
        const der = escapable();
        const { status, body } = await get(form(Buffer.from(der).toString('base64')));
        assert.equal(status, 200);
        assert.equal(readAnswer(body).singles.length, 1);
      });
    }

    for (const path of [
      '/ocsp',
      '/ocsp/',
      '/',
      '/ocsp/%',
      '/ocsp/%zz',
      '/ocsp/abc',
      '/ocsp/a',
      '/ocsp/ab=c',
      '/ocsp/ab=',
      '/favicon.ico',
      '/ocsp/..%2F..%2Fetc',
    ]) {
      it(`and calls ${path} malformed`, async () => {
        const { status, headers, body } = await get(path);
        assert.deepEqual([status, statusOf(body), body.length], [200, MALFORMED, 5]);
        assert.equal(headers['cache-control'], 'max-age=0, no-cache');
        assert.equal(headers['content-type'], 'application/ocsp-response');
      });
    }
  });

  it('takes a POST, its type in any case and with parameters', async () => {
    const der = ocspRequest([certId(side.ca.certificate, '1002')]);
    for (const type of [REQUEST_TYPE, 'Application/OCSP-Request', `${REQUEST_TYPE}; charset=binary`]) {
      const { status, body, headers } = await post(der, type);
      assert.equal(status, 200);
      assert.equal(headers.get('content-type'), 'application/ocsp-response');
      assert.equal(readAnswer(body).singles[0]?.kind, 'revoked');
    }
  });

  it('takes a body in pieces', async () => {
    const der = ocspRequest([certId(side.ca.certificate, '1001')]);
    const body = new ReadableStream({
      start(controller) {
        for (const octet of der) controller.enqueue(Uint8Array.of(octet));
        controller.close();
      },
    });
    const init = { method: 'POST', headers: { 'content-type': REQUEST_TYPE }, body, duplex: 'half' };
    const response = await fetch(side.url, init as RequestInit);
    assert.equal(readAnswer(Buffer.from(await response.arrayBuffer())).singles[0]?.kind, 'good');
  });

  describe('says to caches', () => {
    const path = (): string =>
      `/ocsp/${escaped(Buffer.from(ocspRequest([certId(side.ca.certificate, '1001')])).toString('base64'))}`;

    it('what RFC 9919 wants', async () => {
      const { headers, body } = await get(path());
      const [single] = readAnswer(body).singles;
      assert.equal(headers['etag'], `"${hash('sha256', body, 'hex')}"`);
      assert.equal(headers['last-modified'], new Date(single?.thisUpdate ?? 0).toUTCString());
      assert.equal(headers['expires'], new Date(single?.nextUpdate ?? 0).toUTCString());
      assert.equal(headers['cache-control'], 'max-age=3600, public, no-transform, must-revalidate');
      assert.ok(Math.abs(Date.parse(headers['date'] ?? '') - Date.now()) < 5_000);
      assert.equal(headers['content-length'], String(body.length));
    });

    it('nothing has changed, to who has the answer', async () => {
      const { headers } = await get(path());
      for (const tag of [headers['etag'] ?? '', `W/${headers['etag']}`, `"x", ${headers['etag']}`, '*']) {
        const again = await get(path(), { headers: { 'if-none-match': tag } });
        assert.deepEqual([again.status, again.body.length, again.headers['etag']], [304, 0, headers['etag']]);
        assert.match(again.headers['cache-control'] ?? '', /max-age=3600, public/);
      }
      const other = await get(path(), { headers: { 'if-none-match': '"x"' } });
      assert.equal(other.status, 200);
    });

    it('less than is left of the validity', async () => {
      const before = side.binding.properties;
      side.binding.properties = { ...before, maxAgeMs: 10 * 24 * 3_600_000 };
      const seconds = Number(/max-age=(\d+)/.exec((await get(path())).headers['cache-control'] ?? '')?.[1]);
      assert.ok(seconds < 8 * 3_600 && seconds > 8 * 3_600 - 10);
      side.binding.properties = { ...before, maxAgeMs: 0 };
      assert.match((await get(path())).headers['cache-control'] ?? '', /^max-age=0, public/);
      side.binding.properties = { ...before, responseValidityMs: 0 };
      const { headers } = await get(path());
      assert.match(headers['cache-control'] ?? '', /^max-age=0, public/);
      assert.equal(headers['expires'], undefined);
      side.binding.properties = before;
    });

    it('that an answer with a nonce is for one alone', async () => {
      const { headers } = await get(`/ocsp/${Buffer.from(escapable()).toString('base64')}`);
      assert.equal(headers['cache-control'], 'max-age=0, private, no-transform, must-revalidate');
      assert.equal(headers['etag'], undefined);
    });

    it('the same for HEAD, without the answer', async () => {
      const [head, whole] = [await get(path(), { method: 'HEAD' }), await get(path())];
      assert.equal(head.body.length, 0);
      for (const name of ['etag', 'content-length', 'cache-control', 'expires']) {
        assert.equal(head.headers[name], whole.headers[name]);
      }
    });
  });

  describe('refuses', () => {
    for (const method of ['PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE']) {
      it(`${method}`, async () => {
        const { status, headers } = await get('/ocsp', { method });
        assert.deepEqual([status, headers['allow']], [405, 'GET, HEAD, POST']);
      });
    }

    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/ocsp-response', '']) {
      it(`a body of type '${type}'`, async () => {
        const { status, body } = await post(ocspRequest([certId(side.ca.certificate, '1001')]), type || 'x/x');
        assert.deepEqual([status, statusOf(body)], [415, MALFORMED]);
      });
    }

    it('a POST without a type', async () => {
      const { status } = await get('/ocsp', { method: 'POST' });
      assert.equal(status, 415);
    });

    it('an empty body', async () => {
      const { status, body } = await post(new Uint8Array(0));
      assert.deepEqual([status, statusOf(body)], [200, MALFORMED]);
    });

    it('a body that says it is too large, and one that turns out to be', async () => {
      assert.equal((await post(new Uint8Array(65_537))).status, 413);
      const socket = connect(Number(new URL(side.origin).port), '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(
        `POST /ocsp HTTP/1.1\r\nHost: x\r\nContent-Type: ${REQUEST_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n`,
      );
      for (let i = 0; i < 70; i++) socket.write(`400\r\n${'x'.repeat(1024)}\r\n`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      assert.match(answer.toString('latin1'), /^HTTP\/1.1 413/);
      socket.destroy();
    });

    it('a body that does not come', async () => {
      const socket = connect(Number(new URL(side.origin).port), '127.0.0.1');
      socket.write(`POST /ocsp HTTP/1.1\r\nHost: x\r\nContent-Type: ${REQUEST_TYPE}\r\nContent-Length: 50\r\n\r\nabc`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      assert.match(answer.toString('latin1'), /^HTTP\/1.1 408/);
      socket.destroy();
    });
  });

  it('forgets clients that go away in the middle', async () => {
    for (let i = 0; i < 50; i++) {
      const socket = connect(Number(new URL(side.origin).port), '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(
        `POST /ocsp HTTP/1.1\r\nHost: x\r\nContent-Type: ${REQUEST_TYPE}\r\nContent-Length: 5000\r\n\r\nabc`,
      );
      await new Promise((resolve) => setTimeout(resolve, 2));
      if (i % 2 === 0) socket.destroy();
      else socket.resetAndDestroy();
    }
    assert.equal((await get('/ocsp/abc')).status, 200);
  });

  it('answers every wrong byte with an OCSP status', async () => {
    const whole = ocspRequest([certId(side.ca.certificate, '1001')], { nonce: randomBytes(16) });
    for (let at = 0; at < whole.length; at++) {
      const { status, body } = await post(whole.with(at, (whole[at] ?? 0) ^ 0x55));
      assert.equal(status, 200);
      assert.ok([0, MALFORMED, 6].includes(statusOf(body)));
      assert.doesNotMatch(body.toString('latin1'), /Error|\.ts/);
    }
  });
});
