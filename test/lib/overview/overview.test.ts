import assert from 'node:assert/strict';
import { MAX_INCOMING_ROWS, toOverview } from '../../../lib/overview/overview.ts';
import { statusOf } from '../../../lib/publisher/publisher-status.ts';
import {
  connector,
  endpoint,
  facts,
  keyBinding,
  peer,
  progress,
  renewal,
  renewer,
  sync,
  validationAuthority,
} from './rows.ts';

describe('overview', () => {
  it('is empty where nothing is configured', () => {
    assert.ok(Object.values(toOverview(facts({}))).every((rows) => rows.length === 0));
  });

  it('shows the numbers of the pool and the last ping of a connector', () => {
    const lastPing = { roundTripMs: 1.23456, at: 0, code: '', detail: '' };
    const [row] = toOverview(facts({ connectors: [connector('va', { lastPing })] })).outgoing;
    assert.deepEqual([row?.inUse, row?.ready, row?.max, row?.queued], [1, 2, 10, 3]);
    assert.deepEqual([row?.pingMs, row?.pingAt, row?.pingError], [1.23, '1970-01-01T00:00:00.000Z', '']);
  });

  it('keeps the last round trip beside the code of a ping that failed since', () => {
    const lastPing = { roundTripMs: 2, at: 1, code: 'ERR_PEER_UNREACHABLE', detail: 'No answer from va' };
    const [row] = toOverview(facts({ connectors: [connector('va', { lastPing })] })).outgoing;
    assert.deepEqual([row?.pingMs, row?.pingError, row?.lastError], [2, 'ERR_PEER_UNREACHABLE', 'No answer from va']);
  });

  it('says why a connector cannot be used at all', () => {
    const broken = connector('va', { pool: undefined, configError: 'No peer-remote-authenticator is set' });
    const [row] = toOverview(facts({ connectors: [broken] })).outgoing;
    assert.deepEqual([row?.state, row?.lastError, row?.max], ['unusable', 'No peer-remote-authenticator is set', 0]);
  });

  it('adds up the queues of a peer, and says when the oldest has waited for too long', () => {
    const now = Date.now();
    const queue = (minutes: number, parked: number) => {
      const summary = { peer: 'b', byAge: [1, 2, 3, 4], waiting: 10, parked, oldest: now - minutes * 60_000 } as const;
      const failure = { code: 'ERR_PEER_UNREACHABLE', detail: '', at: now } as const;
      return statusOf(summary, { peer: 'b', name: 'b', exists: true, failure }, { now, outOfSyncAfterMs: 3_600_000 });
    };
    const [none, late] = toOverview(
      facts({
        connectors: [
          connector('a'),
          connector('b', { queues: [queue(5, 1), queue(90, 2)], incomingRoles: ['RA', 'x'] }),
        ],
      }),
    ).outgoing;
    assert.deepEqual([none?.queueLength, none?.queueOldest, none?.incomingRoles, none?.raState], [0, '', '', '']);
    assert.deepEqual(
      [
        late?.queueLength,
        late?.queueOver60Minutes,
        late?.queueParked,
        late?.queueError,
        late?.outOfSync,
        late?.incomingRoles,
      ],
      [20, 8, 3, 'ERR_PEER_UNREACHABLE', true, 'RA, x'],
    );
    assert.equal(late?.queueOldest, new Date(now - 90 * 60_000).toISOString());
  });

  it('holds plain values only', () => {
    const overview = toOverview(
      facts({
        connectors: [connector('a')],
        syncs: [sync('s', 'a')],
        endpoints: [endpoint('e', [peer('p')])],
        validationAuthorities: [validationAuthority('v', [keyBinding('k')])],
        renewers: [renewer('r', 'a', { renewals: [renewal('k')] })],
      }),
    );
    for (const [section, rows] of Object.entries(overview)) assert.equal(rows.length, 1, section);
    for (const row of Object.values(overview).flat()) {
      for (const [key, value] of Object.entries(row)) {
        assert.ok(value === null || ['string', 'number', 'boolean'].includes(typeof value), key);
      }
    }
  });

  describe('calls a peer out of sync', () => {
    const isOutOfSync = (fields: Parameters<typeof sync>[2]): boolean | undefined =>
      toOverview(facts({ connectors: [connector('va')], syncs: [sync('s', 'va', fields)] })).outgoing[0]?.outOfSync;

    for (const [what, fields, wanted] of [
      ['after a dry run that found differences', { isDryRun: true, progress: progress({ missing: 1 }) }, true],
      ['after rows were refused', { progress: progress({ failed: 1 }) }, true],
      ['after a run that broke off', { error: 'cancelled' }, true],
      ['not while it is being brought up to date', { isRunning: true, progress: progress({ missing: 9 }) }, false],
      ['not after a run that brought everything', { progress: progress({ missing: 9, pushed: 9 }) }, false],
      ['not when nothing is known', {}, false],
    ] as const) {
      it(what, () => assert.equal(isOutOfSync(fields), wanted));
    }
  });

  it('takes the newest of several synchronisations with a peer', () => {
    const syncs = [
      sync('old', 'va', { startedAt: 1, progress: progress({ phase: 'failed' }) }),
      sync('new', 'va', { startedAt: 2, progress: progress({ phase: 'pushing', percent: 40 }) }),
      sync('other', 'vb', { startedAt: 3, progress: progress({ phase: 'cancelled' }) }),
    ];
    const [row] = toOverview(facts({ connectors: [connector('va')], syncs })).outgoing;
    assert.deepEqual([row?.syncPhase, row?.syncPercent], ['pushing', 40]);
  });

  for (const [state, fields] of [
    ['seen', {}],
    ['admitted', { lastOperation: 'ping', roles: ['a'] }],
    ['refused', { lastOperation: 'ping', isRefused: true }],
    ['blocked', { lastOperation: 'ping', isRefused: true, isBlocked: true }],
  ] as const) {
    it(`shows an incoming peer as ${state}`, () => {
      const { incoming } = toOverview(facts({ endpoints: [endpoint('e', [peer('p', fields)])] }));
      assert.deepEqual([incoming[0]?.state, incoming[0]?.id, incoming[0]?.peerId], [state, 'e p', 'p']);
    });
  }

  it('sums up an endpoint, and says that one does not listen', () => {
    const peers = [peer('a', { requests: 2, refusals: 1 }), peer('b', { requests: 3 })];
    const { endpoints } = toOverview(
      facts({ endpoints: [endpoint('on', peers), endpoint('x', [], { port: undefined })] }),
    );
    assert.deepEqual([endpoints[0]?.peers, endpoints[0]?.requests, endpoints[0]?.refusals], [2, 5, 1]);
    assert.deepEqual([endpoints[1]?.state, endpoints[1]?.port], ['off', 0]);
  });

  it('is bounded however many peers come, and keeps the newest', () => {
    const many = (name: string, year: number) =>
      endpoint(
        name,
        Array.from({ length: MAX_INCOMING_ROWS }, (_, i) => peer(`${i}`, { lastSeen: `${year}` })),
      );
    const { incoming } = toOverview(facts({ endpoints: [many('old', 2025), many('new', 2026)] }));
    assert.equal(incoming.length, MAX_INCOMING_ROWS);
    assert.ok(incoming.every(({ endpointId }) => endpointId === 'new'));
  });

  describe('of a validation authority', () => {
    const rowsOf = (...args: Parameters<typeof validationAuthority>) => {
      const { validationAuthorities, keyBindings } = toOverview(
        facts({ validationAuthorities: [validationAuthority(...args)] }),
      );
      return { row: validationAuthorities[0], keyBindings };
    };

    for (const [host, address] of [
      ['', '*:8080'],
      ['127.0.0.1', '127.0.0.1:8080'],
      ['::1', '[::1]:8080'],
    ] as const) {
      it(`says that it listens on ${address}`, () => {
        const { row } = rowsOf('va', [], { host });
        assert.deepEqual([row?.state, row?.address], ['listening', address]);
      });
    }

    it('says why it does not listen, and names no address', () => {
      const { row } = rowsOf('va', [], { port: undefined, error: 'Port 80 cannot be listened on' });
      assert.deepEqual([row?.state, row?.address, row?.error], ['off', '', 'Port 80 cannot be listened on']);
    });

    it('says that it does not answer OCSP, beside counts that are zero', () => {
      const { row } = rowsOf('va');
      assert.deepEqual([row?.servesOcsp, row?.ocspRequests, row?.keyBindings, row?.firstExpires], [false, 0, 0, '']);
    });

    it('shows each key binding with its state, and the first end of a certificate', () => {
      const later = { expires: '2027-01-01T00:00:00.000Z' };
      const gone = { operational: 'pending', status: 'revoked', expires: '2026-03-01T00:00:00.000Z' } as const;
      const { row, keyBindings } = rowsOf('va', [keyBinding('b', later), keyBinding('a', gone)]);
      assert.deepEqual([row?.keyBindings, row?.keyBindingsOnline, row?.firstExpires], [2, 1, gone.expires]);
      assert.deepEqual(
        keyBindings.map(({ id, name, operational, status }) => [id, name, operational, status]),
        [
          ['va node of a', 'a', 'pending', 'revoked'],
          ['va node of b', 'b', 'online', 'enabled'],
        ],
      );
    });

    it('shows why a key binding is not open, instead of leaving it out', () => {
      const closed = { id: 'x', name: 'x', facts: undefined, error: 'The passphrase is wrong' };
      const { row, keyBindings } = rowsOf('va', [closed]);
      assert.deepEqual([row?.keyBindings, row?.keyBindingsOnline], [1, 0]);
      assert.deepEqual(
        [keyBindings[0]?.operational, keyBindings[0]?.status, keyBindings[0]?.error],
        ['unavailable', '', 'The passphrase is wrong'],
      );
    });

    it('keeps one key binding at two validation authorities apart', () => {
      const both = ['a', 'b'].map((id) => validationAuthority(id, [keyBinding('k')]));
      const { keyBindings } = toOverview(facts({ validationAuthorities: both }));
      assert.equal(new Set(keyBindings.map(({ id }) => id)).size, 2);
    });
  });

  describe('of renewals', () => {
    const rowsOf = (...renewers: ReturnType<typeof renewer>[]) => toOverview(facts({ renewers }));

    it('says who can renew the key bindings of which peer, and who cannot for want of a CA', () => {
      const { renewers } = rowsOf(renewer('b', 'va'), renewer('a', 'va', { authority: '' }));
      assert.deepEqual(
        renewers.map(({ id, connectorId, authority }) => [id, connectorId, authority]),
        [
          ['a', 'va', ''],
          ['b', 'va', 'Issuing CA'],
        ],
      );
    });

    it('says of one under way when it began, and of one that ended how', () => {
      const failed = { outcome: 'failed', code: 'ERR_NOT_ISSUED', startedAt: 0, endedAt: 5_000 } as const;
      const { renewals } = rowsOf(
        renewer('r', 'va', { renewals: [renewal('x', { step: 'csr' }), renewal('y', failed)] }),
      );
      assert.deepEqual(
        renewals.map(({ binding, step, outcome, code, endedAt }) => [binding, step, outcome, code, endedAt]),
        [
          ['y', '', 'failed', 'ERR_NOT_ISSUED', '1970-01-01T00:00:05.000Z'],
          ['x', 'csr', '', '', ''],
        ],
      );
    });

    it('keeps one name at two peers, and by two nodes, apart', () => {
      const renewals = [renewal('k'), renewal('k', { connectorId: 'vb' })];
      const rows = rowsOf(renewer('a', 'va', { renewals }), renewer('b', 'va', { renewals }));
      assert.equal(new Set(rows.renewals.map(({ id }) => id)).size, 4);
    });
  });
});
