import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { readCertificateInput } from '../../../lib/publisher/certificate-input.ts';
import { CERTIFICATE_STATUS } from '../../../lib/store/certificate-data.ts';
import { encodeRow } from '../../../lib/store/certificate-row.ts';
import type { CertificateStore } from '../../../lib/store/certificate-store.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../../lib/x509/ca-scope.ts';
import { type Credential, createTestPki } from '../../helpers/test-pki.ts';
import { startTwoPeers, type TwoPeers } from '../../helpers/two-peers.ts';
import { waitFor } from '../../helpers/wait-for.ts';

const CUT_MS = 5_000;

describe('revocation check', function () {
  this.timeout(20_000);
  const pki = createTestPki();
  const folder = mkdtempSync(join(tmpdir(), 'revocation-'));
  const store = new WorkerStore({ kind: 'sqlite', file: join(folder, 'va.sqlite') });
  let peers: TwoPeers | undefined;

  const start = async (options: Parameters<typeof startTwoPeers>[0] = {}): Promise<TwoPeers> => {
    peers = await startTwoPeers({ pki, store, ...options });
    return peers;
  };
  /** A store that does as it is told instead of finding rows: a disk that is gone, a database that hangs. */
  const failing = (findByFingerprint: CertificateStore['findByFingerprint']): CertificateStore =>
    new Proxy(store as CertificateStore, {
      get: (target, key) => {
        if (key === 'findByFingerprint') return findByFingerprint;
        const value: unknown = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  const write = async (credential: Credential, fields: object = {}): Promise<void> => {
    const [item] = readCertificateInput(credential.certificate, Date.now());
    assert.ok(item !== undefined && 'row' in item);
    await store.writeRows([encodeRow({ ...item.row, ...fields, updateTime: Date.now() })], ALL_CAS);
  };
  const revoke = (credential: Credential): Promise<void> =>
    write(credential, { status: CERTIFICATE_STATUS.revoked, revocationReason: 1, revocationDate: Date.now() });
  const newClient = (): Credential => pki.client({ subjectDN: 'CN=ca-1,O=Test,C=SE' });
  const open = (port: number, client: Credential, options: object = {}): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const { certificatePem: cert, keyPem: key } = client;
      const socket = connectTls(
        {
          port,
          host: '127.0.0.1',
          servername: 'localhost',
          ca: pki.managementCa.certificatePem,
          cert,
          key,
          ...options,
        },
        () => resolve(socket),
      );
      socket.once('error', reject);
    });
  const closing = async (socket: TLSSocket): Promise<number> => {
    const begun = performance.now();
    socket.on('error', () => undefined).resume();
    await waitFor({ look: () => (socket.closed ? true : undefined), what: 'the cut', timeoutMs: CUT_MS });
    return performance.now() - begun;
  };

  afterEach(async () => {
    await peers?.close();
    peers = undefined;
  });

  after(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });

  it('cuts an idle open connection within five seconds of the revocation', async () => {
    const client = newClient();
    const { server, events } = await start();
    const socket = await open(server.port, client);
    // Not before: who is revoked while the store is asked is refused, which is another test.
    const isAdmitted = (): true | undefined => events.some(({ kind }) => kind === 'first-contact') || undefined;
    await waitFor({ look: isAdmitted, what: 'the admission', timeoutMs: 5_000 });
    await revoke(client);
    await closing(socket);
    assert.ok(events.some((event) => event.kind === 'refused' && event.cause === 'Client certificate: revoked'));
  });

  it('cuts open connections within five seconds when the store begins to fail', async () => {
    let isBroken = false;
    const broken = failing(async (fingerprint) => {
      if (isBroken) throw new Error('the disk is gone');
      return store.findByFingerprint(fingerprint);
    });
    const { server } = await start({ store: broken });
    const socket = await open(server.port, newClient());
    await waitFor({ look: () => server.incoming.list()[0], what: 'the peer', timeoutMs: 2_000 });
    await delay(1_200);
    assert.equal(socket.closed, false);
    isBroken = true;
    await closing(socket);
  });

  it('cuts open connections within five seconds when the store begins to hang', async () => {
    let isHanging = false;
    const hanging = failing((fingerprint) =>
      isHanging ? new Promise(() => undefined) : store.findByFingerprint(fingerprint),
    );
    const { server } = await start({ store: hanging });
    const socket = await open(server.port, newClient());
    await waitFor({ look: () => server.incoming.list()[0], what: 'the peer', timeoutMs: 2_000 });
    isHanging = true;
    await closing(socket);
  });

  it('lets a connection live through one failed question', async () => {
    let failures = 0;
    const shaky = failing((fingerprint) => {
      if (failures++ === 1) throw new Error('once');
      return store.findByFingerprint(fingerprint);
    });
    const { client, server } = await start({ store: shaky });
    await client.ping();
    await waitFor({ look: () => (failures > 3 ? true : undefined), what: 'questions', timeoutMs: 6_000 });
    await client.ping();
    assert.equal(server.incoming.list()[0]?.refusals, 0);
  });

  it('admits nobody while the store fails, with a code that says to try again', async () => {
    const { client } = await start({ store: failing(() => Promise.reject(new Error('the disk is gone'))) });
    await assert.rejects(client.ping(), { code: 'ERR_STORE_UNAVAILABLE', retryable: true });
  });

  it('answers within five seconds whoever comes while the store hangs', async () => {
    const { client } = await start({ store: failing(() => new Promise(() => undefined)) });
    const begun = performance.now();
    await assert.rejects(client.ping(), { code: 'ERR_STORE_UNAVAILABLE' });
    assert.ok(performance.now() - begun < CUT_MS);
  });

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`refuses a ${maxVersion} session that is resumed after the revocation`, async () => {
      const client = newClient();
      const { server } = await start({ endpoint: { minTlsVersion: 'TLSv1.2' } });
      const first = await open(server.port, client, { maxVersion });
      const session = maxVersion === 'TLSv1.2' ? first.getSession() : await sessionOf(first);
      first.destroy();
      await revoke(client);
      const second = await open(server.port, client, { maxVersion, ...(session !== undefined && { session }) });
      second.write('POST /ejbca/peer/v1/ping HTTP/1.1\r\n');
      assert.match(await textOf(second), /^HTTP\/1\.1 401 .*revoked/s);
    });
  }

  describe('with certificates that must be stored', () => {
    it('refuses one that the store does not know', async () => {
      const { client } = await start({ client: newClient(), endpoint: { mustBeStored: true } });
      await assert.rejects(client.ping(), {
        code: 'ERR_NOT_AUTHENTICATED',
        message: 'Client certificate: not in the certificate store',
      });
    });

    it('admits one that the store knows', async () => {
      const known = newClient();
      await write(known);
      const { client } = await start({ client: known, endpoint: { mustBeStored: true } });
      assert.ok(await client.ping());
    });

    it('does not start without a store', async () => {
      await assert.rejects(startTwoPeers({ pki, endpoint: { mustBeStored: true } }), { code: 'ERR_INVALID_CONFIG' });
    });
  });

  describe('at the end', () => {
    it('closes at once with a client in the middle of its admission, and never serves it', async () => {
      let release = (): void => undefined;
      const slow = failing(
        (fingerprint) =>
          new Promise((resolve) => {
            release = () => resolve(store.findByFingerprint(fingerprint));
          }),
      );
      const { server } = await start({ store: slow });
      const socket = await open(server.port, newClient());
      await waitFor({ look: () => server.incoming.list()[0], what: 'the admission', timeoutMs: 2_000 });
      const begun = performance.now();
      await server.close();
      assert.ok(performance.now() - begun < 1_000);
      await closing(socket);
      release();
      await delay(50);
      assert.equal(server.incoming.list()[0]?.connections, 0);
    });

    it('closes at once with a client in the middle of its handshake', async () => {
      const { server } = await start();
      const socket = connectTcp(server.port, '127.0.0.1').on('error', () => undefined);
      await new Promise((resolve) => socket.once('connect', resolve));
      await delay(50);
      const begun = performance.now();
      await server.close();
      assert.ok(performance.now() - begun < 1_000);
      socket.destroy();
    });

    it('counts out a client that leaves while the store is asked', async () => {
      let release = (): void => undefined;
      const slow = failing(
        (fingerprint) =>
          new Promise((resolve) => {
            release = () => resolve(store.findByFingerprint(fingerprint));
          }),
      );
      const { server } = await start({ store: slow });
      const socket = await open(server.port, newClient());
      await waitFor({ look: () => server.incoming.list()[0], what: 'the admission', timeoutMs: 2_000 });
      socket.destroy();
      const gone = () => (server.incoming.list()[0]?.connections === 0 ? true : undefined);
      await waitFor({ look: gone, what: 'the end of the connection', timeoutMs: 2_000 });
      release();
      await delay(50);
      assert.equal(server.incoming.list()[0]?.connections, 0);
    });
  });

  it('cuts whom an operator blocks, refuses it at the door, and admits it again', async () => {
    const blocked = new Set<string>();
    const { client, server } = await start({ endpoint: { isBlocked: (fingerprint) => blocked.has(fingerprint) } });
    await client.ping();
    const [peer] = server.incoming.list();
    blocked.add(peer?.id ?? '');
    server.applyBlocked();
    await assert.rejects(client.ping(), { message: 'Client certificate: blocked by the operator' });
    assert.equal(server.incoming.list()[0]?.isBlocked, true);
    blocked.clear();
    server.applyBlocked();
    assert.ok(await client.ping());
  });

  function sessionOf(socket: TLSSocket): Promise<Buffer | undefined> {
    // A server that gives no tickets gives no session of TLS 1.3 either.
    return Promise.race([new Promise<Buffer>((resolve) => socket.once('session', resolve)), delay(300, undefined)]);
  }

  function textOf(socket: TLSSocket): Promise<string> {
    return new Promise((resolve) => {
      let text = '';
      socket.on('error', () => undefined);
      socket.on('data', (data) => (text += data.toString('latin1'))).on('close', () => resolve(text));
    });
  }
});
