/**
 * A renewal that is killed at each of its steps, and at random moments, on the side of the VA.
 *
 * `BINDING_CRASH_ROUNDS=100` makes it as long as a release wants it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Pkcs11TokenOptions } from '../../../lib/keybinding/pkcs11-token.ts';
import { STEPS } from '../../helpers/binding-side.ts';
import { certify, openBinding } from '../../helpers/ocsp-binding.ts';
import { makeSoftHsmToken, missingSoftHsm } from '../../helpers/softhsm.ts';
import { issueRootCa } from '../../helpers/test-pki.ts';
import { waitFor } from '../../helpers/wait-for.ts';
import { chance } from '../store/rows.ts';

const ROUNDS = Number(process.env['BINDING_CRASH_ROUNDS'] ?? 8);

for (const [where, missing] of [
  ['in a file', undefined],
  ['in a PKCS#11 device', missingSoftHsm],
] as const) {
  describe(`key binding ${where} under kill -9`, () => {
    const ca = issueRootCa('CN=Issuing CA 1,O=Test,C=SE');
    const notBefore = Math.floor(Date.now() / 1_000) * 1_000 - 3_600_000;
    const template = { notBefore: new Date(notBefore) };
    let folder: string;
    let device: Pkcs11TokenOptions | undefined;
    const children: ChildProcess[] = [];

    before(function () {
      if (missing === undefined) return;
      console.log(`      skipped: ${missing}`);
      this.skip();
    });

    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'binding-crash-'));
      device = where === 'in a file' ? undefined : makeSoftHsmToken();
    });

    afterEach(() => {
      for (const child of children.splice(0)) child.kill('SIGKILL');
      rmSync(folder, { recursive: true });
    });

    const open = () => openBinding(folder, [ca], { name: 'ocsp 1', device });
    const startSide = (stopAt: string): { readonly child: ChildProcess; readonly steps: string[] } => {
      const settings = {
        folder,
        device,
        ca: ca.certificatePem,
        caKey: ca.keyPem,
        notBefore,
        stopAt,
      };
      const child = fork(new URL('../../helpers/binding-side.ts', import.meta.url), [JSON.stringify(settings)], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      children.push(child);
      const steps: string[] = [];
      child.on('message', ({ step }: { step: string }) => steps.push(step));
      return { child, steps };
    };
    const kill = async (child: ChildProcess): Promise<void> => {
      assert.equal(child.exitCode, null);
      child.kill('SIGKILL');
      await once(child, 'exit');
    };

    /** Whatever happened: it opens, signs if it had a certificate, lists at most one orphan, and can be renewed. */
    const checkWhatIsLeft = async (hadCertificate: boolean, note: string): Promise<void> => {
      const binding = await open();
      const { orphanKeys } = binding.facts();
      assert.ok(orphanKeys.length <= 1, `${orphanKeys.length} orphans, ${note}`);
      assert.equal(binding.signer(Date.now()) !== undefined, hadCertificate, note);
      const { certificateRequest } = await binding.request(true);
      assert.deepEqual(binding.facts().orphanKeys, [], note);
      await binding.importCertificate([certify(ca, certificateRequest, template)]);
      assert.ok(binding.signer(Date.now()), note);
      await binding.close();
      const left = readdirSync(folder).filter((name) => !name.endsWith('.new'));
      assert.deepEqual(left.sort(), ['ocsp 1.json', ...(device === undefined ? ['ocsp 1.p12'] : [])], note);
    };

    for (const step of STEPS) {
      it(`step: ${step}`, async () => {
        const first = await open();
        const { certificateRequest } = await first.request(true);
        await first.importCertificate([certify(ca, certificateRequest, template)]);
        await first.close();
        const { child, steps } = startSide(step);
        await waitFor({ look: () => steps.includes(step) || undefined, what: step, timeoutMs: 10_000 });
        await kill(child);
        await checkWhatIsLeft(true, step);
      });
    }

    // A device is not killed with who uses it. SoftHSM is, and loses a token that it was just writing.
    if (where === 'in a PKCS#11 device') return;

    it(`random moments, ${ROUNDS} rounds`, async function () {
      this.timeout(20_000 + ROUNDS * 3_000);
      const seed = Date.now() % 1_000_000;
      const random = chance(seed);
      let hadCertificate = false;
      for (let round = 0; round < ROUNDS; round++) {
        const { child, steps } = startSide('');
        await waitFor({ look: () => steps[0], what: 'the first step', timeoutMs: 10_000 });
        await delay(random(150));
        await kill(child);
        hadCertificate ||= steps.includes('switch written');
        const binding = await open();
        // The switch may have reached the disk without its message having reached this process.
        hadCertificate ||= binding.facts().generation > 0;
        await binding.close();
        await checkWhatIsLeft(hadCertificate, `round ${round}, seed ${seed}`);
        hadCertificate = true;
      }
    });
  });
}
