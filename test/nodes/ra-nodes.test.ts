/**
 * ra-request and ra-listener in one runtime: two sides of one flow, over real TLS.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../helpers/node-red.ts';
import { authenticatorNode, connectorNode, endpointNode, flowNode, roleNode } from '../helpers/peer-flow.ts';
import { LISTENING_CA, RA_RULES } from '../helpers/ra-sides.ts';
import { type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { createTestPki } from '../helpers/test-pki.ts';

type Fields = Readonly<Record<string, unknown>>;

const rulesOf = (rules: Readonly<Record<string, string>>) =>
  Object.entries(rules).map(([path, state]) => ({ path, state }));

interface Answerable {
  readonly payload: unknown;
  readonly ra: { readonly id: string; readonly type: string; readonly deadline: string; readonly rules: Fields };
  readonly req: Fields;
  readonly res: { readonly _res: Record<string, (...args: unknown[]) => Answerable['res']['_res']> };
}

describe('RA nodes', () => {
  const pki = createTestPki();
  let port: number;
  let flow: RuntimeFlow | undefined;

  before(async () => {
    port = await freePort();
  });

  afterEach(async () => {
    await flow?.close();
    flow = undefined;
  });

  const nodes = (request: Fields = {}, connector: Fields = {}, listener: Fields = {}) => [
    authenticatorNode('ca', pki.caClient, pki.managementCa),
    authenticatorNode('va', pki.vaServer, pki.managementCa),
    roleNode('role', { rules: rulesOf(LISTENING_CA) }),
    roleNode('raRole', {
      members: [{ match: 'commonName', value: 'va-1', issuer: 'CN=Management CA,O=Test,C=SE' }],
      rules: rulesOf(RA_RULES),
    }),
    endpointNode('endpoint', port, { store: '', raMaxWaiting: 100 }),
    connectorNode('RA', `https://localhost:${port}`, {
      raEnabled: true,
      raMinimum: 2,
      raMaximum: 4,
      raRole: 'raRole',
      ...connector,
    }),
    flowNode('ask', 'peer-ra-request', ['out'], {
      endpoint: 'endpoint',
      requestType: 'enrol',
      deadlineMs: 3_000,
      priority: 5,
      maxBytes: 1_000,
      repeatable: false,
      ...request,
    }),
    flowNode('listen', 'peer-ra-listener', [], {
      connector: 'RA',
      types: '',
      wires: [['work'], ['state']],
      ...listener,
    }),
    flowNode('work', 'helper', []),
    flowNode('state', 'helper', []),
  ];

  const start = async (...fields: Parameters<typeof nodes>): Promise<RuntimeFlow> => {
    flow = await runFlow(nodes(...fields));
    return flow;
  };
  const onWork = (running: RuntimeFlow, work: (message: Answerable) => void): void => {
    running.node('work').on('input', (message) => work(message as never));
  };

  it('carry payload, status, headers and cookies there and back in the same message object', async () => {
    const running = await start();
    const seen: Answerable[] = [];
    onWork(running, (message) => {
      seen.push(message);
      const { _res } = message.res;
      _res['set']?.({ 'X-Answer': 'yes' });
      _res['cookie']?.('session', 'a b', { httpOnly: true });
      _res['status']?.(201)['jsonp']?.({ serial: 7 });
    });
    const req = { method: 'POST', url: '/enrol?x=1', headers: { host: 'ra' }, query: { x: '1' }, params: {} };
    const { message } = await running.send('ask', { payload: Buffer.from([1, 2]), req, mine: 'stays' });
    assert.deepEqual(message?.['payload'], { serial: 7 });
    assert.equal(message?.['statusCode'], 201);
    assert.deepEqual(message?.['headers'], { 'x-answer': 'yes' });
    assert.deepEqual(message?.['cookies'], { session: { httpOnly: true, value: 'a b' } });
    assert.equal(message?.['mine'], 'stays');
    const [asked] = seen;
    assert.deepEqual(asked?.payload, Buffer.from([1, 2]));
    assert.deepEqual([asked?.req['method'], asked?.req['url']], ['POST', '/enrol?x=1']);
    assert.equal(asked?.ra.type, 'enrol');
    assert.ok(Date.parse(asked?.ra.deadline ?? '') > Date.now());
    assert.equal(asked?.ra.rules['/ra_functionality'], 'allow');
  });

  it('tell by name when the flow never answers, and free the connection', async () => {
    const running = await start({ deadlineMs: 400 }, { raMinimum: 1, raMaximum: 1 });
    onWork(running, () => undefined);
    const { error } = await running.send('ask', { payload: 'x' });
    assert.equal(error?.code, 'ERR_RA_NO_ANSWER');
    const { error: again } = await running.send('ask', { payload: 'y' });
    assert.equal(again?.code, 'ERR_RA_NO_ANSWER');
  });

  it('refuse a second answer, and one that comes too late', async () => {
    const running = await start({ deadlineMs: 400 });
    const codes: unknown[] = [];
    const attempt = (send: () => void): void => {
      try {
        send();
      } catch (error) {
        codes.push((error as { code: string }).code);
      }
    };
    onWork(running, ({ payload, res }) => {
      if (payload === 'late') return void setTimeout(() => attempt(() => res._res['send']?.('late')), 500);
      res._res['send']?.('first');
      attempt(() => res._res['send']?.('second'));
    });
    const { message } = await running.send('ask', { payload: 'twice' });
    assert.equal(message?.['payload'], 'first');
    await running.send('ask', { payload: 'late' });
    await running.waitFor(() => codes.length === 2 || undefined, 'both refusals');
    assert.deepEqual(codes, ['ERR_INVALID_INPUT', 'ERR_RA_NO_ANSWER']);
  });

  it('show the state on the second output', async () => {
    const running = await start();
    const states: Fields[] = [];
    running.node('state').on('input', ({ payload }) => states.push(payload as Fields));
    onWork(running, ({ res }) => void res._res['send']?.('done'));
    await running.waitFor(() => states.find(({ state, waiting }) => state === 'idle' && waiting === 2), 'idle');
    for (let i = 0; i < 50; i++) await running.send('ask', { payload: `${i}` });
    await running.waitFor(() => states.find(({ answered }) => answered === 50), 'all answered');
    await delay(300);
    assert.ok(states.length < 12, `${states.length} states`);
  });

  it('end by name what is under way when the listener is deployed anew, and go on', async () => {
    const running = await start();
    onWork(running, () => undefined);
    const asked = running.send('ask', { payload: 'x' });
    await delay(300);
    const begun = performance.now();
    await running.redeploy(nodes({}, {}, { name: 'changed' }), 'nodes');
    assert.equal((await asked).error?.code, 'ERR_RA_CA_LOST');
    assert.ok(performance.now() - begun < 2_000);
    onWork(running, ({ res }) => void res._res['send']?.('new'));
    const { message } = await running.send('ask', { payload: 'y' });
    assert.equal(message?.['payload'], 'new');
  });

  it('end a request by its id', async () => {
    const running = await start({}, { raEnabled: false });
    const asked = running.send('ask', { payload: 'x', ra: { id: 'mine' } });
    await delay(50);
    running.node('ask').receive({ ra: { cancel: 'mine' } } as never);
    assert.equal((await asked).error?.code, 'ERR_CANCELLED');
  });

  const refusals: [string, Fields, Fields, Fields, string][] = [
    ['a content that is too large', {}, {}, { payload: 'x'.repeat(1_001) }, 'ERR_TOO_LARGE'],
    ['a type that is none', { requestType: '../ca' }, {}, {}, 'ERR_INVALID_INPUT'],
    ['an endpoint that is not there', { endpoint: 'gone' }, {}, {}, 'ERR_INVALID_CONFIG'],
    ['a deadline that is none', { deadlineMs: 'soon' }, {}, {}, 'ERR_INVALID_CONFIG'],
    ['msg.ra that is no object', {}, {}, { ra: 'x' }, 'ERR_INVALID_INPUT'],
    ['a connector that does not process requests', {}, { raEnabled: false }, {}, 'ERR_RA_NO_CA'],
    ['a connector that is off', {}, { enabled: false }, {}, 'ERR_RA_NO_CA'],
    ['a role of the RA that is missing', {}, { raRole: 'gone' }, {}, 'ERR_INVALID_CONFIG'],
    ['a role that is not one of the RA', {}, { raRole: 'role' }, {}, 'ERR_NOT_AUTHORIZED'],
    ['an administrator without rules', {}, {}, { ra: { administrator: { rules: {} } } }, 'ERR_NOT_AUTHORIZED'],
    ['a type that nobody takes', {}, {}, { ra: { type: 'audit', deadlineMs: 500 } }, 'ERR_RA_NO_CA'],
  ];
  for (const [what, request, connector, message, code] of refusals) {
    it(`fail by name with ${what}`, async () => {
      const running = await start(request, connector, { types: 'enrol, revoke' });
      onWork(running, ({ res }) => void res._res['send']?.('never'));
      const { error } = await running.send('ask', { payload: 'x', ...message });
      assert.equal(error?.code, code);
    });
  }
});
