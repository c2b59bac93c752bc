import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Overview } from '../../lib/overview/overview.ts';
import type { ValidationAuthorityRow } from '../../lib/overview/validation-authority-row.ts';
import { readCertificateInput } from '../../lib/publisher/certificate-input.ts';
import { encodeRow } from '../../lib/store/certificate-row.ts';
import { ALL_CAS } from '../../lib/x509/ca-scope.ts';
import type { CertificateStoreNode } from '../../nodes/certificate-store.ts';
import type { OcspKeyBindingNode } from '../../nodes/ocsp-keybinding.ts';
import { freePort } from '../helpers/node-red.ts';
import { certify } from '../helpers/ocsp-binding.ts';
import { flowNode, keyBindingNode, storeNode } from '../helpers/peer-flow.ts';
import { type Message, type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { makeSoftHsmToken, missingSoftHsm } from '../helpers/softhsm.ts';
import { issue, issueRootCa } from '../helpers/test-pki.ts';

const run = promisify(execFile);
const missingOpenssl = spawnSync('openssl', ['version']).error === undefined ? undefined : 'no openssl';

/** Where the key of a binding is, as fields of its node. */
function deviceFields(folder: string): object {
  const { library, slot, pin } = makeSoftHsmToken();
  const credentials = { passphrase: pin };
  const stateFile = join(folder, 'signer.json');
  return { tokenType: 'pkcs11', library, slotBy: slot.by, slot: slot.value, keyLabel: '', stateFile, credentials };
}

for (const where of ['a file', 'a PKCS#11 device']) {
  describe(`validation-authority node, OCSP with a key in ${where}`, () => {
    const isDevice = where === 'a PKCS#11 device';
    const missing = missingOpenssl ?? (isDevice ? missingSoftHsm : undefined);

    const folder = mkdtempSync(join(tmpdir(), 'va-ocsp-'));
    const ca = issueRootCa('CN=Issuing CA,O=Test,C=SE');
    const user = issue(ca, { subjectDN: 'CN=user,O=Test,C=SE' });
    const caFile = join(folder, 'ca.crt');
    const userFile = join(folder, 'user.crt');
    let flow: RuntimeFlow;
    let port: number;
    /** Has a port that cannot be had. */
    const other = createServer();
    const overviews: ValidationAuthorityRow[] = [];

    before(async function () {
      if (missing !== undefined) {
        console.log(`      skipped: ${missing}`);
        return this.skip();
      }
      writeFileSync(caFile, ca.certificatePem);
      writeFileSync(userFile, user.certificatePem);
      port = await freePort();
      await once(other.listen(0, '127.0.0.1'), 'listening');
      flow = await runFlow([
        storeNode('store', join(folder, 'va.sqlite')),
        keyBindingNode('signer', join(folder, 'signer.p12'), ca, {
          responseValidity: 3_600,
          maxAge: 60,
          ...(isDevice && deviceFields(folder)),
        }),
        flowNode('va', 'peer-validation-authority', ['out'], {
          store: 'store',
          port,
          host: '127.0.0.1',
          crls: false,
          certificates: false,
          keyBindings: ['signer'],
        }),
        flowNode('taken', 'peer-validation-authority', [], {
          store: 'store',
          port: (other.address() as AddressInfo).port,
          host: '127.0.0.1',
          keyBindings: ['gone'],
        }),
        flowNode('overview', 'peer-overview', [], { intervalMs: 250, wires: [['out'], [], ['table']] }),
        flowNode('table', 'helper', []),
      ]);
      flow.node('table').on('input', (message) => {
        const rows = message.payload as readonly ValidationAuthorityRow[];
        overviews.push(...rows.filter(({ id }) => id === 'va'));
      });
      await flow.waitFor(() => (flow.node('signer') as OcspKeyBindingNode).opened(), 'the key binding');
    });

    after(async () => {
      await flow?.close();
      other.close();
      rmSync(folder, { recursive: true, force: true });
    });

    const overview = async (): Promise<Message> => (await flow.send('overview', {})).message as Message;
    const publish = async (object: object): Promise<void> => {
      const [item] = readCertificateInput({ certificate: user.certificatePem, ...object }, Date.now());
      assert.ok(item !== undefined && 'row' in item);
      const store = (flow.node('store') as CertificateStoreNode).store();
      assert.equal((await store.writeRows([encodeRow(item.row)], ALL_CAS)).verdicts, 's');
    };
    /** What OpenSSL makes of the answer; it verifies the signature. */
    const ask = async (path: string): Promise<string> => {
      const parameters = ['ocsp', '-issuer', caFile, '-cert', userFile, '-CAfile', caFile];
      const url = ['-url', `http://127.0.0.1:${port}${path}`];
      const result = await run('openssl', [...parameters, ...url], { timeout: 10_000 }).catch((error) => error);
      return `${result.stdout}${result.stderr}`;
    };

    it('says tryLater as long as its binding has no certificate', async () => {
      assert.match(await ask('/ocsp'), /trylater/i);
    });

    it('answers with the certificate that the binding was given, at each of its paths', async () => {
      await publish({});
      const binding = (flow.node('signer') as OcspKeyBindingNode).opened();
      assert.ok(binding);
      const { certificateRequest } = await binding.request(true);
      assert.equal(await binding.importCertificate([certify(ca, certificateRequest)]), true);
      for (const path of ['/ocsp', '/ejbca/publicweb/status/ocsp', '/']) {
        assert.match(await ask(path), /: good[\s\S]*Response verify OK/, path);
      }
    });

    it('shows a revocation in the next answer, with its reason', async () => {
      await publish({ status: 'revoked', revocationReason: 'keyCompromise' });
      assert.match(await ask('/ocsp'), /: revoked[\s\S]*keyCompromise/);
    });

    it('answers a GET, which caches may keep', async () => {
      const der = execFileSync('openssl', ['ocsp', '-issuer', caFile, '-cert', userFile, '-no_nonce', '-reqout', '-']);
      const path = encodeURIComponent(der.toString('base64'));
      const response = await fetch(`http://127.0.0.1:${port}/ocsp/${path}`);
      assert.equal(response.headers.get('content-type'), 'application/ocsp-response');
      assert.match(response.headers.get('cache-control') ?? '', /max-age=\d+, public, no-transform, must-revalidate/);
    });

    it('tells what it has answered', async () => {
      const { message = {} as Message } = await flow.send('va', { payload: '' });
      const { ocspGood, ocspRevoked, ocspErrors } = message['payload'] as Record<string, number>;
      assert.deepEqual({ ocspGood, ocspRevoked, ocspErrors }, { ocspGood: 3, ocspRevoked: 2, ocspErrors: 1 });
    });

    it('shows where it listens, its key bindings and its counts to the overview', async () => {
      const { validationAuthorities: rows, keyBindings } = (await overview())['overview'] as Overview;
      assert.deepEqual(
        rows.map(({ id, state, address, keyBindingsOnline }) => [id, state, address, keyBindingsOnline]),
        [
          ['taken', 'off', '', 0],
          ['va', 'listening', `127.0.0.1:${port}`, 1],
        ],
      );
      const [taken, va] = rows;
      assert.deepEqual([va?.ocspGood, va?.ocspRevoked, va?.ocspErrors, va?.answers], [3, 2, 1, 6]);
      assert.match(taken?.error ?? '', /cannot be listened on/);
      const [gone, signer] = keyBindings;
      assert.deepEqual([signer?.name, signer?.operational, signer?.status], ['the signer', 'online', 'enabled']);
      assert.ok(Date.parse(signer?.expires ?? '') > Date.now());
      assert.deepEqual([gone?.name, gone?.operational], ['gone', 'unavailable']);
      assert.match(gone?.error ?? '', /No peer-ocsp-keybinding is set/);
    });

    it('still tells its flow of answers that the overview has looked at', async () => {
      flow.outputs.splice(0);
      const polls = setInterval(() => void overview(), 20);
      try {
        await ask('/ocsp');
        await flow.waitFor(() => flow.outputs.find(({ topic }) => topic === 'answers'), 'the counts');
      } finally {
        clearInterval(polls);
      }
    });

    it('is what the third output of peer-overview tells of, by itself', async () => {
      const told = flow.waitFor(() => overviews.find((row) => Number(row?.ocspRequests) >= 8), 'the change');
      await ask('/ocsp');
      assert.equal((await told).name, 'va');
    });

    it('has nothing but OCSP where nothing else is ticked', async () => {
      assert.equal((await fetch(`http://127.0.0.1:${port}/crls/search.cgi?name=x`)).status, 404);
    });
  });
}
