import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { RemoteAuthenticator } from '../../../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool } from '../../../lib/pool/connection-pool.ts';
import { PeerClient } from '../../../lib/pool/peer-client.ts';
import { readCertificate } from '../../../lib/x509/certificate.ts';
import { startProxy } from '../../helpers/tcp-proxy.ts';
import { createTestPki, daysFromNow, identitySource, writePemFiles } from '../../helpers/test-pki.ts';
import { startTwoPeers, type TwoPeers } from '../../helpers/two-peers.ts';

describe('connection pool', () => {
  const pki = createTestPki();
  let peers: TwoPeers | undefined;

  const start = async (options: Parameters<typeof startTwoPeers>[0] = {}): Promise<TwoPeers> => {
    peers = await startTwoPeers({ pki, ...options });
    return peers;
  };

  afterEach(async () => {
    await peers?.close();
    peers = undefined;
  });

  it('starts when first used and tells the numbers of EJBCA’s overview', async () => {
    const { pool, client } = await start({ pool: { maxConnections: 3 } });
    assert.equal(pool.facts().state, 'stopped');
    await client.ping();
    const { state, inUse, ready, max, queued } = pool.facts();
    assert.deepEqual({ state, inUse, ready, max, queued }, { state: 'running', inUse: 0, ready: 1, max: 3, queued: 0 });
  });

  it('tells protocol, cipher and both certificates', async () => {
    const { pool, client } = await start();
    await client.ping();
    const facts = pool.facts();
    assert.equal(facts.protocol, 'TLSv1.3');
    assert.match(facts.cipher ?? '', /^TLS_/);
    assert.equal(facts.clientCertificate?.subjectDN, 'CN=ca-1,O=Test,C=SE');
    assert.equal(facts.serverCertificate?.fingerprint, readCertificate(pki.vaServer.certificate).fingerprint);
  });

  it('keeps one connection for requests that follow each other', async () => {
    const { client, server } = await start();
    for (let i = 0; i < 20; i++) await client.ping();
    // A connection is busy until its answer is read to the end, so a second one may have come.
    assert.ok((server.incoming.list()[0]?.connections ?? 0) <= 2);
    assert.equal(server.incoming.list()[0]?.requests, 20);
  });

  it('never opens more than its maximum', async () => {
    const { client, server } = await start({ pool: { maxConnections: 2 } });
    await Promise.all(Array.from({ length: 50 }, () => client.ping()));
    assert.equal(server.incoming.list()[0]?.connections, 2);
  });

  it('refuses what is beyond its queue', async () => {
    const { client } = await start({ pool: { maxConnections: 1, maxQueued: 3 } });
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => client.ping()));
    const codes = results.map((result) => (result.status === 'rejected' ? result.reason.code : 'ok'));
    assert.ok(codes.includes('ERR_POOL_QUEUE_FULL'));
    assert.ok(codes.includes('ok'));
  });

  it('refuses requests while disabled and works again when enabled', async () => {
    const { pool, client } = await start();
    await client.ping();
    await pool.disable();
    assert.equal(pool.facts().state, 'disabled');
    await assert.rejects(client.ping(), { code: 'ERR_CONNECTOR_DISABLED' });
    pool.enable();
    await client.ping();
  });

  it('goes on over a new connection after a reset', async () => {
    const { pool, client, server } = await start();
    await client.ping();
    pool.reset();
    await client.ping();
    assert.ok((server.incoming.list()[0]?.requests ?? 0) === 2);
  });

  it('loses no request to a reset in the middle', async () => {
    const { pool, client } = await start();
    const pings = Array.from({ length: 200 }, async (_, i) => {
      if (i === 100) pool.reset();
      return client.ping();
    });
    assert.equal((await Promise.all(pings)).length, 200);
  });

  it('does not trust a server of another CA with the same name', async () => {
    const { client } = await start({ clientTrust: [{ caDer: createTestPki().managementCa.certificate }] });
    await assert.rejects(client.ping(), { code: 'ERR_PEER_NOT_TRUSTED' });
  });

  it('does not trust a server whose certificate is expired', async () => {
    const server = pki.server({ notBefore: daysFromNow(-9), notAfter: daysFromNow(-1) });
    const { client } = await start({ server });
    await assert.rejects(client.ping(), { code: 'ERR_PEER_NOT_TRUSTED', message: /CERT_HAS_EXPIRED/ });
  });

  it('does not trust a server with another host name', async () => {
    const server = pki.server({ subjectAltNames: { dns: ['elsewhere.example.org'] } });
    const { client } = await start({ server });
    await assert.rejects(client.ping(), { code: 'ERR_PEER_NOT_TRUSTED' });
  });

  it('does not trust a client certificate as a server', async () => {
    const { client } = await start({ server: pki.caClient });
    await assert.rejects(client.ping(), { code: 'ERR_PEER_NOT_TRUSTED' });
  });

  it('with a serial number in the trust list trusts that certificate and no other of the CA', async () => {
    const caDer = pki.managementCa.certificate;
    const { serialNumber } = readCertificate(pki.vaServer.certificate);
    const { client, connect } = await start({ clientTrust: [{ caDer, serialNumber }] });
    await client.ping();
    const other = connect(pki.caClient, [{ caDer, serialNumber: '1234' }]);
    await assert.rejects(other.client.ping(), { code: 'ERR_PEER_NOT_TRUSTED' });
  });

  it('names a peer that is not there', async () => {
    const { url, client, server } = await start();
    await server.close();
    await assert.rejects(client.ping(), { code: 'ERR_PEER_UNREACHABLE', message: new RegExp(url.host) });
  });

  it('replaces a connection that the peer has closed in between', async () => {
    const first = await start();
    await first.client.ping();
    const { port } = first.server;
    await first.server.close();
    const second = await startTwoPeers({ pki, endpoint: { port } });
    await first.client.ping();
    await second.close();
  });

  it('never uses a connection again over which an answer failed to come', async () => {
    const { server } = await start();
    const proxy = await startProxy(server.port);
    const trust = [{ caDer: pki.managementCa.certificate }];
    const authenticator = new RemoteAuthenticator(identitySource(pki.caClient), () => trust);
    const url = new URL(`https://localhost:${proxy.port}`);
    const pool = new ConnectionPool({ url, maxConnections: 4, requestTimeoutMs: 400 }, authenticator);
    const client = new PeerClient(pool);
    try {
      await Promise.all(Array.from({ length: 20 }, () => client.ping()));
      const old = pool.facts().ready;
      proxy.forget();
      const outcomes = await Promise.all(
        Array.from({ length: old }, () =>
          client.ping().then(
            () => 'answered',
            ({ code }) => code,
          ),
        ),
      );
      assert.deepEqual(new Set(outcomes), new Set(['ERR_PEER_TIMEOUT']));
      for (let i = 0; i < 20; i++) await client.ping();
      await Promise.all(Array.from({ length: 20 }, () => client.ping()));
      assert.ok(pool.facts().ready + pool.facts().inUse <= 4);
    } finally {
      await pool.close();
      await proxy.close();
      authenticator.close();
    }
  });

  it('gives up on a peer that takes the request and never answers', async () => {
    const tls = createTlsServer({ key: pki.vaServer.keyPem, cert: pki.vaServer.certificatePem }, (socket) => {
      socket.on('error', () => undefined).resume();
    });
    await assertTimesOut(tls);
  });

  it('gives up on a peer that takes the connection and never speaks TLS', async () => {
    await assertTimesOut(createServer((socket) => void socket.on('error', () => undefined)));
  });

  it('has one deadline for both tries when a connection breaks', async () => {
    let connections = 0;
    const tls = createTlsServer({ key: pki.vaServer.keyPem, cert: pki.vaServer.certificatePem }, (socket) => {
      socket.on('error', () => undefined).resume();
      connections += 1;
      if (connections === 1) setTimeout(() => socket.destroy(), 700);
    });
    const begun = performance.now();
    await assertTimesOut(tls, 1_000);
    assert.equal(connections, 2);
    assert.ok(performance.now() - begun < 1_500, 'the second try began the time anew');
  });

  async function assertTimesOut(silent: Server, requestTimeoutMs = 300): Promise<void> {
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const url = new URL(`https://localhost:${(silent.address() as AddressInfo).port}`);
    const authenticator = new RemoteAuthenticator(identitySource(pki.caClient), () => [
      { caDer: pki.managementCa.certificate },
    ]);
    const pool = new ConnectionPool({ url, requestTimeoutMs }, authenticator);
    await assert.rejects(new PeerClient(pool).ping(), { code: 'ERR_PEER_TIMEOUT' });
    await pool.close();
    authenticator.close();
    silent.close();
  }

  it('can be cancelled by the caller', async () => {
    const { client } = await start();
    await assert.rejects(client.ping(AbortSignal.abort(new Error('not wanted'))), { message: 'not wanted' });
  });

  it('presents a renewed certificate after a reset, and says before that it is due', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pool-'));
    const { certificateFile, keyFile } = writePemFiles(folder, 'client', pki.caClient);
    const { url } = await start();
    const source = { kind: 'pem-files', certificateFile, keyFile, passphrase: '' } as const;
    const authenticator = new RemoteAuthenticator(source, () => [{ caDer: pki.managementCa.certificate }]);
    const pool = new ConnectionPool({ url }, authenticator);
    await new PeerClient(pool).ping();
    const before = pool.facts().clientCertificate?.fingerprint;
    writePemFiles(folder, 'client', pki.client({ subjectDN: 'CN=ca-1,O=Test,C=SE' }));
    await waitFor(() => pool.facts().identityOutdated, 8_000);
    pool.reset();
    await new PeerClient(pool).ping();
    assert.notEqual(pool.facts().clientCertificate?.fingerprint, before);
    assert.equal(pool.facts().identityOutdated, false);
    writeFileSync(keyFile, 'damaged');
    assert.throws(() => pool.reset(), { code: 'ERR_IDENTITY_UNREADABLE' });
    await new PeerClient(pool).ping();
    await pool.close();
    authenticator.close();
    rmSync(folder, { recursive: true });
  });

  async function waitFor(condition: () => boolean, timeoutMs: number): Promise<void> {
    const end = Date.now() + timeoutMs;
    while (!condition()) {
      assert.ok(Date.now() < end, 'waited in vain');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
});
