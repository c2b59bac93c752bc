import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { KeyBinding } from '../../lib/keybinding/key-binding.ts';
import { readCertificateInput } from '../../lib/publisher/certificate-input.ts';
import type { RenewalRow } from '../../lib/renewal/renew-key-bindings.ts';
import { CborWriter } from '../../lib/store/cbor.ts';
import { toColumns, writeRow } from '../../lib/store/certificate-row.ts';
import { WorkerStore } from '../../lib/store/worker-store.ts';
import { ALL_CAS } from '../../lib/x509/ca-scope.ts';
import { readPemBlock, toPem } from '../../lib/x509/pem.ts';
import type { OcspKeyBindingNode } from '../../nodes/ocsp-keybinding.ts';
import { startEjbcaRest } from '../helpers/ejbca-rest.ts';
import { type FlowNode, freePort } from '../helpers/node-red.ts';
import { certify } from '../helpers/ocsp-binding.ts';
import {
  authenticatorNode,
  authorityNode,
  connectorNode,
  endpointNode,
  flowNode,
  keyBindingNode,
  roleNode,
} from '../helpers/peer-flow.ts';
import { type Message, type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { createTestPki, issueRootCa, writePemFiles } from '../helpers/test-pki.ts';

const RULES = ['/peerincoming', '/internalkeybinding', '/cryptotoken'];
const allow = (paths: readonly string[]) => paths.map((path) => ({ path, state: 'allow' }));

describe('renew-keybinding node', () => {
  const pki = createTestPki();
  const ca = issueRootCa('CN=Issuing CA 1,O=Test,C=SE');
  let folder: string;
  let flow: RuntimeFlow | undefined;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'renew-node-'));
  });

  afterEach(async () => {
    await flow?.close();
    flow = undefined;
    rmSync(folder, { recursive: true });
  });

  interface Options {
    readonly authority?: Readonly<Record<string, unknown>>;
    readonly renew?: Readonly<Record<string, unknown>>;
    readonly binding?: Readonly<Record<string, unknown>>;
    readonly rules?: readonly string[];
    readonly others?: readonly FlowNode[];
  }

  const nodesOf = async ({ authority, renew, binding, rules = RULES, others = [] }: Options) => {
    const port = await freePort();
    const pem = writePemFiles(folder, 'issuing-ca', ca);
    return [
      authenticatorNode('ca', pki.caClient, pki.managementCa),
      authenticatorNode('va', pki.vaServer, pki.managementCa),
      keyBindingNode('binding', join(folder, 'ocsp.p12'), ca, { name: 'ocsp 1', ...binding }),
      roleNode('role', { rules: allow(rules) }),
      endpointNode('endpoint', port, { store: '', keyBindings: ['binding'] }),
      connectorNode('VA', `https://localhost:${port}`),
      authorityNode('issuer', authority ?? { kind: 'pem-files', ...pem }),
      flowNode('renew', 'peer-renew-keybinding', [], {
        connector: 'VA',
        authority: 'issuer',
        expiresWithin: 7,
        newKeyPair: true,
        wires: [['out'], ['orders']],
        ...renew,
      }),
      flowNode('orders', 'helper', []),
      ...others,
    ];
  };
  const start = async (options: Options = {}): Promise<RuntimeFlow> => {
    const running = await runFlow(await nodesOf(options));
    flow = running;
    if (options.binding?.['tokenFile'] === undefined) {
      await running.waitFor(() => bindingNode().opened(), 'the token to open');
    }
    // The endpoint listens a moment after the flows have started.
    await running.waitFor(
      () => (running.node('endpoint') as unknown as { port(): number | undefined }).port(),
      'the endpoint to listen',
    );
    return running;
  };
  const bindingNode = () => flow?.node('binding') as unknown as OcspKeyBindingNode;
  const binding = (): KeyBinding => {
    const opened = bindingNode().opened();
    assert.ok(opened);
    return opened;
  };
  const rowsOf = (message: Message | undefined) => message?.['payload'] as readonly RenewalRow[];
  /** Answers orders as step-ca or Vault would. */
  const issueInFlow = (answer: (order: Message) => Record<string, unknown>): void => {
    flow?.node('orders').on('input', (message) => {
      flow?.node('renew').receive(answer(message as never) as never);
    });
  };

  it('lists the bindings of the peer as a table of plain values', async () => {
    const { message } = await (await start()).send('renew', { payload: 'list' });
    const [row] = (message?.['payload'] ?? []) as readonly Record<string, unknown>[];
    assert.deepEqual([row?.['peer'], row?.['name'], row?.['cryptoToken']], ['the VA', 'ocsp 1', 'ocsp']);
    assert.deepEqual([row?.['operational'], row?.['canRenew']], ['pending', true]);
    assert.ok(Object.values(row ?? {}).every((value) => typeof value !== 'object'));
  });

  it('renews what is due, step by step, and the binding signs', async () => {
    const running = await start();
    const { message } = await running.send('renew', { payload: Date.now() });
    assert.deepEqual(
      rowsOf(message).map(({ name, outcome }) => [name, outcome]),
      [['ocsp 1', 'renewed']],
    );
    assert.deepEqual(message?.['renewal'], { peer: 'the VA', renewed: 1, failed: 0, unchanged: 0 });
    const steps = running.outputs.filter(({ topic }) => topic === 'progress');
    assert.deepEqual(
      steps.map(({ payload }) => (payload as { step: string }).step),
      ['key', 'csr', 'issued', 'delivered', 'activated'],
    );
    assert.ok(binding().signer(Date.now()));
    assert.equal(statSync(join(folder, 'ocsp.p12')).mode & 0o777, 0o600);
    assert.ok(existsSync(join(folder, 'ocsp.p12.json')));
  });

  it('leaves what is not due, and renews it by its name', async () => {
    const running = await start();
    await running.send('renew', { payload: '' });
    const again = await running.send('renew', { payload: '' });
    assert.equal(rowsOf(again.message)[0]?.outcome, 'unchanged');
    for (const keyBindings of ['ocsp 1', ['ocsp 1']]) {
      const { message } = await running.send('renew', { payload: '', keyBindings });
      assert.equal(rowsOf(message)[0]?.outcome, 'renewed');
    }
    assert.equal(binding().facts().generation, 3);
  });

  it('keeps the key where the message says so', async () => {
    const running = await start();
    await running.send('renew', { payload: '' });
    const key = binding().signer(Date.now())?.key;
    await running.send('renew', { keyBindings: 'ocsp 1', newKeyPair: false });
    assert.equal(binding().signer(Date.now())?.key, key);
  });

  it('has an EJBCA issue', async () => {
    const ejbca = await startEjbcaRest(pki, ca);
    const authority = {
      kind: 'ejbca',
      url: ejbca.url.href,
      authenticator: 'ca',
      caName: 'IssuingCA1',
      certificateProfile: 'OCSP Signer',
      endEntityProfile: 'OCSP Signers',
      username: '{{peer}}-{{name}}',
    };
    try {
      const { message } = await (await start({ authority })).send('renew', { payload: '' });
      assert.equal(rowsOf(message)[0]?.outcome, 'renewed');
      assert.equal(ejbca.issued[0]?.['username'], 'the VA-ocsp 1');
    } finally {
      ejbca.close();
    }
  });

  describe('whose CA is the flow', () => {
    const authority = { kind: 'flow', timeout: 1 };
    const certificateFor = (order: Message): Uint8Array =>
      certify(ca, readPemBlock(String(order['payload']), 'CERTIFICATE REQUEST'));

    it('sends the request out and takes the certificate back', async () => {
      const running = await start({ authority });
      issueInFlow((order) => ({ ...order, payload: toPem(certificateFor(order)) }));
      const { message } = await running.send('renew', { payload: '' });
      assert.equal(rowsOf(message)[0]?.outcome, 'renewed');
    });

    it('fails with the error of the flow', async () => {
      const running = await start({ authority });
      issueInFlow((order) => ({ ...order, error: { message: 'closed on Sundays' } }));
      const { error } = await running.send('renew', { payload: '' });
      assert.equal(error?.code, 'ERR_NOT_ISSUED');
      assert.match(error?.message ?? '', /closed on Sundays/);
    });

    it('fails at the deadline; what comes later is told to whoever sent it', async () => {
      const running = await start({ authority });
      let order: Message | undefined;
      running.node('orders').on('input', (message) => {
        order = message as never;
      });
      const { error } = await running.send('renew', { payload: '' });
      assert.equal(error?.code, 'ERR_PEER_TIMEOUT');
      const late = await running.send('renew', { payload: 'x', renewal: order?.['renewal'] });
      assert.equal(late.error?.code, 'ERR_INVALID_INPUT');
      assert.equal(binding().signer(Date.now()), undefined);
    });

    it('closes at once while a certificate is waited for', async () => {
      const running = await start({ authority: { kind: 'flow', timeout: 600 } });
      void running.send('renew', { payload: '' }).catch(() => undefined);
      await delay(300);
      flow = undefined;
      assert.ok((await running.close()) < 1_500);
    });
  });

  it('keeps the binding over a deploy', async () => {
    const options = {};
    const running = await start(options);
    await running.send('renew', { payload: '' });
    const { serialNumber } = binding().facts();
    await running.redeploy(await nodesOf(options), 'full');
    await running.waitFor(() => bindingNode().opened(), 'the token to open again');
    assert.equal(binding().facts().serialNumber, serialNumber);
  });

  it('signs nothing any more once the store knows the certificate as revoked', async function () {
    this.timeout(30_000);
    const file = join(folder, 'va.sqlite');
    const store: FlowNode = { id: 'store', type: 'peer-certificate-store', name: 's', kind: 'sqlite', file };
    const running = await start({ binding: { store: 'store' }, others: [store] });
    await running.send('renew', { payload: '' });
    const signer = binding().signer(Date.now());
    assert.ok(signer);
    const input = { certificate: toPem(signer.certificate), status: 'revoked', revocationReason: 'keyCompromise' };
    const [item] = readCertificateInput(input, Date.now());
    assert.ok(item && 'row' in item);
    const writer = new CborWriter();
    writeRow(writer, toColumns(item.row));
    const other = new WorkerStore({ kind: 'sqlite', file });
    await other.writeRows([writer.take()], ALL_CAS);
    await other.close();
    await running.waitFor(
      () => binding().facts().status === 'revoked' || undefined,
      'the revocation to be noticed',
      15_000,
    );
    assert.equal(binding().signer(Date.now()), undefined);
  });

  describe('refuses', () => {
    for (const missing of ['/peerincoming', '/internalkeybinding', '/cryptotoken']) {
      it(`without ${missing}, and names the rule`, async () => {
        const running = await start({ rules: RULES.filter((rule) => rule !== missing) });
        const { error } = await running.send('renew', { keyBindings: 'ocsp 1' });
        assert.equal(error?.code, 'ERR_NOT_AUTHORIZED');
        assert.ok(error?.message.includes(missing), error?.message);
      });
    }

    const cases: [string, Options, Record<string, unknown>, string][] = [
      ['a name that the peer does not have', {}, { keyBindings: ['ocsp 9'] }, 'ERR_KEY_BINDING_UNKNOWN'],
      ['names that are none', {}, { keyBindings: [1] }, 'ERR_INVALID_INPUT'],
      ['no names', {}, { keyBindings: [] }, 'ERR_INVALID_INPUT'],
      ['a connector that is not there', {}, { connector: 'gone' }, 'ERR_PEER_UNKNOWN'],
      ['a CA that is not set', { renew: { authority: '' } }, {}, 'ERR_INVALID_CONFIG'],
      ['a time that is none', { renew: { expiresWithin: 'soon' } }, {}, 'ERR_INVALID_CONFIG'],
      ['a kind of CA that is none', { authority: { kind: 'oracle' } }, {}, 'ERR_INVALID_CONFIG'],
      [
        'a CA key that is gone',
        { authority: { kind: 'pkcs12-file', pkcs12File: '/none' } },
        {},
        'ERR_IDENTITY_UNREADABLE',
      ],
      [
        'an EJBCA that is not https',
        { authority: { kind: 'ejbca', url: 'http://localhost' } },
        {},
        'ERR_INVALID_CONFIG',
      ],
      ['a certificate that nobody asked for', {}, { payload: 'x', renewal: { id: 'x' } }, 'ERR_INVALID_INPUT'],
    ];
    for (const [what, options, message, code] of cases) {
      it(`${what} with ${code}`, async () => {
        const { error } = await (await start(options)).send('renew', { payload: '', ...message });
        assert.equal(error?.code, code, error?.message);
      });
    }
  });

  describe('ocsp-keybinding node', () => {
    const openFailing = async (binding: Record<string, unknown>): Promise<RuntimeFlow> => {
      flow = await runFlow([keyBindingNode('binding', join(folder, 'ocsp.p12'), ca, { name: 'ocsp 1', ...binding })]);
      return flow;
    };
    for (const [what, fields, words] of [
      ['no file', { tokenFile: '' }, /has no file/],
      ['no name', { name: ' ' }, /has no name/],
      ['no passphrase', { credentials: { passphrase: '' } }, /has no passphrase/],
      ['no CA', { cas: [] }, /serves no CA/],
      ['a CA file that is gone', { cas: [{ source: 'file', value: '/none.pem' }] }, /none\.pem cannot be read/],
      ['a key algorithm that is none', { algorithm: 'RSA-512' }, /"RSA-512" is not a key algorithm/],
      ['a validity that is none', { responseValidity: 'long' }, /Response validity/],
      ['an answer that is none', { nonExisting: 'maybe' }, /"maybe" is not an answer/],
    ] as const) {
      it(`with ${what} says so at deploy`, async () => {
        const running = await openFailing(fields);
        await running.waitFor(() => running.logged().find((line) => words.test(line)), 'the log');
        assert.equal(bindingNode().opened(), undefined);
      });
    }

    for (const [what, fields, words] of [
      ['a kind of token that is none', { tokenType: 'usb' }, /"usb" is no kind of crypto token/],
      ['no library', { library: '' }, /has no library/],
      ['no slot', { slot: ' ' }, /has no slot/],
      ['slots that go by nothing', { slotBy: 'colour' }, /do not go by "colour"/],
      ['no state file', { stateFile: '' }, /has no state file/],
      ['no authentication code', { credentials: { passphrase: '' } }, /has no authentication code/],
      ['a library that is not there', { library: '/none.so' }, /none\.so cannot be loaded|not installed/],
    ] as const) {
      it(`in a device with ${what} says so at deploy`, async () => {
        const device = { tokenType: 'pkcs11', library: '/none.so', slotBy: 'label', slot: 'x', stateFile: 'x.json' };
        const running = await openFailing({ ...device, ...fields });
        await running.waitFor(() => running.logged().find((line) => words.test(line)), 'the log');
        assert.equal(bindingNode().opened(), undefined);
      });
    }

    it('whose token is not there is listed as offline, and opens by itself when it comes', async () => {
      const tokenFile = join(folder, 'mounted later');
      mkdirSync(tokenFile);
      const running = await start({ binding: { tokenFile } });
      const { message } = await running.send('renew', { payload: 'list' });
      const [row] = (message?.['payload'] ?? []) as readonly Record<string, unknown>[];
      assert.deepEqual([row?.['name'], row?.['operational'], row?.['canRenew']], ['ocsp 1', 'offline', false]);
      const { error } = await running.send('renew', { payload: '', keyBindings: 'ocsp 1' });
      assert.equal(error?.code, 'ERR_CRYPTO_TOKEN_UNAVAILABLE');
      rmdirSync(tokenFile);
      await running.waitFor(() => bindingNode().opened(), 'the token to open', 15_000);
      const again = await running.send('renew', { payload: '', keyBindings: 'ocsp 1' });
      assert.equal(rowsOf(again.message)[0]?.outcome, 'renewed');
    }).timeout(20_000);

    it('with the wrong passphrase says so, without quoting it', async () => {
      const running = await start();
      await running.send('renew', { payload: '' });
      await running.close();
      const again = await openFailing({ credentials: { passphrase: 'hunter2' } });
      const line = await again.waitFor(() => again.logged().find((text) => text.includes('passphrase')), 'the log');
      assert.equal(bindingNode().opened(), undefined);
      assert.doesNotMatch(line, /hunter2/);
    });
  });
});
