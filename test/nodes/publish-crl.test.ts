import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BASE_PATH } from '../../lib/protocol/operations.ts';
import { makeCrl } from '../helpers/crl-maker.ts';
import { freePort } from '../helpers/node-red.ts';
import { authenticatorNode, connectorNode, endpointNode, flowNode, roleNode, storeNode } from '../helpers/peer-flow.ts';
import { type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { createTestPki, issueRootCa } from '../helpers/test-pki.ts';
import { waitFor } from '../helpers/wait-for.ts';

const PKI = createTestPki();
const CA = issueRootCa('CN=Issuing CA,O=Test,C=SE');

describe('publish-crl and validation-authority', () => {
  const folder = mkdtempSync(join(tmpdir(), 'publish-crl-'));
  let flow: RuntimeFlow;
  let publicPort: number;

  before(async () => {
    const port = await freePort();
    publicPort = await freePort();
    const rules = ['/peerincoming', '/peerpublish', '/ca'].map((path) => ({ path, state: 'allow' }));
    const va = { store: 'store', port: publicPort, host: '127.0.0.1', crls: true, certificates: true };
    flow = await runFlow([
      authenticatorNode('va', PKI.vaServer, PKI.managementCa),
      storeNode('store', join(folder, 'va.sqlite')),
      roleNode('role', { rules }),
      endpointNode('endpoint', port),
      authenticatorNode('ca', PKI.caClient, PKI.managementCa),
      connectorNode('connector', `https://localhost:${port}${BASE_PATH}`),
      connectorNode('nowhere', 'https://localhost:1/', { connectTimeoutMs: 500 }),
      flowNode('publish', 'peer-publish-crl', ['out'], { connectors: ['connector'] }),
      storeNode('own', join(folder, 'ca.sqlite')),
      flowNode('safe', 'peer-publish-crl', ['out'], { connectors: ['connector'], mode: 'safe', store: 'own' }),
      flowNode('queue', 'peer-publish-crl', ['out'], { connectors: ['nowhere'], mode: 'queue', store: 'own' }),
      flowNode('storeless', 'peer-publish-crl', ['out'], { connectors: ['connector'], mode: 'safe' }),
      flowNode('certificates', 'peer-publish-cert', ['out'], { connectors: ['connector'] }),
      flowNode('public', 'peer-validation-authority', ['out'], va),
      flowNode('taken', 'peer-validation-authority', [], va),
      flowNode('nothing', 'peer-validation-authority', [], { ...va, port: 0, crls: false, certificates: false }),
    ]);
    await waitFor({ look: () => isListening(port), what: 'the endpoint', timeoutMs: 8_000 });
    await flow.send('certificates', { payload: CA.certificatePem });
  });

  after(async () => {
    await flow?.close();
    rmSync(folder, { recursive: true });
  });

  const isListening = (port: number): true | undefined =>
    (flow.node('endpoint') as unknown as { port(): number | undefined }).port() === port ? true : undefined;
  const fetchCrl = (query = 'name=Issuing%20CA') =>
    fetch(`http://127.0.0.1:${publicPort}/crls/search.cgi?${query}`, { signal: AbortSignal.timeout(5_000) });

  it('bring a CRL from a flow to the public', async () => {
    const crl = makeCrl({ issuer: CA, number: '10' });
    const { message, error } = await flow.send('publish', { payload: crl });
    assert.equal(error, undefined);
    assert.deepEqual(message?.['publish'], {
      stored: 1,
      unchanged: 0,
      queued: 0,
      refused: 0,
      failed: 0,
      rows: message?.['payload'],
    });
    const [row] = (message?.['payload'] ?? []) as Record<string, unknown>[];
    assert.deepEqual(
      [row?.['peer'], row?.['issuerDN'], row?.['cRLNumber'], row?.['isDelta'], row?.['verdict'], row?.['code']],
      ['the connector', 'CN=Issuing CA,O=Test,C=SE', '10', false, 'stored', ''],
    );
    assert.ok(crl.equals(Buffer.from(await (await fetchCrl()).arrayBuffer())));
  });

  it('take a file by its name, and a delta CRL of a partition', async () => {
    const file = join(folder, 'x.crl');
    const distributionPoint = ['http://va/?partition=2'];
    writeFileSync(file, makeCrl({ issuer: CA, number: '1', distributionPoint }));
    const delta = makeCrl({ issuer: CA, number: '2', base: '1', distributionPoint });
    for (const payload of [
      { file, crlPartitionIndex: 2 },
      { crl: delta, crlPartitionIndex: 2 },
    ]) {
      const { message } = await flow.send('publish', { payload });
      assert.equal((message?.['publish'] as { stored: number } | undefined)?.stored, 1);
    }
    assert.ok(delta.equals(Buffer.from(await (await fetchCrl('name=Issuing%20CA&partition=2&delta=')).arrayBuffer())));
  });

  it('give a Catch node the cause when no peer has taken it', async () => {
    const old = makeCrl({ issuer: CA, number: '9' });
    const { error, caught } = await flow.send('publish', { payload: old });
    assert.equal(error?.code, 'ERR_CRL_TOO_OLD');
    assert.equal((caught?.['publish'] as { refused: number } | undefined)?.refused, 1);
    for (const [payload, code] of [
      ['text', 'ERR_INVALID_CRL'],
      [{}, 'ERR_INVALID_INPUT'],
      [undefined, 'ERR_INVALID_INPUT'],
    ] as const)
      assert.equal((await flow.send('publish', { payload })).error?.code, code);
    assert.equal((await flow.send('publish', { payload: old, connector: 'none' })).error?.code, 'ERR_PEER_UNKNOWN');
  });

  it('say of each peer what became of it there', async () => {
    const connector = ['the connector', 'the nowhere'];
    const { message } = await flow.send('publish', { payload: makeCrl({ issuer: CA, number: '11' }), connector });
    const rows = message?.['payload'] as Record<string, unknown>[];
    assert.deepEqual(
      rows.map(({ verdict, code }) => [verdict, code]),
      [
        ['stored', ''],
        ['failed', 'ERR_PEER_UNREACHABLE'],
      ],
    );
    assert.equal(rows[1]?.['cRLNumber'], '11');
  });

  it('publish by way of the queue', async () => {
    const { message } = await flow.send('safe', { payload: makeCrl({ issuer: CA, number: '12' }) });
    assert.equal((message?.['publish'] as { stored: number } | undefined)?.stored, 1);
    const away = await flow.send('queue', { payload: makeCrl({ issuer: CA, number: '13' }) });
    assert.equal((away.message?.['publish'] as { queued: number } | undefined)?.queued, 1);
    const { error } = await flow.send('safe', { payload: makeCrl({ issuer: CA, number: '11' }) });
    assert.equal(error?.code, 'ERR_CRL_TOO_OLD');
  });

  it('refuse a queue without a store, and a command without a queue', async () => {
    const { error } = await flow.send('storeless', { payload: makeCrl({ issuer: CA, number: '20' }) });
    assert.equal(error?.code, 'ERR_INVALID_CONFIG');
    assert.equal((await flow.send('publish', { queue: 'status' })).error?.code, 'ERR_INVALID_CONFIG');
  });

  it('count the answers', async () => {
    assert.equal((await fetchCrl('name=nobody')).status, 404);
    const { message } = await flow.send('public', { payload: '' });
    const counts = message?.['payload'] as Record<string, number>;
    assert.ok((counts['found'] ?? 0) >= 1);
    assert.ok((counts['notFound'] ?? 0) >= 1);
    assert.equal(counts['failed'], 0);
  });

  it('name a port that is taken, and that nothing is to be served', () => {
    const causes = flow.errors.map((message) => message['error'] as { message: string; source: { id: string } });
    assert.match(causes.find(({ source }) => source.id === 'taken')?.message ?? '', /cannot be listened on/);
    assert.match(causes.find(({ source }) => source.id === 'nothing')?.message ?? '', /serves nothing/);
  });
});
