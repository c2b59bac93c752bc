/** The admin routes behind the sidebar tab, in real Node-REDs. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { METRIC_NAMES } from '../../lib/overview/metrics.ts';
import { admin, login } from '../helpers/admin.ts';
import { freePort, type NodeRed, startNodeRed } from '../helpers/node-red.ts';
import { authenticatorNode, connectorNode, endpointNode, roleNode, storeNode } from '../helpers/peer-flow.ts';
import { createTestPki } from '../helpers/test-pki.ts';
import { waitFor } from '../helpers/wait-for.ts';

const READS = ['overview', 'metrics', 'syncs/x/report', 'connectors/x/key-bindings'];
const WRITES = [
  'switches',
  'connectors/x/ping',
  'connectors/x/reset',
  'connectors/x/enable',
  'connectors/x/disable',
  'syncs/x/start',
  'syncs/x/dry-run',
  'syncs/x/stop',
  'renewers/x/renew',
  'endpoints/x/refuse',
  'endpoints/x/admit',
  'endpoints/x/forget',
];

interface Overview {
  readonly version: string;
  readonly isWhole: boolean;
  readonly switches: { readonly incoming: boolean };
  readonly hasAdminAuth: boolean;
  readonly sections: Record<string, { readonly changed: Record<string, unknown>[]; readonly removed: string[] }>;
}

for (const version of [5, 4] as const) {
  describe(`admin routes of the sidebar in Node-RED ${version}`, function () {
    this.timeout(30_000);
    const pki = createTestPki();
    const folder = mkdtempSync(join(tmpdir(), 'routes-'));
    let nodeRed: NodeRed;

    before(async () => {
      const port = await freePort();
      nodeRed = await startNodeRed({ version, settings: { peerSystems: {} } });
      await nodeRed.deploy([
        { id: 'tab', type: 'tab', label: 'Both sides' },
        authenticatorNode('ca', pki.caClient, pki.managementCa),
        authenticatorNode('va', pki.vaServer, pki.managementCa),
        storeNode('store', join(folder, 'va.sqlite')),
        roleNode('role'),
        connectorNode('connector', `https://localhost:${port}`),
        endpointNode('endpoint', port),
      ]);
    });

    after(async () => {
      await nodeRed?.stop();
      rmSync(folder, { recursive: true });
    });

    const look = async (since = ''): Promise<Overview> =>
      (await admin(nodeRed, `overview?since=${encodeURIComponent(since)}`)).body as Overview;
    const act = (path: string, body: unknown = {}) => admin(nodeRed, path, { body });
    const endpointState = async (): Promise<unknown> => (await look()).sections['endpoints']?.changed[0]?.['state'];
    const until = async (state: string): Promise<void> => {
      let seen: unknown;
      const poll = setInterval(async () => (seen = await endpointState().catch(() => undefined)), 50);
      try {
        await waitFor({ look: () => (seen === state ? true : undefined), what: state, timeoutMs: 5_000 });
      } finally {
        clearInterval(poll);
      }
    };

    it('show the connectors and endpoints, with incoming connections off', async () => {
      const { sections, switches, hasAdminAuth, isWhole } = await look();
      assert.deepEqual([isWhole, hasAdminAuth, switches.incoming], [true, false, false]);
      assert.equal(sections['outgoing']?.changed[0]?.['name'], 'the connector');
      assert.equal(sections['endpoints']?.changed[0]?.['state'], 'off');
    });

    it('tell a peer that is away as a problem with a stable code', async () => {
      const { status, type, body } = await act('connectors/connector/ping');
      assert.deepEqual([status, (body as { code: string }).code], [502, 'ERR_PEER_UNREACHABLE']);
      assert.match(type, /^application\/problem\+json/);
    });

    it('open the endpoint once incoming connections are allowed, ping, and close it again', async () => {
      assert.equal((await act('switches', { incoming: true })).status, 200);
      await until('listening');
      const { body } = await act('connectors/connector/ping');
      assert.ok((body as { roundTripMs: number }).roundTripMs > 0);
      const [peer] = (await look()).sections['incoming']?.changed ?? [];
      assert.deepEqual(
        [peer?.['subjectDN'], peer?.['state'], peer?.['roles']],
        ['CN=ca-1,O=Test,C=SE', 'admitted', 'the role'],
      );
      await act('switches', { incoming: false });
      await until('off');
      assert.equal(((await act('connectors/connector/ping')).body as { code: string }).code, 'ERR_PEER_UNREACHABLE');
    });

    it('tell only what has changed', async () => {
      const { version: before } = await look();
      const unchanged = await look(before);
      assert.deepEqual([unchanged.isWhole, unchanged.sections['outgoing']?.changed], [false, []]);
      await act('connectors/connector/disable');
      const { sections } = await look(before);
      assert.deepEqual(
        sections['outgoing']?.changed.map(({ state }) => state),
        ['disabled'],
      );
      assert.equal(((await act('connectors/connector/ping')).body as { code: string }).code, 'ERR_CONNECTOR_DISABLED');
      await act('connectors/connector/enable');
    });

    it('give every metric in the text format of Prometheus', async () => {
      const { text, type } = await admin(nodeRed, 'metrics');
      assert.match(type, /^text\/plain/);
      for (const name of METRIC_NAMES) assert.match(text, new RegExp(`^# TYPE ${name} `, 'm'));
      assert.match(text, /^peer_pool_max\{connector="the connector",id="connector"\} 4$/m);
    });

    it('work out the rights of a certificate from roles that are not deployed', async () => {
      const role = {
        name: 'new',
        members: [{ match: 'commonName', value: 'ca-1', issuer: 'CN=Management CA,O=Test,C=SE' }],
      };
      const rules = [
        { path: '/peerpublish', state: 'allow' },
        { path: '/peerpublish/writecrl', state: 'deny' },
        { path: '/ca', state: 'inherit' },
      ];
      const body = { roles: [{ ...role, rules }], certificate: pki.caClient.certificatePem };
      const rights = (await act('effective-rules', body)).body as {
        roles: string[];
        rules: { path: string; isAllowed: boolean; rule: string }[];
      };
      assert.deepEqual(rights.roles, ['new']);
      const verdict = (path: string) => rights.rules.find((each) => each.path === path);
      assert.deepEqual(
        [verdict('/peerpublish/writecert')?.isAllowed, verdict('/peerpublish/writecert')?.rule],
        [true, '/peerpublish'],
      );
      assert.deepEqual([verdict('/peerpublish/writecrl')?.isAllowed, verdict('/ca')?.isAllowed], [false, false]);
    });

    describe('refuse', () => {
      const refusals: [string, string, unknown, number][] = [
        ['a connector that is not there', 'connectors/gone/ping', {}, 404],
        ['a node of another kind', 'connectors/endpoint/ping', {}, 404],
        ['a switch that is no yes or no', 'switches', { incoming: 'yes' }, 400],
        ['to block what is no fingerprint', 'endpoints/endpoint/refuse', { peer: '<b>' }, 400],
        ['to forget nobody', 'endpoints/endpoint/forget', {}, 400],
        ['roles that are none', 'effective-rules', { roles: 'all', certificate: 'x' }, 400],
        [
          'a role with an unknown rule',
          'effective-rules',
          { roles: [{ name: 'x', members: [], rules: [{ path: '/x', state: 'allow' }] }], certificate: 'x' },
          500,
        ],
        ['a certificate that is none', 'effective-rules', { roles: [], certificate: 'x' }, 400],
        ['a certificate of a megabyte', 'effective-rules', { roles: [], certificate: 'x'.repeat(1_000_000) }, 400],
        ['a peer nobody remembers', 'effective-rules', { roles: [], endpoint: 'endpoint', peer: 'x' }, 400],
      ];
      for (const [what, path, body, status] of refusals) {
        it(what, async () => assert.equal((await act(path, body)).status, status));
      }

      it('a form that a page of another site could send', async () => {
        const { status } = await admin(nodeRed, 'switches', { body: { incoming: true }, type: 'text/plain' });
        assert.equal(status, 400);
        assert.equal((await look()).switches.incoming, false);
      });
    });
  });
}

describe('admin routes of the sidebar with adminAuth', function () {
  this.timeout(30_000);
  // The bcrypt hash of "secret", with as few rounds as there can be.
  const password = '$2b$04$Or8ZkagJfJcBZhz5YApLpuydcAF4lFtdBTM6IgyJvlVSYyCGapEFe';
  const user = (username: string, permissions: unknown) => ({ username, password, permissions });
  let nodeRed: NodeRed;
  const tokens: Record<string, string> = {};

  before(async () => {
    const users = [user('operator', '*'), user('viewer', 'read'), user('other', ['flows.read'])];
    nodeRed = await startNodeRed({ settings: { adminAuth: { type: 'credentials', users } } });
    for (const { username } of users) tokens[username] = await login(nodeRed, username, 'secret');
  });

  after(() => nodeRed?.stop());

  const statusFor = async (name: string | undefined, path: string, body?: unknown): Promise<number> => {
    const token = name === undefined ? undefined : tokens[name];
    return (await admin(nodeRed, path, { ...(body !== undefined && { body }), ...(token !== undefined && { token }) }))
      .status;
  };

  it('open none of them to who has not logged in', async () => {
    for (const path of READS) assert.equal(await statusFor(undefined, path), 401, path);
    for (const path of [...WRITES, 'effective-rules']) assert.equal(await statusFor(undefined, path, {}), 401, path);
  });

  it('open none of them to who may only look at something else', async () => {
    for (const path of READS) assert.equal(await statusFor('other', path), 401, path);
    for (const path of WRITES) assert.equal(await statusFor('other', path, {}), 401, path);
  });

  it('let who may read look and change nothing', async () => {
    assert.equal(await statusFor('viewer', 'overview'), 200);
    assert.equal(await statusFor('viewer', 'metrics'), 200);
    for (const path of WRITES) assert.equal(await statusFor('viewer', path, {}), 401, path);
  });

  it('let an operator do both, and say that users are asked who they are', async () => {
    assert.equal(await statusFor('operator', 'switches', { outgoing: true }), 200);
    const { body } = await admin(nodeRed, 'overview', { token: tokens['operator'] ?? '' });
    assert.equal((body as { hasAdminAuth: boolean }).hasAdminAuth, true);
  });
});
