/** The renewal of one key binding by the sidebar's admin route, in a real Node-RED that is both sides at once. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { KeyBindingFacts } from '../../lib/keybinding/key-binding-facts.ts';
import type { Overview } from '../../lib/overview/overview.ts';
import type { KeyBindingRenewalRow } from '../../lib/overview/renewal-row.ts';
import { admin, login } from '../helpers/admin.ts';
import { freePort, type NodeRed, startNodeRed } from '../helpers/node-red.ts';
import {
  authenticatorNode,
  authorityNode,
  connectorNode,
  endpointNode,
  flowNode,
  keyBindingNode,
  roleNode,
} from '../helpers/peer-flow.ts';
import { createTestPki, issueRootCa, writePemFiles } from '../helpers/test-pki.ts';

const RULES = ['/peerincoming', '/internalkeybinding', '/cryptotoken'];
// The bcrypt hash of "secret", with as few rounds as there can be.
const PASSWORD = '$2b$04$Or8ZkagJfJcBZhz5YApLpuydcAF4lFtdBTM6IgyJvlVSYyCGapEFe';

/** Asks again and again; the time limit of the test ends it. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await delay(50);
}

describe('renewal from the sidebar', function () {
  this.timeout(30_000);
  const pki = createTestPki();
  const ca = issueRootCa('CN=Issuing CA 1,O=Test,C=SE');
  const folder = mkdtempSync(join(tmpdir(), 'renew-route-'));
  const tokens: Record<string, string> = {};
  let nodeRed: NodeRed;

  before(async () => {
    const users = [
      { username: 'operator', password: PASSWORD, permissions: '*' },
      { username: 'viewer', password: PASSWORD, permissions: 'read' },
    ];
    nodeRed = await startNodeRed({
      settings: { adminAuth: { type: 'credentials', users, default: { permissions: '*' } } },
    });
    for (const { username } of users) tokens[username] = await login(nodeRed, username, 'secret');
    const port = await freePort();
    const bindings = ['ocsp 1', 'ocsp 2', 'disabled'];
    const renewing = (id: string, fields: object) =>
      flowNode(id, 'peer-renew-keybinding', [], {
        name: id,
        connector: 'connector',
        authority: 'local',
        expiresWithin: 7,
        newKeyPair: true,
        wires: [['shown'], []],
        ...fields,
      });
    await nodeRed.deploy([
      { id: 'tab', type: 'tab', label: 'Both sides' },
      authenticatorNode('ca', pki.caClient, pki.managementCa),
      authenticatorNode('va', pki.vaServer, pki.managementCa),
      ...bindings.map((name) =>
        keyBindingNode(`binding ${name}`, join(folder, `${name}.p12`), ca, { name, enabled: name !== 'disabled' }),
      ),
      roleNode('role', { rules: RULES.map((path) => ({ path, state: 'allow' })) }),
      endpointNode('endpoint', port, { store: '', keyBindings: bindings.map((name) => `binding ${name}`) }),
      connectorNode('connector', `https://localhost:${port}`),
      authorityNode('local', { kind: 'pem-files', ...writePemFiles(folder, 'issuing-ca', ca) }),
      authorityNode('slow', { kind: 'flow', timeout: 2 }),
      renewing('renew', {}),
      renewing('by flow', { authority: 'slow' }),
      renewing('without ca', { authority: '' }),
      renewing('without peer', { connector: '' }),
      flowNode('caught', 'catch', ['failed'], { scope: null, uncaught: false }),
      flowNode('failed', 'debug', [], { active: true, tosidebar: true, complete: 'error.code', targetType: 'msg' }),
      flowNode('shown', 'debug', [], { active: true, tosidebar: true, complete: 'topic', targetType: 'msg' }),
    ]);
    // Tokens take a moment to open; until then their bindings are offline.
    await until(async () => (await bindingsOfPeer()).filter(({ canRenew }) => canRenew).length === 2);
  });

  after(async () => {
    await nodeRed?.stop();
    rmSync(folder, { recursive: true });
  });

  const bindingsOfPeer = async () => (await look('connectors/connector/key-bindings')) as readonly KeyBindingFacts[];
  const look = async (path: string): Promise<unknown> =>
    (await admin(nodeRed, path, { token: tokens['viewer'] ?? '' })).body;
  const renew = async (renewer: string, body: unknown, user = 'operator') => {
    const path = `renewers/${encodeURIComponent(renewer)}/renew`;
    const { status, body: answer } = await admin(nodeRed, path, { body, token: tokens[user] ?? '' });
    return { status, code: (answer as { code?: string } | undefined)?.code ?? '' };
  };
  const section = async <T extends keyof Overview>(name: T): Promise<Overview[T]> => {
    const { sections } = (await look('overview')) as { sections: Record<T, { changed: Overview[T] }> };
    return sections[name].changed;
  };
  const ended = async (renewer: string, binding: string): Promise<KeyBindingRenewalRow> => {
    const find = async () =>
      (await section('renewals')).find((row) => row.renewerId === renewer && row.binding === binding);
    await until(async () => ((await find())?.outcome ?? '') !== '');
    return (await find()) as KeyBindingRenewalRow;
  };

  it('is offered for a peer by those nodes that know a connector and a CA', async () => {
    assert.deepEqual(
      (await section('renewers')).map(({ id, connectorId, authority }) => [id, connectorId, authority]),
      [
        ['by flow', 'connector', 'the slow'],
        ['renew', 'connector', 'the local'],
        ['without ca', 'connector', ''],
        ['without peer', '', 'the local'],
      ],
    );
  });

  it('renews the one that is named, through the flow, and says how it went', async () => {
    assert.deepEqual(await renew('renew', { keyBinding: 'ocsp 1' }), { status: 200, code: '' });
    const { outcome, step, connectorId } = await ended('renew', 'ocsp 1');
    assert.deepEqual([outcome, step, connectorId], ['renewed', 'activated', 'connector']);
    const generations = (await bindingsOfPeer()).map(({ name, generation }) => [name, generation]);
    assert.deepEqual(Object.fromEntries(generations), { 'ocsp 1': 1, 'ocsp 2': 0, disabled: 0 });
    await nodeRed.waitForDebug('shown', (topic) => topic === 'peer-systems');
  });

  it('refuses a second one while the first is under way, and says why the first failed', async () => {
    assert.equal((await renew('by flow', { keyBinding: 'ocsp 2' })).status, 200);
    assert.deepEqual(await renew('by flow', { keyBinding: 'ocsp 2' }), { status: 409, code: 'ERR_TASK_RUNNING' });
    const underway = (await section('renewals')).find(({ binding }) => binding === 'ocsp 2');
    assert.deepEqual([underway?.outcome, underway?.endedAt], ['', '']);
    // Nobody answers the order of the flow.
    const { outcome, step, code } = await ended('by flow', 'ocsp 2');
    assert.deepEqual([outcome, step, code], ['failed', 'csr', 'ERR_PEER_TIMEOUT']);
    await nodeRed.waitForDebug('failed', (caught) => caught === 'ERR_PEER_TIMEOUT');
  });

  for (const [what, renewer, body, status, code] of [
    ['a node that is not there', 'gone', { keyBinding: 'ocsp 1' }, 404, 'ERR_PEER_UNKNOWN'],
    ['a node of another kind', 'connector', { keyBinding: 'ocsp 1' }, 404, 'ERR_PEER_UNKNOWN'],
    ['a node without a peer', 'without peer', { keyBinding: 'ocsp 1' }, 404, 'ERR_PEER_UNKNOWN'],
    ['a node without a CA', 'without ca', { keyBinding: 'ocsp 1' }, 500, 'ERR_INVALID_CONFIG'],
    ['a key binding that the peer does not have', 'renew', { keyBinding: 'x' }, 404, 'ERR_KEY_BINDING_UNKNOWN'],
    ['a key binding that is disabled', 'renew', { keyBinding: 'disabled' }, 400, 'ERR_INVALID_INPUT'],
    ['no name', 'renew', {}, 400, 'ERR_INVALID_INPUT'],
    ['several names', 'renew', { keyBinding: ['ocsp 1', 'ocsp 2'] }, 400, 'ERR_INVALID_INPUT'],
  ] as const) {
    it(`refuses ${what}, and begins nothing`, async () => {
      const before = await section('renewals');
      assert.deepEqual(await renew(renewer, body), { status, code });
      assert.deepEqual(await section('renewals'), before);
    });
  }

  it('refuses who may only look, and begins nothing', async () => {
    const before = await section('renewals');
    assert.equal((await renew('renew', { keyBinding: 'ocsp 2' }, 'viewer')).status, 401);
    assert.deepEqual(await section('renewals'), before);
  });

  it('refuses while the connector is disabled', async () => {
    const token = tokens['operator'] ?? '';
    await admin(nodeRed, 'connectors/connector/disable', { body: {}, token });
    const refused = { status: 503, code: 'ERR_CONNECTOR_DISABLED' };
    assert.deepEqual(await renew('renew', { keyBinding: 'ocsp 2' }), refused);
    await admin(nodeRed, 'connectors/connector/enable', { body: {}, token });
  });
});
