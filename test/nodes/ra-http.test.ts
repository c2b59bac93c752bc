/**
 * http in → ra-request → http response at an RA, ra-listener → function → http response at a CA: two real Node-REDs.
 */
import assert from 'node:assert/strict';
import { type FlowNode, freePort, type NodeRed, startNodeRed } from '../helpers/node-red.ts';
import { authenticatorNode, connectorNode, endpointNode, flowNode, roleNode } from '../helpers/peer-flow.ts';
import { LISTENING_CA, RA_RULES } from '../helpers/ra-sides.ts';
import { createTestPki } from '../helpers/test-pki.ts';

const pki = createTestPki();
const rulesOf = (rules: Readonly<Record<string, string>>) =>
  Object.entries(rules).map(([path, state]) => ({ path, state }));

function raFlow(port: number): FlowNode[] {
  const http = { method: 'post', upload: false, swaggerDoc: '' };
  return [
    { id: 'tab', type: 'tab', label: 'RA' },
    authenticatorNode('va', pki.vaServer, pki.managementCa),
    roleNode('role', { rules: rulesOf(LISTENING_CA) }),
    endpointNode('endpoint', port, { store: '' }),
    flowNode('in', 'http in', ['ask'], { ...http, url: '/enrol' }),
    flowNode('ask', 'peer-ra-request', ['response'], {
      endpoint: 'endpoint',
      requestType: 'enrol',
      deadlineMs: 5_000,
      priority: 5,
      maxBytes: 100_000,
      repeatable: false,
    }),
    flowNode('catch', 'catch', ['failed'], { scope: null, uncaught: false }),
    flowNode('failed', 'function', ['response'], {
      func: 'msg.statusCode = 502; msg.payload = { code: msg.error.code }; return msg;',
      outputs: 1,
    }),
    flowNode('response', 'http response', [], { statusCode: '', headers: {} }),
  ];
}

const WORK = `
if (msg.req.query.fail) throw new Error('broken flow');
msg.statusCode = 201;
msg.headers = { 'content-type': 'application/pkcs10', 'x-type': msg.ra.type };
msg.cookies = { seen: { value: msg.req.headers['x-who'], path: '/', expires: new Date(Date.UTC(2040, 0, 1)) }, old: null };
if (msg.req.query.number) msg.payload = 42;
if (msg.req.query.json) { msg.payload = { got: msg.payload, path: msg.req.url }; delete msg.headers['content-type']; }
return msg.req.query.silent ? null : msg;`;

function caFlow(port: number): FlowNode[] {
  return [
    { id: 'tab', type: 'tab', label: 'CA' },
    authenticatorNode('ca', pki.caClient, pki.managementCa),
    roleNode('raRole', {
      members: [{ match: 'commonName', value: 'va-1', issuer: 'CN=Management CA,O=Test,C=SE' }],
      rules: rulesOf(RA_RULES),
    }),
    connectorNode('RA', `https://localhost:${port}`, { raEnabled: true, raMinimum: 2, raMaximum: 8, raRole: 'raRole' }),
    flowNode('listen', 'peer-ra-listener', [], { connector: 'RA', types: '', wires: [['work'], []] }),
    flowNode('work', 'function', ['response'], { func: WORK, outputs: 1 }),
    flowNode('response', 'http response', [], { statusCode: '', headers: {} }),
  ];
}

for (const version of [4, 5] as const) {
  describe(`RA over HTTP in Node-RED ${version}`, function () {
    this.timeout(60_000);
    let ra: NodeRed | undefined;
    let ca: NodeRed | undefined;

    before(async () => {
      const port = await freePort();
      [ra, ca] = await Promise.all([startNodeRed({ version }), startNodeRed({ version })]);
      await ra.deploy(raFlow(port));
      await ca.deploy(caFlow(port));
      await ca.waitFor(() => ca?.statuses.get('listen')?.find(({ fill }) => fill === 'green'), 'the listener');
    });

    after(() => Promise.all([ra?.stop(), ca?.stop()]));

    const post = (path: string, body: string | Uint8Array<ArrayBuffer>, type = 'text/plain') =>
      fetch(`${ra?.url}${path}`, {
        method: 'POST',
        headers: { 'content-type': type, 'x-who': 'me' },
        body,
        signal: AbortSignal.timeout(10_000),
      });

    it('gives status, headers, cookies and text of the CA to the HTTP client', async () => {
      const response = await post('/enrol', 'a csr');
      assert.equal(response.status, 201);
      assert.equal(response.headers.get('x-type'), 'enrol');
      assert.match(response.headers.get('content-type') ?? '', /^application\/pkcs10/);
      const cookies = response.headers.getSetCookie();
      assert.match(cookies[0] ?? '', /^seen=me; Path=\/; Expires=Sun, 01 Jan 2040 00:00:00 GMT$/);
      assert.match(cookies[1] ?? '', /^old=; .*Expires=Thu, 01 Jan 1970/);
      assert.equal(await response.text(), 'a csr');
    });

    it('gives a number as its digits', async () => {
      assert.equal(await (await post('/enrol?number=1', 'x')).text(), '42');
    });

    it('carries bytes as bytes', async () => {
      const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
      const response = await post('/enrol', bytes, 'application/octet-stream');
      assert.deepEqual(new Uint8Array(await response.arrayBuffer()), bytes);
    });

    it('carries JSON as JSON', async () => {
      const response = await post('/enrol?json=1', '{"csr":[1]}', 'application/json');
      assert.deepEqual(await response.json(), { got: { csr: [1] }, path: '/enrol?json=1' });
    });

    it('serves many at once', async () => {
      const texts = await Promise.all(
        Array.from({ length: 40 }, async (_, i) => (await post('/enrol', `${i}`)).text()),
      );
      assert.deepEqual(
        texts,
        Array.from({ length: 40 }, (_, i) => `${i}`),
      );
    });

    for (const [what, path, body, code] of [
      ['a flow of the CA that never answers', '/enrol?silent=1', 'x', 'ERR_RA_NO_ANSWER'],
      ['a flow of the CA that fails', '/enrol?fail=1', 'x', 'ERR_RA_NO_ANSWER'],
      ['a body that is too large', '/enrol', 'x'.repeat(100_001), 'ERR_TOO_LARGE'],
    ] as const) {
      it(`tells the HTTP client by name about ${what}`, async () => {
        const response = await post(path, body);
        assert.equal(response.status, 502);
        assert.deepEqual(await response.json(), { code });
      });
    }

    it('goes on after the CA was killed and started again', async () => {
      const port = await freePort();
      await ra?.deploy(raFlow(port));
      await ca?.kill9();
      ca = await startNodeRed({ version });
      await ca.deploy(caFlow(port));
      assert.equal(await (await post('/enrol', 'after')).text(), 'after');
    });
  });
}
