import assert from 'node:assert/strict';
import { METRIC_NAMES, METRICS_TYPE, renderMetrics } from '../../../lib/overview/metrics.ts';
import { toOverview } from '../../../lib/overview/overview.ts';
import { connector, endpoint, facts, keyBinding, peer, progress, sync, validationAuthority } from './rows.ts';

describe('metrics', () => {
  const lastPing = { roundTripMs: 2.5, at: 10_000, code: '', detail: '' };
  const ocsp = {
    ocspRequests: 9,
    ocspGood: 5,
    ocspRevoked: 2,
    ocspUnknown: 0,
    ocspErrors: 2,
    ocspFromCache: 4,
    ocspSigned: 3,
  };
  const overview = toOverview(
    facts({
      connectors: [connector('va', { lastPing }), connector('new')],
      syncs: [sync('nightly', 'va', { progress: progress({ percent: 40, missing: 7 }) })],
      endpoints: [endpoint('door', [peer('a', { requests: 3 })])],
      validationAuthorities: [
        validationAuthority('public', [keyBinding('signer'), { id: 'x', name: 'x', facts: undefined, error: 'gone' }], {
          ocsp,
        }),
        validationAuthority('crls only'),
      ],
    }),
  );

  it('say the numbers of connectors, synchronisations and endpoints in base units', async () => {
    const text = await renderMetrics(overview);
    for (const line of [
      'peer_pool_in_use{connector="va",id="va"} 1',
      'peer_pool_queued{connector="va",id="va"} 3',
      'peer_ping_seconds{connector="va",id="va"} 0.0025',
      'peer_ping_timestamp_seconds{connector="va",id="va"} 10',
      'peer_sync_missing{connector="va",sync="nightly",id="nightly"} 7',
      'peer_incoming_requests{endpoint="door",id="door"} 3',
      'peer_validation_authority_listening{validation_authority="public",id="public"} 1',
      'peer_ocsp_requests_total{validation_authority="public",id="public"} 9',
      'peer_ocsp_cache_hits_total{validation_authority="public",id="public"} 4',
      'peer_ocsp_certificates_total{validation_authority="public",id="public",status="revoked"} 2',
      'peer_ocsp_certificates_total{validation_authority="public",id="public",status="unknown"} 0',
      'peer_key_binding_online{validation_authority="public",key_binding="signer",id="public node of signer"} 1',
      'peer_key_binding_online{validation_authority="public",key_binding="x",id="public x"} 0',
    ]) {
      assert.ok(text.split('\n').includes(line), line);
    }
  });

  it('leave out what is not known, instead of calling it zero', async () => {
    const text = await renderMetrics(overview);
    assert.doesNotMatch(text, /peer_(up|ping_seconds)\{connector="new"/);
    assert.doesNotMatch(text, /peer_ocsp_\w+\{validation_authority="crls only"/);
    assert.doesNotMatch(text, /peer_key_binding_certificate_expiry_timestamp_seconds\{.*key_binding="x"/);
  });

  it('call what only grows a counter, and its name says so', async () => {
    const types = [...(await renderMetrics(overview)).matchAll(/^# TYPE (\S+) (\w+)$/gm)];
    for (const [, name = '', type] of types) assert.equal(type, name.endsWith('_total') ? 'counter' : 'gauge', name);
  });

  it('begin with the prefix of this package, and hold nothing of the process', async () => {
    const names = [...(await renderMetrics(overview)).matchAll(/^# TYPE (\S+) \w+$/gm)].map(([, name]) => name);
    assert.deepEqual(names, METRIC_NAMES);
    for (const name of METRIC_NAMES) assert.match(name, /^peer_[a-z_]+$/);
    assert.match(METRICS_TYPE, /^text\/plain; version=0\.0\.4/);
  });

  it('keep a name within its quotes, whatever is in it', async () => {
    const name = 'a"} 1\npeer_up{connector="x\\';
    const text = await renderMetrics(toOverview(facts({ connectors: [connector('c', { name })] })));
    assert.ok(text.includes('peer_pool_max{connector="a\\"} 1\\npeer_up{connector=\\"x\\\\",id="c"} 10'));
    assert.doesNotMatch(text, /^peer_up\{connector="x/m);
  });
});
