import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import {
  BASE_PATH,
  OPERATIONS,
  type Operation,
  type OperationName,
  ROWS_TYPE,
} from '../../../lib/protocol/operations.ts';
import { readCertificateInput } from '../../../lib/publisher/certificate-input.ts';
import { PeerPublisher } from '../../../lib/publisher/peer-publisher.ts';
import { publishToPeers } from '../../../lib/publisher/publish-to-peers.ts';
import { CERTIFICATE_STATUS } from '../../../lib/store/certificate-data.ts';
import { encodeRow } from '../../../lib/store/certificate-row.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { directTask } from '../../helpers/publish-task.ts';
import { type Credential, createTestPki, daysFromNow } from '../../helpers/test-pki.ts';
import { caRole, startTwoPeers, type TwoPeers } from '../../helpers/two-peers.ts';

describe('peer endpoint', () => {
  const pki = createTestPki();
  const folder = mkdtempSync(join(tmpdir(), 'endpoint-'));
  const store = new WorkerStore({ kind: 'sqlite', file: join(folder, 'va.sqlite') });
  let peers: TwoPeers | undefined;

  const start = async (options: Parameters<typeof startTwoPeers>[0] = {}): Promise<TwoPeers> => {
    peers = await startTwoPeers({ pki, store, ...options });
    return peers;
  };

  afterEach(async () => {
    await peers?.close();
    peers = undefined;
  });

  after(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });

  const rowOf = (credential: Credential) => {
    const [item] = readCertificateInput(credential.certificate, Date.now());
    assert.ok(item !== undefined && 'row' in item);
    return item.row;
  };

  it('tells version, operations, limits and its clock', async () => {
    const { client } = await start();
    const capabilities = await client.capabilities();
    assert.equal(capabilities.protocol, 1);
    assert.deepEqual(capabilities.operations, Object.keys(OPERATIONS));
    assert.ok(Math.abs(Date.parse(capabilities.serverTime) - Date.now()) < 5_000);
  });

  it('stores what is published and answers when it is on disk', async () => {
    const { client } = await start();
    const row = rowOf(pki.nobody());
    const result = await client.publishCertificates(encodeRow(row), 1);
    assert.equal(result.verdicts, 's');
    assert.deepEqual(await store.findByFingerprint(row.fingerprint), row);
  });

  it('changes nothing when the same is published again', async () => {
    const { client } = await start();
    const bytes = encodeRow(rowOf(pki.nobody()));
    await client.publishCertificates(bytes, 1);
    assert.equal((await client.publishCertificates(bytes, 1)).verdicts, 'u');
  });

  describe('refuses at the door, with the cause', () => {
    const causes = Object.entries(pki.strangers());
    for (const [cause, stranger] of causes) {
      it(cause, async () => {
        const { client, events } = await start({ client: stranger });
        await assert.rejects(client.ping(), { code: 'ERR_NOT_AUTHENTICATED', message: `Client certificate: ${cause}` });
        assert.deepEqual(
          events.map((event) => [event.kind, 'cause' in event && event.cause]),
          [['refused', `Client certificate: ${cause}`]],
        );
      });
    }

    it('no certificate', async () => {
      const { server } = await start();
      const answer = await rawRequest(server.port, { ca: pki.managementCa.certificatePem }, ping());
      assert.match(answer, /^HTTP\/1\.1 401 .*Client certificate: no certificate/s);
    });

    it('a certificate that the store knows as revoked', async () => {
      const revoked = pki.client({ subjectDN: 'CN=ca-1,O=Test,C=SE' });
      const state = { status: CERTIFICATE_STATUS.revoked, revocationReason: 1, revocationDate: Date.now() };
      await store.writeRows([encodeRow({ ...rowOf(revoked), ...state, updateTime: Date.now() })], ALL_CAS);
      const { client } = await start({ client: revoked });
      await assert.rejects(client.ping(), { code: 'ERR_NOT_AUTHENTICATED', message: 'Client certificate: revoked' });
    });

    it('a certificate that its trust list does not name', async () => {
      const trust = [{ caDer: pki.managementCa.certificate, serialNumber: '1' }];
      const { client } = await start({ serverTrust: trust });
      await assert.rejects(client.ping(), { code: 'ERR_NOT_AUTHENTICATED', message: /trust list/ });
    });

    it('before a byte of a body is read', async () => {
      const { server } = await start();
      const { expired } = pki.strangers();
      const request = `POST ${BASE_PATH}/certificates HTTP/1.1\r\nHost: x\r\nContent-Type: ${ROWS_TYPE}\r\nContent-Length: 5000000\r\n\r\n`;
      const answer = await rawRequest(server.port, tlsOf(expired), request);
      assert.match(answer, /401 .*expired/s);
    });
  });

  it('cuts off within five seconds whoever is revoked while connected', async () => {
    const client = pki.client({ subjectDN: 'CN=ca-1,O=Test,C=SE' });
    const started = await start({ client });
    await started.client.ping();
    const state = { status: CERTIFICATE_STATUS.revoked, revocationReason: 1, revocationDate: Date.now() };
    await store.writeRows([encodeRow({ ...rowOf(client), ...state, updateTime: Date.now() })], ALL_CAS);
    const end = Date.now() + 5_000;
    let code = '';
    while (code === '' && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      code = await started.client.ping().then(
        () => '',
        (error) => error.code,
      );
    }
    assert.equal(code, 'ERR_NOT_AUTHENTICATED');
  });

  it('refuses on an open connection once the certificate has expired', async () => {
    let now = Date.now();
    const { client } = await start({ endpoint: { now: () => now } });
    await client.ping();
    now = daysFromNow(31).getTime();
    await assert.rejects(client.ping(), { code: 'ERR_NOT_AUTHENTICATED' });
  });

  it('refuses who has no role', async () => {
    const { client, events } = await start({ client: pki.nobody() });
    await assert.rejects(client.ping(), { code: 'ERR_NOT_AUTHORIZED', message: /\/peerincoming: no role/ });
    assert.deepEqual(
      events.map((event) => event.kind),
      ['first-contact', 'refused'],
    );
  });

  it('takes a changed role into account on open connections', async () => {
    const { client, server } = await start();
    await client.ping();
    server.setRoles([caRole({ '/peerpublish': 'allow' })]);
    await assert.rejects(client.ping(), { code: 'ERR_NOT_AUTHORIZED' });
    server.setRoles([caRole()]);
    await client.ping();
  });

  describe('opens each operation to exactly the roles that have all of its rules', () => {
    const rules = [
      '/peerincoming',
      '/peerpublish/writecert',
      '/peerpublish/writecrl',
      '/peerpublish/readcert',
      '/peer',
      '/ca',
    ];
    for (const name of Object.keys(OPERATIONS) as OperationName[]) {
      it(name, async () => {
        const { server } = await start();
        const operation: Operation = OPERATIONS[name];
        const socket = await openSocket(server.port, tlsOf(pki.caClient));
        for (let mask = 0; mask < 2 ** rules.length; mask++) {
          const allowed = rules.filter((_, bit) => mask & (2 ** bit));
          server.setRoles([caRole(Object.fromEntries(allowed.map((rule) => [rule, 'allow'] as const)))]);
          const status = await statusOver(socket, operation);
          const mayEnter = operation.rules.every((rule) => allowed.includes(rule));
          assert.equal(status === 403, !mayEnter, `${name} with ${allowed}: ${status}`);
        }
        socket.destroy();
      });
    }
  });

  it('refuses rows of a CA the role may not write for, and stores their neighbours', async () => {
    const { client } = await start({
      roles: [caRole({ '/peerincoming': 'allow', '/peerpublish': 'allow', '/ca/Management CA': 'allow' })],
    });
    const own = encodeRow(rowOf(pki.nobody()));
    const foreign = encodeRow(rowOf(createTestPki().strangers()['self-signed']));
    const result = await client.publishCertificates(Buffer.concat([own, foreign, encodeRow(rowOf(pki.nobody()))]), 3);
    assert.equal(result.verdicts, 'srs');
    assert.equal(result.refusals[0]?.code, 'ERR_NOT_AUTHORIZED');
    assert.match(result.refusals[0]?.detail ?? '', /CN=ca-1,O=Test,C=SE/);
  });

  it('writes nothing of a stream it cannot read', async () => {
    const { client } = await start();
    const row = rowOf(pki.nobody());
    const body = Buffer.concat([encodeRow(row), Buffer.from('not rows')]);
    await assert.rejects(client.publishCertificates(body, 2), { code: 'ERR_MALFORMED_MESSAGE' });
    assert.equal(await store.findByFingerprint(row.fingerprint), undefined);
  });

  it('says so when it has no store', async () => {
    const started = await startTwoPeers({ pki });
    await assert.rejects(started.client.publishCertificates(encodeRow(rowOf(pki.nobody())), 1), {
      code: 'ERR_STORE_UNAVAILABLE',
    });
    await started.close();
  });

  it('carries a thousand single rows in a few requests', async () => {
    const { client, server } = await start();
    const publisher = new PeerPublisher(client);
    const rows = Array.from({ length: 1_000 }, (_, i) => ({
      ...rowOf(pki.vaServer),
      certificate: null,
      fingerprint: i.toString(16).padStart(40, '0'),
    }));
    const outcomes = await Promise.all(rows.map((row) => publisher.publish(row)));
    assert.ok(outcomes.every((outcome) => outcome.verdict === 'stored'));
    assert.ok((server.incoming.list()[0]?.requests ?? 0) < 10);
  });

  it('tells per certificate and peer what happened, one of them being away', async () => {
    const { client, connect } = await start();
    const gone = connect();
    await gone.pool.disable();
    const task = directTask({ 'va-1': client, 'va-2': gone.client });
    const input = [pki.nobody().certificatePem, 'garbage', pki.nobody().certificate];
    const { rows, report, failure } = await publishToPeers(input, task);
    assert.equal(failure, undefined);
    assert.deepEqual(
      rows.map((row) => [row.peer, row.verdict, row.code]),
      [
        ['va-1', 'stored', ''],
        ['va-2', 'failed', 'ERR_CONNECTOR_DISABLED'],
        ['', 'refused', 'ERR_INVALID_CERTIFICATE'],
        ['va-1', 'stored', ''],
        ['va-2', 'failed', 'ERR_CONNECTOR_DISABLED'],
      ],
    );
    assert.deepEqual([report.certificates, report.stored, report.failed, report.refused], [3, 2, 2, 1]);
  });

  describe('limits', () => {
    const raw = async (request: string): Promise<string> => {
      const { server } = await start();
      return rawRequest(server.port, tlsOf(pki.caClient), request);
    };
    const head = (lines: readonly string[]): string => `${lines.join('\r\n')}\r\n\r\n`;
    const post = (path: string, ...headers: string[]): string =>
      head([`POST ${BASE_PATH}${path} HTTP/1.1`, 'Host: x', 'Connection: close', ...headers]);

    it('refuses a declared body that is too large without reading it', async () => {
      assert.match(
        await raw(post('/ping', 'Content-Type: application/json', 'Content-Length: 999999999')),
        /413 .*ERR_TOO_LARGE/s,
      );
    });

    it('refuses a body that grows too large without saying so', async () => {
      const chunk = `ffff\r\n${'x'.repeat(0xffff)}\r\n`;
      const request = post('/ping', 'Content-Type: application/json', 'Transfer-Encoding: chunked') + chunk;
      assert.match(await raw(request), /413 .*ERR_TOO_LARGE/s);
    });

    it('refuses headers that are too large', async () => {
      assert.match(await raw(post('/ping', `X: ${'x'.repeat(20_000)}`)), /^HTTP\/1\.1 413 .*ERR_TOO_LARGE/s);
    });

    it('refuses two lengths, and a length beside chunks', async () => {
      assert.match(await raw(post('/ping', 'Content-Length: 2', 'Content-Length: 3')), /^HTTP\/1\.1 400 /);
      await peers?.close();
      assert.match(await raw(post('/ping', 'Content-Length: 2', 'Transfer-Encoding: chunked')), /^HTTP\/1\.1 400 /);
    });

    it('refuses a compressed body and another media type', async () => {
      const json = ['Content-Type: application/json', 'Content-Length: 2'];
      assert.match(await raw(`${post('/ping', ...json, 'Content-Encoding: gzip')}{}`), /400 .*compressed/s);
      await peers?.close();
      assert.match(
        await raw(`${post('/ping', 'Content-Type: text/plain', 'Content-Length: 2')}{}`),
        /400 .*application\/json/s,
      );
    });

    it('knows its paths to the letter only', async () => {
      for (const path of ['/ping/', '/Ping', '/%70ing', '/x/../ping', '/ping?x=1', '//ping']) {
        assert.match(await raw(post(path, 'Content-Length: 0')), /404 .*ERR_UNKNOWN_OPERATION/s, path);
        await peers?.close();
      }
    });

    it('refuses methods that an operation does not have', async () => {
      assert.match(await raw(head([`DELETE ${BASE_PATH}/ping HTTP/1.1`, 'Host: x', 'Connection: close'])), /404 /);
    });

    it('speaks no plain HTTP', async () => {
      const { server } = await start();
      const answer = await new Promise<string>((resolve) => {
        let text = '';
        const socket = connectTcp(server.port, '127.0.0.1', () => socket.write(ping()));
        socket
          .on('data', (data) => (text += data.toString('latin1')))
          .on('error', () => undefined)
          .on('close', () => resolve(text));
      });
      assert.doesNotMatch(answer, /HTTP/);
    });

    it('speaks no TLS below 1.3 unless told to', async () => {
      const { server } = await start();
      await assert.rejects(openSocket(server.port, { ...tlsOf(pki.caClient), maxVersion: 'TLSv1.2' }));
      await peers?.close();
      const second = await start({ endpoint: { minTlsVersion: 'TLSv1.2' } });
      (await openSocket(second.server.port, { ...tlsOf(pki.caClient), maxVersion: 'TLSv1.2' })).destroy();
    });

    it('takes only so many connections of one address', async () => {
      const { server } = await start({ endpoint: { maxConnectionsPerAddress: 2 } });
      const sockets = await Promise.all([
        openSocket(server.port, tlsOf(pki.caClient)),
        openSocket(server.port, tlsOf(pki.caClient)),
      ]);
      await assert.rejects(openSocket(server.port, tlsOf(pki.caClient)));
      for (const socket of sockets) socket.destroy();
    });

    it('waits fifteen seconds for headers and no longer', async function () {
      this.timeout(30_000);
      const begun = performance.now();
      const answer = await raw(`POST ${BASE_PATH}/ping HTTP/1.1\r\nHost: x\r\n`);
      assert.match(answer, /^HTTP\/1\.1 408 .*ERR_TOO_SLOW/s);
      const seconds = (performance.now() - begun) / 1_000;
      assert.ok(seconds > 13 && seconds < 20, `${seconds} s`);
    });

    it('answers what is no HTTP by name', async () => {
      assert.match(await raw('\x00\x01\x02 nonsense\r\n\r\n'), /^HTTP\/1\.1 400 .*ERR_MALFORMED_MESSAGE/s);
    });

    it('survives a client that leaves in the middle of a body', async () => {
      const { server, client } = await start();
      const socket = await openSocket(server.port, tlsOf(pki.caClient));
      socket.write(post('/certificates', `Content-Type: ${ROWS_TYPE}`, 'Content-Length: 1000'));
      socket.write('half');
      socket.destroy();
      await client.ping();
    });
  });

  it('names a port that is taken', async () => {
    const { server } = await start();
    await assert.rejects(startTwoPeers({ pki, endpoint: { port: server.port } }), {
      code: 'ERR_INVALID_CONFIG',
      message: /EADDRINUSE/,
    });
  });

  const tlsOf = ({ certificatePem, keyPem }: Credential) => ({
    ca: pki.managementCa.certificatePem,
    cert: certificatePem,
    key: keyPem,
  });

  function ping(): string {
    return `POST ${BASE_PATH}/ping HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`;
  }

  function openSocket(port: number, options: object): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const socket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ...options }, () =>
        resolve(socket),
      );
      socket.on('error', reject).on('close', () => reject(new Error('closed')));
    });
  }

  async function rawRequest(port: number, options: object, request: string): Promise<string> {
    const socket = await openSocket(port, options);
    return new Promise((resolve) => {
      let text = '';
      socket.on('data', (data) => (text += data.toString('latin1'))).on('close', () => resolve(text));
      socket.write(request);
    });
  }

  async function statusOver(socket: TLSSocket, operation: Operation): Promise<number> {
    const body = operation.requestType === undefined ? '' : operation.requestType === ROWS_TYPE ? '' : '{}';
    const type = operation.requestType === undefined ? '' : `Content-Type: ${operation.requestType}\r\n`;
    const answer = new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString('latin1'))));
    socket.write(
      `${operation.method} ${BASE_PATH}${operation.path} HTTP/1.1\r\nHost: x\r\n${type}Content-Length: ${body.length}\r\n\r\n${body}`,
    );
    return Number((await answer).slice(9, 12));
  }
});
