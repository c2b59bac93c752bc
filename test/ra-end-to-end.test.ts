/**
 * A working PKI in three Node-REDs: an RA that takes requests from the web, a CA that nobody can reach, and a VA that
 * answers OCSP with a signer that the CA has given its certificate.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { REQUEST_LABEL } from '../lib/x509/certificate-request.ts';
import { toPem } from '../lib/x509/pem.ts';
import { type FlowNode, freePort, type NodeRed, startNodeRed } from './helpers/node-red.ts';
import {
  authenticatorNode,
  authorityNode,
  connectorNode,
  endpointNode,
  flowNode,
  keyBindingNode,
  roleNode,
  storeNode,
} from './helpers/peer-flow.ts';
import { createTestPki, issue, issueRootCa, KEY_MAKERS, requestFor, writePemFiles } from './helpers/test-pki.ts';

const ISSUER = 'CN=Management CA,O=Test,C=SE';
const hasOpenssl = spawnSync('openssl', ['version']).error === undefined;
const allow = (...paths: readonly string[]) => paths.map((path) => ({ path, state: 'allow' }));

describe(`RA, CA and VA in three Node-REDs${hasOpenssl ? '' : ' (skipped: no openssl)'}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'three-'));
  const pki = createTestPki();
  const issuingCa = issueRootCa('CN=Issuing CA,O=Test,C=SE');
  const caFile = join(folder, 'issuing-ca.pem');
  const ports = { va: 0, ra: 0, ocsp: 0 };
  const runtimes: NodeRed[] = [];
  let ra: NodeRed;
  let ca: NodeRed;

  before(async function () {
    this.timeout(90_000);
    if (!hasOpenssl) return this.skip();
    writeFileSync(caFile, issuingCa.certificatePem);
    for (const name of ['va', 'ra', 'ocsp'] as const) ports[name] = await freePort();
    const start = async (version: 4 | 5, flow: readonly FlowNode[]): Promise<NodeRed> => {
      const nodeRed = await startNodeRed({ version });
      runtimes.push(nodeRed);
      await nodeRed.deploy([{ id: 'tab', type: 'tab', label: 'tab' }, ...flow]);
      return nodeRed;
    };
    await start(5, vaFlow());
    ra = await start(4, raFlow());
    ca = await start(5, caFlow());
  });

  after(async () => {
    for (const nodeRed of runtimes) await nodeRed.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function vaFlow(): FlowNode[] {
    const rules = allow('/peerincoming', '/peerpublish/writecert', '/ca', '/internalkeybinding', '/cryptotoken');
    return [
      authenticatorNode('va', pki.vaServer, pki.managementCa),
      storeNode('store', join(folder, 'va.sqlite')),
      keyBindingNode('signer', join(folder, 'signer.p12'), issuingCa, { name: 'OCSP signer', store: 'store' }),
      roleNode('role', { rules }),
      endpointNode('endpoint', ports.va, { keyBindings: ['signer'] }),
      flowNode('public', 'peer-validation-authority', [], {
        store: 'store',
        port: ports.ocsp,
        host: '127.0.0.1',
        crls: false,
        certificates: false,
        keyBindings: ['signer'],
      }),
    ];
  }

  function raFlow(): FlowNode[] {
    const http = { upload: false, swaggerDoc: '' };
    const ask = (type: string): FlowNode =>
      flowNode(type, 'peer-ra-request', ['response'], {
        endpoint: 'endpoint',
        requestType: type,
        deadlineMs: 10_000,
        priority: 5,
        maxBytes: 100_000,
        repeatable: false,
      });
    const tell = 'msg.statusCode = 502; msg.payload = { code: msg.error.code }; return msg;';
    return [
      authenticatorNode('va', pki.vaServer, pki.managementCa),
      roleNode('role', { rules: allow('/peerincoming', '/ra_slave/manage') }),
      endpointNode('endpoint', ports.ra, { store: '' }),
      flowNode('enrolIn', 'http in', ['enrol'], { ...http, method: 'post', url: '/enrol' }),
      flowNode('revokeIn', 'http in', ['revoke'], { ...http, method: 'post', url: '/revoke' }),
      flowNode('auditIn', 'http in', ['audit'], { ...http, method: 'post', url: '/audit' }),
      ...['enrol', 'revoke', 'audit'].map(ask),
      flowNode('catch', 'catch', ['failed'], { scope: null, uncaught: false }),
      flowNode('failed', 'function', ['response'], { func: tell, outputs: 1 }),
      flowNode('response', 'http response', [], { statusCode: '', headers: {} }),
    ];
  }

  function caFlow(): FlowNode[] {
    const { certificateFile, keyFile } = writePemFiles(folder, 'issuing', issuingCa);
    const publish = {
      connectors: ['VA'],
      groups: '',
      mode: 'direct',
      store: '',
      withCertificate: true,
      onlyRevoked: false,
      outOfSyncMinutes: 60,
      statusPath: '',
    };
    const leaf =
      'msg.certificate = msg.payload.split(/(?=-----BEGIN )/)[0]; msg.payload = msg.certificate; return msg;';
    const revocation =
      'msg.payload = { certificate: msg.payload.certificate, status: "revoked", revocationReason: msg.payload.reason }; return msg;';
    return [
      authenticatorNode('ca', pki.caClient, pki.managementCa),
      authorityNode('issuing', { kind: 'pem-files', certificateFile, keyFile }),
      roleNode('raRole', {
        members: [{ match: 'commonName', value: 'va-1', issuer: ISSUER }],
        rules: allow(
          '/ra_master/invoke_api',
          '/ra_functionality/create_end_entity',
          '/ra_functionality/revoke_end_entity',
          '/ca_functionality',
          '/ca/Issuing CA',
        ),
      }),
      connectorNode('VA', `https://localhost:${ports.va}`),
      connectorNode('RA', `https://localhost:${ports.ra}`, {
        raEnabled: true,
        raMinimum: 1,
        raMaximum: 4,
        raRole: 'raRole',
      }),
      flowNode('renewNow', 'inject', ['renew'], {
        props: [],
        repeat: '',
        crontab: '',
        once: false,
        onceDelay: 0,
        topic: '',
      }),
      flowNode('renew', 'peer-renew-keybinding', [], {
        connector: 'VA',
        authority: 'issuing',
        bindings: '',
        expiresWithin: 24,
        newKeyPair: true,
        wires: [['renewed'], []],
      }),
      flowNode('renewed', 'debug', [], { active: true, tosidebar: true, complete: 'payload', targetType: 'msg' }),
      flowNode('listen', 'peer-ra-listener', [], {
        connector: 'RA',
        types: '',
        authority: 'issuing',
        wires: [['type'], []],
      }),
      flowNode('type', 'switch', [], {
        property: 'topic',
        propertyType: 'msg',
        rules: [{ t: 'eq', v: 'enrol', vt: 'str' }, { t: 'else' }],
        checkall: 'true',
        repair: false,
        outputs: 2,
        wires: [['leaf'], ['revocation']],
      }),
      flowNode('leaf', 'function', ['publish'], { func: leaf, outputs: 1 }),
      flowNode('publish', 'peer-publish-cert', [], { ...publish, wires: [['issued'], []] }),
      flowNode('issued', 'function', ['reply'], { func: 'msg.payload = msg.certificate; return msg;', outputs: 1 }),
      flowNode('revocation', 'function', ['publishRevocation'], { func: revocation, outputs: 1 }),
      flowNode('publishRevocation', 'peer-publish-cert', [], { ...publish, wires: [['revoked'], []] }),
      flowNode('revoked', 'function', ['reply'], { func: 'msg.payload = "revoked"; return msg;', outputs: 1 }),
      flowNode('reply', 'http response', [], { statusCode: '', headers: {} }),
    ];
  }

  const ocsp = (pem: string): string => {
    const file = join(folder, 'subject.pem');
    writeFileSync(file, pem);
    const parameters = ['ocsp', '-issuer', caFile, '-cert', file, '-CAfile', caFile];
    const { stdout, stderr } = spawnSync('openssl', [...parameters, '-url', `http://127.0.0.1:${ports.ocsp}/ocsp`]);
    return `${stdout}${stderr}`;
  };
  const post = async (path: string, body: string | object): Promise<{ status: number; text: string }> => {
    const isText = typeof body === 'string';
    const response = await fetch(`${ra.url}/${path}`, {
      method: 'POST',
      body: isText ? body : JSON.stringify(body),
      headers: { 'content-type': isText ? 'text/plain' : 'application/json' },
      signal: AbortSignal.timeout(15_000),
    });
    return { status: response.status, text: await response.text() };
  };
  let certificate = '';

  it('gives the signer of the VA its certificate', async () => {
    await ca.waitFor(
      () => ca.statuses.get('listen')?.find(({ text }) => /idle/.test(String(text))),
      'the CA to listen',
    );
    await ca.inject('renewNow');
    const { value } = await ca.waitForDebug('renewed', (payload: unknown) => Array.isArray(payload));
    assert.equal((value as readonly Record<string, unknown>[])[0]?.['outcome'], 'renewed');
  });

  it('enrols at the RA: the certificate comes back, and the VA calls it good', async () => {
    const key = KEY_MAKERS.ec();
    const csr = toPem(requestFor('CN=somebody,O=Test,C=SE', key), REQUEST_LABEL);
    const { status, text } = await post('enrol', csr);
    assert.equal(status, 200, text);
    certificate = text;
    const issued = join(folder, 'issued.pem');
    writeFileSync(issued, text);
    assert.match(execFileSync('openssl', ['verify', '-CAfile', caFile, issued]).toString(), /: OK/);
    assert.match(ocsp(certificate), /: good[\s\S]*Response verify OK/);
  });

  it('revokes at the RA: the next OCSP answer says so, with the reason', async () => {
    assert.deepEqual(await post('revoke', { certificate, reason: 'keyCompromise' }), { status: 200, text: 'revoked' });
    assert.match(ocsp(certificate), /: revoked[\s\S]*keyCompromise[\s\S]*Response verify OK/);
  });

  it('has a request refused by name that the role of the RA does not allow', async () => {
    const { status, text } = await post('audit', 'everything');
    assert.deepEqual([status, JSON.parse(text)], [502, { code: 'ERR_NOT_AUTHORIZED' }]);
  });

  it('has a request refused by name whose proof of possession is wrong', async () => {
    const request = requestFor('CN=nobody', KEY_MAKERS.ec());
    request[request.length - 1] = (request.at(-1) ?? 0) ^ 1;
    const { status, text } = await post('enrol', toPem(request, REQUEST_LABEL));
    assert.deepEqual([status, JSON.parse(text)], [502, { code: 'ERR_INVALID_CERTIFICATE' }]);
  });

  it('knows nothing of a certificate that nobody has published, and speaks for no other CA', () => {
    assert.match(ocsp(issue(issuingCa, { subjectDN: 'CN=unpublished' }).certificatePem), /: unknown/);
    assert.match(ocsp(issue('self', { subjectDN: 'CN=stranger' }).certificatePem), /unauthorized/);
  });
});
