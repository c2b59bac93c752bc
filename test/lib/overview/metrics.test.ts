import assert from 'node:assert/strict';
import { METRIC_NAMES, METRICS_TYPE, renderMetrics } from '../../../lib/overview/metrics.ts';
import { toOverview } from '../../../lib/overview/overview.ts';
import { connector, endpoint, keyBinding, peer, progress, sync, validationAuthority } from './rows.ts';

describe('metrics', () => {
  const lastPing = { roundTripMs: 2.5, at: 10_000, code: '', detail: '' };
  const overview = toOverview({
    connectors: [connector('va', { lastPing }), connector('new')],
    syncs: [sync('nightly', 'va', { progress: progress({ percent: 40, missing: 7 }) })],
    endpoints: [endpoint('door', [peer('a', { requests: 3 })])],
    validationAuthorities: [validationAuthority('va 1', { keyBindings: [keyBinding('ocsp 1')] })],
  });

  it('say the numbers of connectors, synchronisations and endpoints in base units', async () => {
    const text = await renderMetrics(overview);
    for (const line of [
      'peer_pool_in_use{connector="va",id="va"} 1',
      'peer_pool_queued{connector="va",id="va"} 3',
      'peer_ping_seconds{connector="va",id="va"} 0.0025',
      'peer_ping_timestamp_seconds{connector="va",id="va"} 10',
      'peer_sync_missing{connector="va",sync="nightly",id="nightly"} 7',
      'peer_incoming_requests{endpoint="door",id="door"} 3',
      'peer_va_answers{validation_authority="va 1",id="va 1"} 9',
      'peer_key_binding_online{validation_authority="va 1",key_binding="ocsp 1"} 1',
      'peer_key_binding_expiry_timestamp_seconds{validation_authority="va 1",key_binding="ocsp 1"} 1769904000',
    ]) {
      assert.ok(text.split('\n').includes(line), line);
    }
  });

  it('leave out what is not known, instead of calling it zero', async () => {
    assert.doesNotMatch(
      await renderMetrics(overview),
      /peer_(up|ping_seconds)\{connector="new"|^peer_ocsp_requests\{/m,
    );
  });

  it('begin with the prefix of this package, and hold nothing of the process', async () => {
    const names = [...(await renderMetrics(overview)).matchAll(/^# TYPE (\S+) gauge$/gm)].map(([, name]) => name);
    assert.deepEqual(names, METRIC_NAMES);
    for (const name of METRIC_NAMES) assert.match(name, /^peer_[a-z_]+$/);
    assert.match(METRICS_TYPE, /^text\/plain; version=0\.0\.4/);
  });

  it('keep a name within its quotes, whatever is in it', async () => {
    const name = 'a"} 1\npeer_up{connector="x\\';
    const text = await renderMetrics(
      toOverview({ connectors: [connector('c', { name })], syncs: [], endpoints: [], validationAuthorities: [] }),
    );
    assert.ok(text.includes('peer_pool_max{connector="a\\"} 1\\npeer_up{connector=\\"x\\\\",id="c"} 10'));
    assert.doesNotMatch(text, /^peer_up\{connector="x/m);
  });
});
