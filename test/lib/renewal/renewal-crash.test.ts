/**
 * A renewal whose CA side is killed at each of its steps.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalAuthority } from '../../../lib/authority/local-authority.ts';
import type { KeyBinding } from '../../../lib/keybinding/key-binding.ts';
import { RENEWAL_STEPS } from '../../../lib/renewal/key-binding-renewal.ts';
import { renewKeyBindings } from '../../../lib/renewal/renew-key-bindings.ts';
import { openBinding } from '../../helpers/ocsp-binding.ts';
import { createTestPki, identitySource, issueRootCa } from '../../helpers/test-pki.ts';
import { caRole, startTwoPeers, type TwoPeers } from '../../helpers/two-peers.ts';

describe('renewal whose CA is killed', () => {
  const pki = createTestPki();
  const ca = issueRootCa('CN=Issuing CA 1,O=Test,C=SE');
  let folder: string;
  let binding: KeyBinding;
  let peers: TwoPeers;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'renewal-crash-'));
    binding = await openBinding(folder, [ca]);
    const roles = [caRole({ '/peerincoming': 'allow', '/internalkeybinding': 'allow', '/cryptotoken': 'allow' })];
    peers = await startTwoPeers({ pki, roles, endpoint: { keyBindings: () => [binding] } });
    await renew();
  });

  afterEach(async () => {
    await peers.close();
    await binding.close();
    rmSync(folder, { recursive: true });
  });

  const renew = async () => {
    const authority = new LocalAuthority({
      source: identitySource(ca),
      subjectTemplate: '{{{subjectDN}}}',
      validityMs: 86_400_000,
      endEntityValidityMs: 365 * 86_400_000,
    });
    const task = { client: peers.client, peer: 'VA', authority, newKeyPair: true, onProgress: () => undefined };
    const { failure } = await renewKeyBindings(task, { names: ['ocsp 1'] }, new AbortController().signal);
    assert.equal(failure, undefined);
  };

  for (const step of RENEWAL_STEPS) {
    it(`after "${step}": the VA signs on, and the next renewal takes up where this one ended`, async () => {
      const settings = {
        url: peers.url.href,
        certificate: pki.caClient.certificatePem,
        key: pki.caClient.keyPem,
        trusted: pki.managementCa.certificatePem,
        ca: ca.certificatePem,
        caKey: ca.keyPem,
        stopAt: step,
      };
      const side = fork(new URL('../../helpers/renewal-side.ts', import.meta.url), [JSON.stringify(settings)]);
      const signal = AbortSignal.timeout(10_000);
      await once(side, 'message', { signal });
      const exited = once(side, 'exit', { signal });
      side.kill('SIGKILL');
      await exited;
      const { generation, orphanKeys, nextKey } = binding.facts();
      assert.equal(generation, step === 'delivered' || step === 'activated' ? 2 : 1);
      assert.ok(binding.signer(Date.now()));
      assert.deepEqual(orphanKeys, []);
      await renew();
      const after = binding.facts();
      assert.equal(after.generation, generation + 1);
      assert.deepEqual([after.nextKey, after.orphanKeys], ['', []]);
      if (nextKey !== '') assert.ok(after.retiredKeys.length <= 1);
    });
  }
});
