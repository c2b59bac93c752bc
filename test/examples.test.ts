/**
 * Every example, deployed in a real Node-RED, does what its comment says. They run together, because the examples
 * of the CA side need a VA to talk to.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { REQUEST_LABEL } from '../lib/x509/certificate-request.ts';
import { toPem } from '../lib/x509/pem.ts';
import { CERTIFICATES_IN_STORE, demoPki } from './demo/demo-pki.ts';
import { exampleFiles, readExample } from './helpers/examples.ts';
import { freePort, type NodeRed, startNodeRed } from './helpers/node-red.ts';
import { KEY_MAKERS, requestFor } from './helpers/test-pki.ts';

const BUNDLED = 30;
/** Of `@flowfuse/node-red-dashboard`; examples that use them say so in their name. */
const DASHBOARD = / \(FlowFuse Dashboard 2\)\.json$/;
const CORE_TYPES = [
  'tab',
  'comment',
  'inject',
  'debug',
  'catch',
  'function',
  'file in',
  'watch',
  'trigger',
  'http in',
  'http response',
  'template',
  'switch',
];

let publicPort = '';

type Rows = readonly Record<string, unknown>[];

/** What has to be seen, per file; an example without an entry fails. */
const EXPECTATIONS: Record<string, (nodeRed: NodeRed) => Promise<void>> = {
  '01 Let a CA come in to a VA.json': async (nodeRed) => {
    const seen = (fits: (payload: Record<string, unknown>) => boolean) => nodeRed.waitForDebug('va01connections', fits);
    await seen(({ kind, subjectDN }) => kind === 'first-contact' && subjectDN === 'CN=Demo CA,O=Demo,C=SE');
    await seen(({ kind, roles }) => kind === 'admitted' && roles === 'Publishing CAs');
    await seen(({ kind, stored }) => kind === 'published' && Number(stored) > 0);
    await nodeRed.inject('va01ask');
    const { value } = await nodeRed.waitForDebug('va01connections', (payload: unknown) => Array.isArray(payload));
    assert.equal((value as Rows)[0]?.['subjectDN'], 'CN=Demo CA,O=Demo,C=SE');
  },

  '02 Ping a peer.json': async (nodeRed) => {
    const { value } = await nodeRed.waitForDebug('ping02result', (payload: unknown) => typeof payload === 'number');
    assert.ok((value as number) > 0);
    const status = await nodeRed.waitFor(() => nodeRed.statuses.get('ping02ping')?.at(-1), 'the status of the ping');
    assert.match(String(status['text']), /^[\d.]+ ms$/);
  },

  '06 Publish a CRL.json': async (nodeRed) => {
    const { value } = await nodeRed.waitForDebug('crl06rows', (payload: unknown) => Array.isArray(payload));
    assert.deepEqual(
      (value as Rows).map(({ peer, verdict }) => [peer, verdict]),
      [['VA', 'stored']],
    );
    const answer = await fetch(`http://localhost:${publicPort}/crls/search.cgi?name=Demo%20Issuing%20CA`);
    assert.equal(answer.headers.get('content-type'), 'application/pkix-crl');
    await nodeRed.waitForDebug('crl06counts', ({ found }: { readonly found: number }) => found > 0);
  },

  // With real CAs: ca-feeds.test.ts.
  '11 Feed from a CA.json': async (nodeRed) => {
    const isThere = (rows: Rows) => rows[0]?.['issuerDN'] === 'CN=Demo OpenSSL CA';
    const { value } = await nodeRed.waitForDebug('feed11crls', isThere);
    assert.deepEqual(
      (value as Rows).map(({ peer, verdict }) => [peer, verdict]),
      [['VA', 'stored']],
    );
    await nodeRed.waitForDebug('feed11certificates', ({ stored }: { readonly stored: number }) => stored === 1);
    const answer = await fetch(`${nodeRed.url}/ca-feed/certificate`, { method: 'POST', body: 'x' });
    assert.equal(answer.status, 401);
  },

  '04 Synchronize a new VA.json': async (nodeRed) => {
    type Numbers = {
      readonly phase: string;
      readonly total: number;
      readonly pushed: number;
      readonly roundTrips: number;
    };
    const rows = CERTIFICATES_IN_STORE + 1;
    const { value } = await nodeRed.waitForDebug('sync04result', (numbers: Numbers) => numbers.phase === 'finished');
    assert.equal((value as Numbers).total, rows);
    await nodeRed.waitForDebug('sync04progress', (percent: unknown) => percent === 100);
    await nodeRed.waitForDebug('sync04report', (yaml: unknown) => /failureCount: 0/.test(String(yaml)));
  },

  '07 Renew the OCSP signer of a VA.json': async (nodeRed) => {
    await nodeRed.waitForDebug('renew07progress', ({ step }: { step: string }) => step === 'activated');
    const rows = (outcome: string) => (payload: unknown) => (payload as Rows)[0]?.['outcome'] === outcome;
    await nodeRed.waitForDebug('renew07result', rows('renewed'));
    await nodeRed.inject('renew07list');
    const isOnline = (payload: unknown) => (payload as Rows)[0]?.['operational'] === 'online';
    const { value } = await nodeRed.waitForDebug('renew07result', isOnline);
    assert.equal((value as Rows)[0]?.['name'], 'OCSP signer');
    await nodeRed.inject('renew07daily');
    await nodeRed.waitForDebug('renew07result', rows('unchanged'));
  },

  '08 Answer the requests of an RA.json': async (nodeRed) => {
    await nodeRed.waitForDebug('ra08answer', (payload: unknown) =>
      String(payload).startsWith('-----BEGIN CERTIFICATE'),
    );
    await nodeRed.waitForDebug('ra08state', ({ state }: { state: string }) => state === 'idle');
    const page = await fetch(`${nodeRed.url}/ra/`);
    assert.match(await page.text(), /<form method="post" action="enrol">/);
    const post = (path: string, fields: Record<string, string>): Promise<Response> =>
      fetch(`${nodeRed.url}/ra/${path}`, { method: 'POST', body: new URLSearchParams(fields) });
    const csr = toPem(requestFor('CN=by form', KEY_MAKERS.ec()), REQUEST_LABEL);
    const enrolled = await post('enrol', { csr });
    assert.match(await enrolled.text(), /^-----BEGIN CERTIFICATE-----/);
    const serialNumber = enrolled.headers.get('x-serial-number') ?? '';
    const status = async (): Promise<unknown> =>
      (await fetch(`${nodeRed.url}/ra/status?serialNumber=${serialNumber}`)).json();
    assert.deepEqual(await status(), { serialNumber, status: 'active' });
    assert.equal((await post('revoke', { serialNumber, reason: 'keyCompromise' })).status, 200);
    assert.deepEqual(await status(), { serialNumber, status: 'revoked' });
    assert.equal((await post('revoke', { serialNumber: '1' })).status, 404);
    const refused = await post('enrol', { csr: 'abc' });
    assert.deepEqual([refused.status, (await refused.json()).code], [502, 'ERR_INVALID_CERTIFICATE']);
  },

  '09 Watch peers with core nodes.json': async (nodeRed) => {
    const isRow = ({ name, state }: Record<string, unknown>) => name === 'VA' && state === 'running';
    const { value } = await nodeRed.waitForDebug('dash09connectors', (rows: Rows) => rows.some(isRow));
    const [row] = (value as Rows).filter(isRow);
    assert.equal(row?.['max'], 10);
    const isPing = (message: { topic: string; payload: number }) => message.topic === 'VA' && message.payload > 0;
    await nodeRed.waitForDebug('dash09chart', isPing, 15_000);
    await nodeRed.waitForDebug('dash09incoming', (rows: Rows) =>
      rows.some(({ subjectDN, roles }) => subjectDN === 'CN=Demo CA,O=Demo,C=SE' && roles === 'Publishing CAs'),
    );
  },

  '10 Dashboard of peers (FlowFuse Dashboard 2).json': async (nodeRed) => {
    await nodeRed.waitFor(
      () => nodeRed.statuses.get('dash10ping')?.find(({ fill }) => fill === 'green'),
      'a ping',
      15_000,
    );
    const page = await fetch(`${nodeRed.url}/dashboard/peers`);
    assert.equal(page.status, 200);
    await nodeRed.inject('dash10dry');
    await nodeRed.waitFor(() => nodeRed.statuses.get('dash10sync')?.find(({ fill }) => fill === 'green'), 'a dry run');
  },

  '03 Publish certificates.json': async (nodeRed) => {
    const summary = (certificates: number) =>
      nodeRed.waitForDebug(
        'publish03result',
        (payload: { certificates: number }) => payload.certificates === certificates,
      );
    const peers = ['VA'];
    for (const certificates of [BUNDLED + 1, rootCertificates.length]) {
      const { value } = await summary(certificates);
      assert.deepEqual(value, {
        certificates,
        stored: certificates,
        unchanged: 0,
        queued: 0,
        skipped: 0,
        refused: 0,
        failed: 0,
        peers,
        failures: [],
      });
    }
    await nodeRed.inject('publish03every');
    const { value } = await summary(1);
    const none = { unchanged: 0, queued: 0, skipped: 0, refused: 0, failed: 0, failures: [] };
    assert.deepEqual(value, { certificates: 1, stored: 1, ...none, peers });
  },

  '05 Publish by way of the queue.json': async (nodeRed) => {
    type Sums = Record<'certificates' | 'stored' | 'unchanged' | 'queued', number>;
    const { value } = await nodeRed.waitForDebug('queue05result', (sums: Sums) => sums.certificates === BUNDLED + 1);
    const { stored, unchanged, queued } = value as Sums;
    assert.deepEqual([stored + unchanged, queued], [BUNDLED + 1, 0]);
    await nodeRed.inject('queue05status');
    const isEmpty = (rows: Rows): boolean => rows[0]?.['peer'] === 'VA' && rows[0]['waiting'] === 0;
    await nodeRed.waitForDebug('queue05queue', isEmpty);
    const answer = await fetch(`${nodeRed.url}/peers/va-status`);
    assert.deepEqual([answer.status, await answer.json()], [200, []]);
  },
};

describe('examples', () => {
  const folder = mkdtempSync(join(tmpdir(), 'examples-'));
  let nodeRed: NodeRed;

  before(async () => {
    const [port, raPort] = [await freePort(), await freePort()];
    const ra = { PEER_RA_PORT: String(raPort), PEER_RA_URL: `https://localhost:${raPort}/ejbca/peer/v1` };
    const url = `https://localhost:${port}/ejbca/peer/v1`;
    const env = {
      ...demoPki(folder, BUNDLED),
      PEER_PORT: String(port),
      PEER_URL: url,
      PEER_PUBLIC_PORT: String(await freePort()),
      ...ra,
    };
    publicPort = env.PEER_PUBLIC_PORT;
    nodeRed = await startNodeRed({ env });
    await nodeRed.deploy(exampleFiles().flatMap(readExample));
  });

  after(async () => {
    await nodeRed?.stop();
    rmSync(folder, { recursive: true });
  });

  for (const file of exampleFiles()) {
    describe(file, () => {
      it('does what its comment says', async () => {
        const judge = EXPECTATIONS[file];
        assert.ok(judge, `${file} has no expectation`);
        await judge(nodeRed);
      });

      it('stands alone: one tab, a comment, all its config nodes, only core nodes besides ours', () => {
        const nodes = readExample(file);
        const ids = new Set(nodes.map(({ id }) => id));
        assert.equal(ids.size, nodes.length);
        assert.equal(nodes.filter(({ type }) => type === 'tab').length, 1);
        assert.ok(nodes.some(({ type, info }) => type === 'comment' && String(info).includes('**Expect:**')));
        const mayUse = (type: string): boolean => CORE_TYPES.includes(type) || type.startsWith('peer-');
        const isDashboard = (type: string): boolean => DASHBOARD.test(file) && type.startsWith('ui-');
        for (const { type } of nodes) assert.ok(mayUse(type) || isDashboard(type), type);
        const wired = nodes.flatMap(({ wires }) => (wires ?? []) as string[][]).flat();
        assert.deepEqual(
          wired.filter((id) => !ids.has(id)),
          [],
        );
      });

      it('names everything site-specific as a variable that its comment explains', () => {
        const nodes = readExample(file);
        const info = nodes.map((node) => (node.type === 'comment' ? String(node['info']) : '')).join('');
        const names = [...JSON.stringify(nodes).matchAll(/\$\{(\w+)\}/g)].map(([, name = '']) => name);
        assert.ok(names.length > 0);
        for (const name of names) assert.ok(info.includes(`\`${name}\``), name);
      });
    });
  }

  describe('all of them', () => {
    it('share no id', () => {
      const ids = exampleFiles().flatMap((file) => readExample(file).map(({ id }) => id));
      assert.equal(new Set(ids).size, ids.length);
    });

    it('cause no error while they run', () => {
      const errors = nodeRed.messages.filter(({ name }) => name === 'what went wrong');
      assert.deepEqual(errors, []);
      assert.doesNotMatch(nodeRed.log.join('\n'), /\[(error|warn)\] \[/);
    });
  });
});
