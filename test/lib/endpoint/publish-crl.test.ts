import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { BodyBudget } from '../../../lib/endpoint/request-body.ts';
import { longestReceipt, openSpool, Spool } from '../../../lib/endpoint/spool.ts';
import { BASE_PATH, CRL_TYPE, OPERATIONS } from '../../../lib/protocol/operations.ts';
import { publishCrlToPeers, sendCrl } from '../../../lib/publisher/publish-crl-to-peers.ts';
import { toPem } from '../../../lib/x509/pem.ts';
import { makeCrl, manyEntries } from '../../helpers/crl-maker.ts';
import { openCrlStore, readCrl, storeCertificates } from '../../helpers/crl-store.ts';
import { directTask } from '../../helpers/publish-task.ts';
import { createTestPki, issueRootCa } from '../../helpers/test-pki.ts';
import { caRole, startTwoPeers, type TwoPeers } from '../../helpers/two-peers.ts';
import { waitFor } from '../../helpers/wait-for.ts';

const CA = issueRootCa('CN=Issuing CA,O=Test,C=SE');
const DN = 'CN=Issuing CA,O=Test,C=SE';

describe('publishing a CRL', () => {
  const pki = createTestPki();
  let opened: ReturnType<typeof openCrlStore>;
  let spoolFolder: string;
  let peers: TwoPeers;

  const start = async (options: Parameters<typeof startTwoPeers>[0] = {}): Promise<TwoPeers> => {
    peers = await startTwoPeers({ pki, store: opened.store, ...options, endpoint: { spoolFolder } });
    return peers;
  };

  beforeEach(async () => {
    opened = openCrlStore();
    spoolFolder = join(opened.folder, 'spool');
    await storeCertificates(opened.store, CA);
  });

  afterEach(async () => {
    await peers?.close();
    await waitFor({ look: () => spooled().length === 0 || undefined, what: 'an empty spool', timeoutMs: 5_000 });
    await opened.close();
  });

  const spooled = (): string[] => {
    mkdirSync(spoolFolder, { recursive: true });
    return readdirSync(spoolFolder);
  };

  it('stores it and says which one it is', async () => {
    const { client, events } = await start();
    const crl = makeCrl({ issuer: CA, number: '7', entries: [{ serialNumber: '1' }] });
    const answer = await client.publishCrl(crl, 0);
    assert.equal(answer.verdict, 'stored');
    assert.equal(answer.issuerDN, DN);
    assert.equal(answer.cRLNumber, '7');
    assert.equal(answer.entries, 1);
    assert.deepEqual(await readCrl(opened.store, answer.fingerprint), crl);
    assert.equal((await client.publishCrl(crl, 0)).verdict, 'unchanged');
    const told = events.filter(({ kind }) => kind === 'published-crl');
    assert.deepEqual(
      told.map((event) => 'crlIssuerDN' in event && [event.crlIssuerDN, event.verdict]),
      [
        [DN, 'stored'],
        [DN, 'unchanged'],
      ],
    );
  });

  it('takes a file, PEM or DER, larger than any body in memory may be', async () => {
    const { client } = await start();
    const task = directTask({ VA: client });
    const big = makeCrl({ issuer: CA, number: '1', entries: manyEntries(200_000) });
    assert.ok(big.length > OPERATIONS.publishCertificates.maxBodyBytes);
    const file = join(opened.folder, 'x.crl');
    writeFileSync(file, big);
    const { rows, failure } = await publishCrlToPeers({ file }, task);
    assert.equal(failure, undefined);
    assert.deepEqual([rows[0]?.verdict, rows[0]?.issuerDN, rows[0]?.cRLNumber], ['stored', DN, '1']);
    writeFileSync(file, toPem(makeCrl({ issuer: CA, number: '2', entries: manyEntries(100_000) }), 'X509 CRL'));
    assert.equal((await publishCrlToPeers({ file }, task)).rows[0]?.verdict, 'stored');
    const pem = toPem(makeCrl({ issuer: CA, number: '3', entries: manyEntries(60_000) }), 'X509 CRL');
    assert.equal((await publishCrlToPeers(pem, task)).rows[0]?.verdict, 'stored');
    assert.equal((await publishCrlToPeers(Buffer.from(pem), task)).rows[0]?.verdict, 'unchanged');
    assert.equal((await opened.store.crls.find({ issuerDN: DN }))?.entries, 60_000);
  });

  it('takes partitions', async () => {
    const { client } = await start();
    const crl = makeCrl({ issuer: CA, distributionPoint: ['http://va/?partition=3'] });
    assert.equal((await client.publishCrl(crl, 3)).crlPartitionIndex, 3);
  });

  it('needs the right to write CRLs, and for the CA', async () => {
    const { client } = await start({
      roles: [caRole({ '/peerincoming': 'allow', '/peerpublish/writecert': 'allow', '/ca': 'allow' })],
    });
    const crl = makeCrl({ issuer: CA });
    await assert.rejects(client.publishCrl(crl, 0), { code: 'ERR_NOT_AUTHORIZED', message: /writecrl/ });
    peers.server.setRoles([
      caRole({ '/peerincoming': 'allow', '/peerpublish/writecrl': 'allow', '/ca/Other CA': 'allow' }),
    ]);
    await assert.rejects(client.publishCrl(crl, 0), { code: 'ERR_NOT_AUTHORIZED', message: /Issuing CA/ });
    peers.server.setRoles([
      caRole({ '/peerincoming': 'allow', '/peerpublish/writecrl': 'allow', '/ca/Issuing CA': 'allow' }),
    ]);
    assert.equal((await client.publishCrl(crl, 0)).verdict, 'stored');
  });

  it('tells the sender what is wrong, and keeps what stood', async () => {
    const { client } = await start();
    const { fingerprint } = await client.publishCrl(makeCrl({ issuer: CA, number: '5' }), 0);
    const cases: [Buffer, string][] = [
      [makeCrl({ issuer: CA, number: '4' }), 'ERR_CRL_TOO_OLD'],
      [makeCrl({ issuer: CA, number: '9', base: '8' }), 'ERR_CRL_BASE_MISSING'],
      [Buffer.from('not a CRL'), 'ERR_INVALID_CRL'],
      [Buffer.alloc(0), 'ERR_INVALID_CRL'],
    ];
    for (const [crl, code] of cases) await assert.rejects(client.publishCrl(crl, 0), { code });
    assert.equal((await opened.store.crls.find({ issuerDN: DN }))?.fingerprint, fingerprint);
  });

  it('has a name for an endpoint without store', async () => {
    peers = await startTwoPeers({ pki, endpoint: { spoolFolder } });
    await assert.rejects(peers.client.publishCrl(makeCrl({ issuer: CA }), 0), { code: 'ERR_STORE_UNAVAILABLE' });
  });

  it('refuses a body beyond 512 MB by its declared length, unread', async () => {
    await start();
    const answer = await exchangeRaw(peers, `Content-Length: ${513 * 1024 * 1024}\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 413 .*ERR_TOO_LARGE/s);
  });

  it('refuses the index of a partition that is no number', async () => {
    await start();
    const answer = await exchangeRaw(peers, 'CRL-Partition-Index: x\r\nContent-Length: 1\r\n\r\n0');
    assert.match(answer, /^HTTP\/1\.1 400 .*ERR_MALFORMED_MESSAGE/s);
  });

  it('leaves nothing behind when the sender goes away in the middle', async () => {
    const { client } = await start();
    const { fingerprint } = await client.publishCrl(makeCrl({ issuer: CA, number: '1' }), 0);
    const crl = makeCrl({ issuer: CA, number: '2', entries: manyEntries(30_000) });
    const socket = await openRaw(peers);
    socket.write(`${HEAD}Content-Length: ${crl.length}\r\n\r\n`);
    socket.write(crl.subarray(0, 500_000));
    await waitFor({ look: () => spooled().length === 1 || undefined, what: 'a spooled file', timeoutMs: 5_000 });
    socket.destroy();
    await waitFor({ look: () => spooled().length === 0 || undefined, what: 'its end', timeoutMs: 5_000 });
    assert.equal((await opened.store.crls.find({ issuerDN: DN }))?.fingerprint, fingerprint);
  });

  it('shows a sender that breaks off in its own stream an error, not a verdict', async () => {
    const { client } = await start();
    const open = () =>
      Readable.from(
        (function* () {
          yield Buffer.from('30820100', 'hex');
          throw new Error('the disk of the sender is gone');
        })(),
      );
    await assert.rejects(client.publishCrl({ open, bytes: 1_000 }, 0), /the disk of the sender|cannot be reached/);
  });

  it('has more time the larger it is, so that 5 MB pass at 256 kbit/s', async () => {
    const milliseconds = (5_000_000 * 8) / 256;
    assert.ok(longestReceipt(5_000_000) > milliseconds * 1.5);
    await start({ pool: { requestTimeoutMs: 200 } });
    const crl = makeCrl({ issuer: CA, entries: manyEntries(2_000) });
    const open = () =>
      Readable.from(
        (async function* () {
          yield crl.subarray(0, 50_000);
          await new Promise((resolve) => setTimeout(resolve, 600));
          yield crl.subarray(50_000);
        })(),
      );
    const sent = await sendCrl(peers.client, {
      body: { open, bytes: crl.length, contentLength: crl.length },
      crlPartitionIndex: 0,
    });
    assert.equal(sent.entries, 2_000);
  });

  describe('the spool', () => {
    /** A request as far as the spool looks at it: a stream with headers. */
    const requestOf = (stream: Readable) => Object.assign(stream, { headers: {} }) as never;

    it('gives up on a sender that stalls', async () => {
      const spool = new Spool(spoolFolder, new BodyBudget(1_000), 50);
      const stalled = new Readable({ read: () => undefined });
      await assert.rejects(
        spool.receive(requestOf(stalled), 1_000, async () => 1),
        { code: 'ERR_TOO_SLOW' },
      );
    });

    it('takes only so much at once, and as much again afterwards', async () => {
      const spool = new Spool(spoolFolder, new BodyBudget(100));
      const send = (bytes: number, max = 1_000) =>
        spool.receive(requestOf(Readable.from([Buffer.alloc(bytes)])), max, async () => bytes);
      await assert.rejects(send(101), { code: 'ERR_OVERLOADED' });
      await assert.rejects(send(50, 49), { code: 'ERR_TOO_LARGE' });
      assert.equal(await send(100), 100);
      assert.equal(await send(100), 100);
    });

    it('removes at the start what a crash left over, and nothing else', () => {
      const { pid } = spawnSync('true');
      const names = [`crl-${pid}-0a.part`, `crl-${process.ppid}-0b.part`, 'other.txt'];
      spooled();
      for (const name of names) writeFileSync(join(spoolFolder, name), '');
      openSpool(spoolFolder).removeLeftovers();
      assert.deepEqual(spooled().sort(), names.slice(1).sort());
      for (const name of names.slice(1)) spawnSync('rm', [join(spoolFolder, name)]);
    });

    it('names a folder that cannot be', async () => {
      const file = join(opened.folder, 'file');
      writeFileSync(file, '');
      const spool = new Spool(join(file, 'below'), new BodyBudget(100));
      await assert.rejects(
        spool.receive(requestOf(Readable.from([Buffer.alloc(1)])), 10, async () => 1),
        { code: 'ERR_STORE_UNAVAILABLE' },
      );
    });
  });

  const HEAD = `POST ${BASE_PATH}${OPERATIONS.publishCrl.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${CRL_TYPE}\r\n`;

  function openRaw({ server }: TwoPeers): Promise<TLSSocket> {
    const { certificatePem: cert, keyPem: key } = pki.caClient;
    return new Promise((resolve, reject) => {
      const options = { port: server.port, host: '127.0.0.1', servername: 'localhost', cert, key };
      const socket = connectTls({ ...options, ca: pki.managementCa.certificatePem }, () => resolve(socket));
      socket.once('error', reject);
    });
  }

  async function exchangeRaw(of: TwoPeers, rest: string): Promise<string> {
    const socket = await openRaw(of);
    socket.write(HEAD + rest);
    const [answer] = await Promise.race([
      new Promise<string[]>((resolve) => socket.once('data', (bytes) => resolve([bytes.toString()]))),
      new Promise<string[]>((_, reject) => setTimeout(() => reject(new Error('no answer')), 5_000).unref()),
    ]);
    socket.destroy();
    return answer ?? '';
  }
});
