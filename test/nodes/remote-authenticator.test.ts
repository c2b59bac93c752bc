import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FlowNode, type NodeRed, startNodeRed } from '../helpers/node-red.ts';
import { authenticatorNode, connectorNode, flowNode } from '../helpers/peer-flow.ts';
import { type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import {
  createTestPki,
  daysFromNow,
  issue,
  issueRootCa,
  KEY_MAKERS,
  writePemFiles,
  writePkcs12,
} from '../helpers/test-pki.ts';
import { startTwoPeers, type TwoPeers } from '../helpers/two-peers.ts';

const PASSPHRASE = 'correct horse battery staple';

describe('remote-authenticator node', () => {
  const pki = createTestPki(KEY_MAKERS.rsa);
  const folder = mkdtempSync(join(tmpdir(), 'authenticator-'));
  const rsaClient = issue(
    pki.managementCa,
    { subjectDN: 'CN=ca-1,O=Test,C=SE', extendedKeyUsage: ['clientAuth'], notAfter: daysFromNow(5) },
    KEY_MAKERS.rsa,
  );
  const pkcs12File = writePkcs12(folder, 'ca', rsaClient, { passphrase: PASSPHRASE, ca: pki.managementCa });
  const { certificateFile, keyFile } = writePemFiles(folder, 'ca', pki.caClient);
  const trustedFile = writePemFiles(folder, 'management-ca', pki.managementCa).certificateFile;
  const encryptedKey = rsaClient.privateKey.export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: PASSPHRASE,
  }) as string;
  const inFolder = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  let va: TwoPeers;
  let flow: RuntimeFlow | undefined;

  before(async () => {
    va = await startTwoPeers({ pki });
    process.env['TEST_CERTIFICATE'] = pki.caClient.certificatePem;
    process.env['TEST_KEY'] = pki.caClient.keyPem;
  });

  afterEach(async () => {
    await flow?.close();
    flow = undefined;
  });

  after(async () => {
    await va.close();
    rmSync(folder, { recursive: true });
    delete process.env['TEST_CERTIFICATE'];
    delete process.env['TEST_KEY'];
  });

  const start = async (fields: object, others: readonly FlowNode[] = []): Promise<RuntimeFlow> => {
    flow = await runFlow([
      ...others,
      { ...authenticatorNode('ca', pki.caClient, pki.managementCa), ...fields },
      connectorNode('VA', va.url.href),
      flowNode('ping', 'peer-ping', ['out'], { connector: 'VA' }),
    ]);
    return flow;
  };

  const refusalOf = async (fields: object, others: readonly FlowNode[] = []) => {
    const { error } = await (await start(fields, others)).send('ping', {});
    assert.ok(error, 'the ping was answered');
    assert.doesNotMatch(JSON.stringify(error), /battery staple|PRIVATE KEY/);
    return error;
  };

  const trustFile = [{ source: 'file', value: trustedFile, serialNumber: '' }];
  const tlsConfig = (fields: object = {}): FlowNode => ({
    id: 'tls',
    type: 'tls-config',
    name: 'core TLS',
    certType: 'files',
    cert: certificateFile,
    key: keyFile,
    ca: trustedFile,
    certname: '',
    keyname: '',
    caname: '',
    servername: '',
    verifyservercert: true,
    alpnprotocol: '',
    ...fields,
  });

  describe('gives an identity', () => {
    const sources: Record<string, object> = {
      'from a PKCS#12 file': { source: 'pkcs12-file', pkcs12File, credentials: { passphrase: PASSPHRASE } },
      'from PEM files': { source: 'pem-files', certificateFile, keyFile, credentials: {} },
      'from variables of the environment': {
        source: 'environment',
        certificateEnv: 'TEST_CERTIFICATE',
        keyEnv: 'TEST_KEY',
        credentials: {},
      },
      'pasted into the dialog': {},
      'pasted, with an encrypted key': {
        credentials: { certificate: rsaClient.certificatePem, key: encryptedKey, passphrase: PASSPHRASE },
      },
      'with the trusted CA in a file': { trust: trustFile },
      'with the CA of the PKCS#12 file where nothing is listed': {
        source: 'pkcs12-file',
        pkcs12File,
        trust: [],
        credentials: { passphrase: PASSPHRASE },
      },
    };
    for (const [name, fields] of Object.entries(sources)) {
      it(name, async () => {
        const { message, error } = await (await start(fields)).send('ping', {});
        assert.ok(message, error?.message);
      });
    }

    it('from the core tls-config node, with what it trusts', async () => {
      const { send } = await start({ source: 'tls-config', tls: 'tls', trust: [], credentials: {} }, [tlsConfig()]);
      const { message, error } = await send('ping', {});
      assert.ok(message, error?.message);
    });

    it('with a passphrase that comes from the environment', async () => {
      process.env['TEST_PASSPHRASE'] = PASSPHRASE;
      const credentials = { passphrase: '$' + '{TEST_PASSPHRASE}' };
      const { message, error } = await (await start({ source: 'pkcs12-file', pkcs12File, credentials })).send(
        'ping',
        {},
      );
      delete process.env['TEST_PASSPHRASE'];
      assert.ok(message, error?.message);
    });
  });

  describe('refuses', () => {
    const identities: Record<string, { readonly fields: object; readonly code: string }> = {
      'a PKCS#12 file with a wrong passphrase': {
        fields: { source: 'pkcs12-file', pkcs12File, credentials: { passphrase: 'wrong' } },
        code: 'ERR_WRONG_PASSPHRASE',
      },
      'a PKCS#12 file without its passphrase': {
        fields: { source: 'pkcs12-file', pkcs12File, credentials: {} },
        code: 'ERR_WRONG_PASSPHRASE',
      },
      'a PKCS#12 file that is not there': {
        fields: { source: 'pkcs12-file', pkcs12File: join(folder, 'none.p12'), credentials: {} },
        code: 'ERR_IDENTITY_UNREADABLE',
      },
      'a PKCS#12 file that is none': {
        fields: { source: 'pkcs12-file', pkcs12File: certificateFile, credentials: {} },
        code: 'ERR_IDENTITY_UNREADABLE',
      },
      'a key file that is not there': {
        fields: { source: 'pem-files', certificateFile, keyFile: join(folder, 'none.key'), credentials: {} },
        code: 'ERR_IDENTITY_UNREADABLE',
      },
      'a key file that is a folder': {
        fields: { source: 'pem-files', certificateFile, keyFile: folder, credentials: {} },
        code: 'ERR_IDENTITY_UNREADABLE',
      },
      'a key that is garbage': {
        fields: { source: 'pem-files', certificateFile, keyFile: inFolder('garbage', 'garbage'), credentials: {} },
        code: 'ERR_IDENTITY_UNREADABLE',
      },
      'an encrypted key with a wrong passphrase': {
        fields: { credentials: { certificate: rsaClient.certificatePem, key: encryptedKey, passphrase: 'wrong' } },
        code: 'ERR_WRONG_PASSPHRASE',
      },
      'a key that belongs to another certificate': {
        fields: { credentials: { certificate: rsaClient.certificatePem, key: pki.caClient.keyPem } },
        code: 'ERR_IDENTITY_UNREADABLE',
      },
      'a certificate that is garbage': {
        fields: { credentials: { certificate: 'garbage', key: pki.caClient.keyPem } },
        code: 'ERR_INVALID_CERTIFICATE',
      },
      'nothing pasted': { fields: { credentials: {} }, code: 'ERR_IDENTITY_UNREADABLE' },
      'a variable that is not set': {
        fields: { source: 'environment', certificateEnv: 'TEST_NOT_SET', keyEnv: 'TEST_KEY', credentials: {} },
        code: 'ERR_IDENTITY_UNREADABLE',
      },
      'a source that does not exist': { fields: { source: 'smartcard' }, code: 'ERR_INVALID_CONFIG' },
      'a tls-config that is not set': {
        fields: { source: 'tls-config', tls: '', credentials: {} },
        code: 'ERR_INVALID_CONFIG',
      },
      'an empty trust list': { fields: { trust: [] }, code: 'ERR_INVALID_CONFIG' },
      'a trusted CA file that is not there': {
        fields: { trust: [{ source: 'file', value: join(folder, 'none.crt'), serialNumber: '' }] },
        code: 'ERR_IDENTITY_UNREADABLE',
      },
      'a trusted CA that is garbage': {
        fields: { trust: [{ source: 'pasted', value: 'garbage', serialNumber: '' }] },
        code: 'ERR_INVALID_CERTIFICATE',
      },
      'a serial number that is none': {
        fields: { trust: [{ source: 'file', value: trustedFile, serialNumber: 'seven' }] },
        code: 'ERR_INVALID_CONFIG',
      },
      'a peer that is not the one the trust list names': {
        fields: { trust: [{ source: 'file', value: trustedFile, serialNumber: '12345' }] },
        code: 'ERR_PEER_NOT_TRUSTED',
      },
      'a peer below a CA that is not listed': {
        fields: { trust: [{ source: 'pasted', value: issueRootCa('CN=Other').certificatePem, serialNumber: '' }] },
        code: 'ERR_PEER_NOT_TRUSTED',
      },
    };
    for (const [name, { fields, code }] of Object.entries(identities)) {
      it(`${name}: ${code}`, async () => {
        assert.equal((await refusalOf(fields)).code, code);
      });
    }

    it('a tls-config whose files are missing', async () => {
      const tls = tlsConfig({ key: join(folder, 'none.key') });
      const { code } = await refusalOf({ source: 'tls-config', tls: 'tls', credentials: {} }, [tls]);
      assert.equal(code, 'ERR_IDENTITY_UNREADABLE');
    });
  });

  it('reads its files again when they have been put right', async () => {
    const late = join(folder, 'late.key');
    const running = await start({ source: 'pem-files', certificateFile, keyFile: late, credentials: {} });
    assert.equal((await running.send('ping', {})).error?.code, 'ERR_IDENTITY_UNREADABLE');
    writeFileSync(late, pki.caClient.keyPem, { mode: 0o600 });
    assert.ok((await running.send('ping', {})).message);
  });

  describe('in a Node-RED of its own', () => {
    let nodeRed: NodeRed;

    before(async () => {
      nodeRed = await startNodeRed();
    });

    after(() => nodeRed.stop());

    it('never hands out passphrase, certificate or key again, and writes none to the log', async () => {
      const node = authenticatorNode('ca', rsaClient, pki.managementCa, {
        credentials: { certificate: rsaClient.certificatePem, key: rsaClient.keyPem, passphrase: PASSPHRASE },
      });
      await nodeRed.deploy([{ id: 'tab', type: 'tab', label: 'test' }, node]);
      const credentials = await nodeRed.admin('GET', '/credentials/peer-remote-authenticator/ca');
      assert.deepEqual(credentials, { has_passphrase: true, has_certificate: true, has_key: true });
      const flows = JSON.stringify(await nodeRed.admin('GET', '/flows'));
      assert.match(flows, /peer-remote-authenticator/);
      for (const text of [flows, nodeRed.log.join('\n')]) assert.doesNotMatch(text, /PRIVATE KEY|battery staple/);
    });
  });
});
