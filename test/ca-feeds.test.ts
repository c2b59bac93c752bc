/**
 * The example "11 Feed from a CA" with CAs as they are: a real `openssl ca`, the script for EJBCA started as EJBCA starts
 * it, files put into a folder. What they say has to be in the store of the VA.
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CERTIFICATE_STATUS } from '../lib/store/certificate-data.ts';
import { WorkerStore } from '../lib/store/worker-store.ts';
import { fingerprintOf } from '../lib/x509/certificate.ts';
import { readPem } from '../lib/x509/pem.ts';
import { demoPki, type PeerVariables } from './demo/demo-pki.ts';
import { makeCrl } from './helpers/crl-maker.ts';
import { readCrl } from './helpers/crl-store.ts';
import { readExample } from './helpers/examples.ts';
import { freePort, type NodeRed, PACKAGE_ROOT, startNodeRed } from './helpers/node-red.ts';
import { hasOpenssl, OpensslCa } from './helpers/openssl-ca.ts';
import { issue, issueRootCa } from './helpers/test-pki.ts';

const { active, revoked } = CERTIFICATE_STATUS;
const TIMEOUT_MS = 10_000;

describe('feeds of CAs', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ca-feeds-'));
  const ca = issueRootCa('CN=Feeding CA,O=Test,C=SE');
  let variables: PeerVariables;
  let nodeRed: NodeRed;
  let atVa: WorkerStore;

  before(async () => {
    const port = await freePort();
    const url = `https://localhost:${port}/ejbca/peer/v1`;
    variables = { ...demoPki(folder, 1), PEER_PORT: String(port), PEER_URL: url };
    if (hasOpenssl()) {
      rmSync(variables['PEER_OPENSSL_CA'] ?? '', { recursive: true });
      openssl().make('OpenSSL CA').issueCrl();
    }
    nodeRed = await startNodeRed({ env: variables });
    await nodeRed.deploy(['01 Let a CA come in to a VA.json', '11 Feed from a CA.json'].flatMap(readExample));
    atVa = new WorkerStore({ kind: 'sqlite', file: variables['PEER_STORE'] ?? '' });
    // The feeds have started once the CA of openssl, which is published at the start, is there.
    await nodeRed.waitForDebug('feed11crls', (rows: readonly unknown[]) => rows.length === 1);
  });

  after(async () => {
    await atVa?.close();
    await nodeRed?.stop();
    rmSync(folder, { recursive: true });
  });

  const openssl = (): OpensslCa => new OpensslCa(variables['PEER_OPENSSL_CA'] ?? '');
  const statusOf = async (der: Uint8Array) => {
    const row = await atVa.findByFingerprint(fingerprintOf(der));
    return row === undefined ? 'absent' : `${row.status} ${row.revocationReason}`;
  };
  const until = async (look: () => Promise<unknown>, wanted: unknown): Promise<void> => {
    const end = Date.now() + TIMEOUT_MS;
    let seen = await look();
    for (; seen !== wanted && Date.now() < end; seen = await look()) await delay(50);
    assert.equal(seen, wanted);
  };
  const crlOf = async (issuerDN: string): Promise<Buffer> => {
    const crl = await atVa.crls.find({ issuerDN });
    return crl === undefined ? Buffer.alloc(0) : readCrl(atVa, crl.fingerprint);
  };

  describe('openssl ca', () => {
    before(function () {
      if (hasOpenssl()) return;
      console.log('      skipped: no openssl');
      this.skip();
    });

    it('brings what it issues, revokes and signs to the VA', async () => {
      const directory = openssl();
      const derOf = (serial: string) => {
        const [der = Buffer.alloc(0)] = readPem(readFileSync(join(directory.newcerts, `${serial}.pem`), 'latin1'));
        return der;
      };
      const [first, second] = [derOf(directory.issue('first')), directory.issue('second')];
      await until(() => statusOf(derOf(second)), `${active} -1`);
      directory.revoke(second, '-crl_reason', 'superseded');
      await until(() => statusOf(derOf(second)), `${revoked} 4`);
      assert.equal(await statusOf(first), `${active} -1`);
      const [crl = Buffer.alloc(0)] = [directory.issueCrl()];
      const der = spawnSync('openssl', ['crl', '-outform', 'DER'], { input: crl, timeout: TIMEOUT_MS }).stdout;
      await until(async () => der.equals(await crlOf('CN=OpenSSL CA')), true);
      const stored = await atVa.crls.find({ issuerDN: 'CN=OpenSSL CA' });
      assert.equal(stored?.entries, 1);
      assert.notEqual(stored?.cAFingerprint, null, 'checked against the certificate of the CA');
    });
  });

  describe('a folder of files', () => {
    it('brings certificates and CRLs to the VA, whole files only', async () => {
      const target = variables['PEER_FEED_FOLDER'] ?? '';
      const user = issue(ca, { subjectDN: 'CN=user of files' });
      const crl = makeCrl({ issuer: ca, number: '4' });
      writeFileSync(join(target, 'ca.pem'), ca.certificatePem);
      writeFileSync(join(target, 'user.der'), user.certificate);
      writeFileSync(join(target, 'x.part'), crl);
      renameSync(join(target, 'x.part'), join(target, 'x.crl'));
      await until(() => statusOf(user.certificate), `${active} -1`);
      await until(async () => crl.equals(await crlOf('CN=Feeding CA,O=Test,C=SE')), true);
    });
  });

  describe('the script for EJBCA', () => {
    const scripts = join(folder, 'scripts');
    const SUBJECT = 'CN=user,O="With, comma; and $(touch x)",C=SE';

    before(function () {
      if (spawnSync('curl', ['--version'], { timeout: TIMEOUT_MS }).status !== 0) {
        console.log('      skipped: no curl');
        this.skip();
      }
      spawnSync('mkdir', ['-p', scripts]);
      const script = join(scripts, 'ejbca-publisher.sh');
      copyFileSync(join(PACKAGE_ROOT, 'examples', 'ejbca-publisher.sh'), script);
      chmodSync(script, 0o755);
      for (const kind of ['certificate', 'revocation', 'crl', 'other'])
        symlinkSync('ejbca-publisher.sh', join(scripts, `publish-${kind}`));
      configure(variables['PEER_FEED_TOKEN'] ?? '');
    });

    const configure = (token: string): void =>
      writeFileSync(join(scripts, 'ejbca-publisher.conf'), `FEED_URL=${nodeRed.url}/ca-feed\nFEED_TOKEN=${token}\n`);
    /** As EJBCA starts it: the path of a temporary file first, no shell, an outcome by exit code and standard error. */
    const start = (kind: string, body: Uint8Array, ...more: readonly string[]) => {
      const file = join(folder, 'GeneralPurposeCustomPublisher.tmp');
      writeFileSync(file, body);
      return new Promise<{ readonly code: unknown; readonly stderr: string }>((resolve) => {
        execFile(join(scripts, `publish-${kind}`), [file, ...more], { timeout: TIMEOUT_MS }, (error, _stdout, stderr) =>
          resolve({ code: error === null ? 0 : error.code, stderr }),
        );
      });
    };
    const success = { code: 0, stderr: '' };

    it('publishes a certificate, its hold, the end of it, and its revocation', async () => {
      const { certificate } = issue(ca, { subjectDN: 'CN=user of EJBCA' });
      const names = [SUBJECT, 'CN=Feeding CA,O=Test,C=SE', '4d3c2b1a'] as const;
      for (const [kind, argument, status] of [
        ['certificate', '1', `${active} -1`],
        ['revocation', '6', `${revoked} 6`],
        ['certificate', '1', `${active} -1`],
        ['revocation', '1', `${revoked} 1`],
      ] as const) {
        assert.deepEqual(await start(kind, certificate, argument, ...names), success);
        // The program ends when the VA has it.
        assert.equal(await statusOf(certificate), status);
        await delay(5);
      }
    });

    it('publishes a CRL, with or without the flag for delta CRLs', async () => {
      const crl = makeCrl({ issuer: ca, number: '11' });
      assert.deepEqual(await start('crl', crl), success);
      assert.ok(crl.equals(await crlOf('CN=Feeding CA,O=Test,C=SE')));
      assert.deepEqual(await start('crl', makeCrl({ issuer: ca, number: '12', base: '11' }), 'true'), success);
      const delta = await atVa.crls.find({ issuerDN: 'CN=Feeding CA,O=Test,C=SE', isDelta: true });
      assert.equal(delta?.cRLNumber, '12');
    });

    it('fails, with a cause, for what is no certificate or CRL, so that EJBCA keeps it', async () => {
      const names = [SUBJECT, 'CN=Feeding CA,O=Test,C=SE', '1'];
      for (const { code, stderr } of [
        await start('certificate', Buffer.from('0 no certificate'), '1', ...names),
        await start('crl', Buffer.from('0 no CRL')),
        await start('crl', makeCrl({ issuer: ca, number: '2' })),
        await start('revocation', ca.certificate, '99', ...names),
      ]) {
        assert.equal(code, 22);
        assert.match(stderr, /502/);
      }
    });

    it('fails without the arguments of EJBCA, and under a name that says nothing', async () => {
      assert.match((await start('revocation', ca.certificate)).stderr, /reason "" is not a number/);
      assert.match((await start('revocation', ca.certificate, '1&x=2')).stderr, /is not a number/);
      assert.match((await start('other', ca.certificate)).stderr, /name of this program/);
    });

    it('fails with another token, and while the flow is away', async () => {
      configure('x'.repeat(32));
      assert.match((await start('crl', Buffer.from('x'))).stderr, /401/);
      writeFileSync(join(scripts, 'ejbca-publisher.conf'), 'FEED_URL=http://localhost:1/ca-feed\nFEED_TOKEN=x\n');
      assert.equal((await start('crl', Buffer.from('x'))).code, 7);
      rmSync(join(scripts, 'ejbca-publisher.conf'));
      assert.match((await start('crl', Buffer.from('x'))).stderr, /cannot read .*conf/);
    });
  });
});
