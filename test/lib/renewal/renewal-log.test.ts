import assert from 'node:assert/strict';
import { PeerError } from '../../../lib/errors.ts';
import type { RenewalProgress } from '../../../lib/renewal/key-binding-renewal.ts';
import type { RenewalRow } from '../../../lib/renewal/renew-key-bindings.ts';
import { RenewalLog } from '../../../lib/renewal/renewal-log.ts';

const row = (name: string, fields: Partial<RenewalRow>): RenewalRow => ({
  peer: 'VA',
  name,
  outcome: 'renewed',
  issuerDN: '',
  serialNumber: '',
  expires: '',
  code: '',
  detail: '',
  ...fields,
});
const step = (binding: string, name: RenewalProgress['step']): RenewalProgress => ({
  peer: 'VA',
  binding,
  step: name,
  key: '',
  serialNumber: '',
});
const due = { expiresWithinMs: 1 };

describe('log of renewals', () => {
  let now: number;
  let log: RenewalLog;

  beforeEach(() => {
    now = 1_000;
    log = new RenewalLog(() => now);
  });

  const shown = () => log.list().map(({ binding, step, outcome, code }) => [binding, step, outcome, code]);

  it('has what was named from the begin, before any step', () => {
    void log.follow('va', { names: ['a'] }, () => new Promise(() => undefined));
    assert.deepEqual(shown(), [['a', '', '', '']]);
    assert.ok(log.isUnderway('va', 'a'));
  });

  it('has what is due from its first step on, and each step', async () => {
    let tell: (progress: RenewalProgress) => void = () => undefined;
    void log.follow('va', due, (onProgress) => {
      tell = onProgress;
      return new Promise(() => undefined);
    });
    assert.deepEqual(shown(), []);
    tell(step('a', 'key'));
    tell(step('a', 'csr'));
    assert.deepEqual(shown(), [['a', 'csr', '', '']]);
  });

  it('says how each ended and when, and leaves out what was not touched', async () => {
    const rows = [
      row('a', {}),
      row('b', { outcome: 'failed', code: 'ERR_NOT_ISSUED', detail: 'no' }),
      row('c', { outcome: 'unchanged' }),
    ];
    const result = await log.follow('va', due, async (onProgress) => {
      onProgress(step('a', 'activated'));
      now = 2_000;
      return { rows, failure: undefined };
    });
    assert.deepEqual(result.rows, rows);
    assert.deepEqual(shown(), [
      ['a', 'activated', 'renewed', ''],
      ['b', '', 'failed', 'ERR_NOT_ISSUED'],
    ]);
    const [a] = log.list();
    assert.deepEqual([a?.startedAt, a?.endedAt, log.isUnderway('va', 'a')], [1_000, 2_000, false]);
  });

  it('begins anew with the next one, and forgets why the last one failed', async () => {
    const failing = log.follow('va', { names: ['a'] }, () => Promise.reject(new PeerError('ERR_PEER_TIMEOUT', 'late')));
    await assert.rejects(failing, { code: 'ERR_PEER_TIMEOUT' });
    assert.deepEqual(shown(), [['a', '', 'failed', 'ERR_PEER_TIMEOUT']]);
    void log.follow('va', { names: ['a'] }, () => new Promise(() => undefined));
    assert.deepEqual(log.list(), [
      { connectorId: 'va', binding: 'a', step: '', outcome: '', code: '', detail: '', startedAt: 1_000, endedAt: 0 },
    ]);
  });

  it('ends all that were begun when the peer cannot be asked, and passes the error on', async () => {
    const names = ['a', 'b'];
    await assert.rejects(
      log.follow('va', { names }, () => Promise.reject(new Error('broken'))),
      /broken/,
    );
    assert.deepEqual(shown(), [
      ['a', '', 'failed', 'ERR_INTERNAL'],
      ['b', '', 'failed', 'ERR_INTERNAL'],
    ]);
  });

  it('calls one name at two peers two things', () => {
    void log.follow('va', { names: ['a'] }, () => new Promise(() => undefined));
    assert.ok(!log.isUnderway('vb', 'a'));
  });

  it('is bounded however many names come', async () => {
    const names = Array.from({ length: 1_000 }, (_, i) => `${i}`);
    const rows = names.map((name) => row(name, { outcome: 'failed', code: 'ERR_KEY_BINDING_UNKNOWN' }));
    await log.follow('va', { names }, async () => ({ rows, failure: undefined }));
    assert.equal(log.list().length, 200);
    assert.equal(log.list().at(-1)?.binding, '999');
  });
});
