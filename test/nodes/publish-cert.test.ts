import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import type { PublishReport, PublishRow } from '../../lib/publisher/publish-report.ts';
import { CERTIFICATE_STATUS } from '../../lib/store/certificate-data.ts';
import { WorkerStore } from '../../lib/store/worker-store.ts';
import { readCertificate } from '../../lib/x509/certificate.ts';
import { toPem } from '../../lib/x509/pem.ts';
import type { FlowNode } from '../helpers/node-red.ts';
import { authenticatorNode, connectorNode, flowNode } from '../helpers/peer-flow.ts';
import { type CaughtError, type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { type Credential, createTestPki, issue, issueRootCa } from '../helpers/test-pki.ts';
import { caRole, startTwoPeers, type TwoPeers } from '../helpers/two-peers.ts';

const GARBAGE = '-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n';
const NOBODY_URL = 'https://127.0.0.1:9';

describe('publish-cert node', () => {
  const pki = createTestPki();
  const issuingCa = issueRootCa('CN=Issuing CA,O=Test,C=SE');
  const folder = mkdtempSync(join(tmpdir(), 'publish-'));
  const store = new WorkerStore({ kind: 'sqlite', file: join(folder, 'va.sqlite') });
  let va: TwoPeers;
  const others: TwoPeers[] = [];
  let flow: RuntimeFlow | undefined;

  before(async () => {
    va = await startTwoPeers({ pki, store });
  });

  afterEach(async () => {
    await flow?.close();
    flow = undefined;
    await Promise.all(others.splice(0).map((peers) => peers.close()));
  });

  after(async () => {
    await va.close();
    await store.close();
    rmSync(folder, { recursive: true });
  });

  let serial = 0;
  const endEntity = (): Credential => issue(issuingCa, { subjectDN: `CN=end entity ${++serial},O=Test` });
  const fingerprintOf = ({ certificate }: Credential): string => readCertificate(certificate).fingerprint;

  const nodes = (connectors: Record<string, string>, fields: object = {}): FlowNode[] => [
    authenticatorNode('ca', pki.caClient, pki.managementCa),
    ...Object.entries(connectors).map(([id, url]) => connectorNode(id, url, { ...fields })),
    flowNode('publish', 'peer-publish-cert', ['out'], { connectors: Object.keys(connectors) }),
  ];

  const start = async (connectors: Record<string, string> = { VA: va.url.href }, fields = {}): Promise<RuntimeFlow> => {
    flow = await runFlow(nodes(connectors, fields));
    return flow;
  };

  const otherPeer = async (options: Parameters<typeof startTwoPeers>[0]): Promise<string> => {
    const peers = await startTwoPeers({ pki, ...options });
    others.push(peers);
    return peers.url.href;
  };

  const publish = async (payload: unknown, running?: RuntimeFlow) => {
    const { message, error } = await (running ?? (await start())).send('publish', { payload });
    assert.ok(message, error?.message);
    return { rows: message.payload as PublishRow[], report: message.publish as PublishReport };
  };

  const errorOf = async (payload: unknown, running?: RuntimeFlow): Promise<CaughtError> => {
    const { error } = await (running ?? (await start())).send('publish', { payload });
    assert.ok(error, 'the message was answered');
    return error;
  };

  describe('publishes', () => {
    it('one PEM certificate, byte for byte', async () => {
      const credential = endEntity();
      const { rows } = await publish(credential.certificatePem);
      assert.deepEqual(
        rows.map(({ peer, verdict, code }) => ({ peer, verdict, code })),
        [{ peer: 'the VA', verdict: 'stored', code: '' }],
      );
      const row = await store.findByFingerprint(fingerprintOf(credential));
      assert.deepEqual(Buffer.from(row?.certificate ?? []), Buffer.from(credential.certificate));
    });

    const shapes: Record<string, (many: readonly Credential[]) => unknown> = {
      'a bundle with text around it': (many) => many.map((each) => `subject\n${each.certificatePem}\n`).join(''),
      'a bundle as bytes of a file': (many) => Buffer.from(many.map((each) => each.certificatePem).join('')),
      'an array of PEM texts': (many) => many.map((each) => each.certificatePem),
      'an array of DER buffers': (many) => many.map((each) => Buffer.from(each.certificate)),
      'an array of objects': (many) => many.map((each) => ({ certificate: each.certificatePem, status: 'active' })),
      'an array of all of these': ([a, b, c]) => [a?.certificatePem, b?.certificate, { certificate: c?.certificate }],
    };
    for (const [name, shape] of Object.entries(shapes)) {
      it(name, async () => {
        const many = [endEntity(), endEntity(), endEntity()];
        const { rows, report } = await publish(shape(many));
        assert.deepEqual(
          rows.map((row) => row.fingerprint),
          many.map(fingerprintOf),
        );
        assert.equal(report.stored, 3);
      });
    }

    it('one DER certificate', async () => {
      const { report } = await publish(Buffer.from(endEntity().certificate));
      assert.equal(report.stored, 1);
    });

    it('what a function node made in a realm of its own', async () => {
      const { certificate } = endEntity();
      const script = '({ certificate: Uint8Array.from(octets), status: "revoked", revocationDate: new Date(0) })';
      const { report } = await publish(runInNewContext(script, { octets: [...certificate] }));
      assert.equal(report.stored, 1);
    });

    it('a revocation with date and reason', async () => {
      const credential = endEntity();
      await publish({
        certificate: credential.certificatePem,
        status: 'revoked',
        revocationDate: '2026-01-02T03:04:05Z',
        revocationReason: 'keyCompromise',
      });
      const row = await store.findByFingerprint(fingerprintOf(credential));
      assert.deepEqual(
        [row?.status, row?.revocationDate, row?.revocationReason],
        [CERTIFICATE_STATUS.revoked, Date.UTC(2026, 0, 2, 3, 4, 5), 1],
      );
    });

    it('nothing new the second time, and says so', async () => {
      const running = await start();
      const { certificatePem } = endEntity();
      await publish(certificatePem, running);
      const { report } = await publish(certificatePem, running);
      assert.deepEqual([report.stored, report.unchanged], [0, 1]);
    });

    it('to several peers at once, with a row for each', async () => {
      const second = await otherPeer({
        store: new WorkerStore({ kind: 'sqlite', file: join(folder, 'second.sqlite') }),
      });
      const { rows, report } = await publish(endEntity().certificatePem, await start({ A: va.url.href, B: second }));
      assert.deepEqual(
        rows.map(({ peer, verdict }) => [peer, verdict]),
        [
          ['the A', 'stored'],
          ['the B', 'stored'],
        ],
      );
      assert.deepEqual(report.peers, ['the A', 'the B']);
    });

    it('to the peer that the message names instead of those of the dialog', async () => {
      const running = await start({ A: va.url.href, B: NOBODY_URL });
      const { message } = await running.send('publish', { payload: endEntity().certificatePem, connector: 'the A' });
      assert.deepEqual((message?.publish as PublishReport | undefined)?.peers, ['the A']);
    });

    it('and keeps what other nodes put on the message', async () => {
      const res = { end: () => undefined };
      const { message } = await (await start()).send('publish', {
        payload: endEntity().certificatePem,
        topic: 't',
        res,
      });
      assert.equal(message?.topic, 't');
      assert.equal(message?.res, res);
    });
  });

  describe('tells per certificate and peer', () => {
    it('which peer was away, while the others have it', async () => {
      const running = await start({ A: va.url.href, B: NOBODY_URL });
      const { rows, report } = await publish(endEntity().certificatePem, running);
      assert.deepEqual(
        rows.map(({ peer, verdict, code }) => [peer, verdict, code]),
        [
          ['the A', 'stored', ''],
          ['the B', 'failed', 'ERR_PEER_UNREACHABLE'],
        ],
      );
      assert.equal(report.failed, 1);
    });

    it('which block of a bundle is damaged, while its neighbours are published', async () => {
      const { rows } = await publish(endEntity().certificatePem + GARBAGE + endEntity().certificatePem);
      assert.deepEqual(
        rows.map(({ verdict, code }) => [verdict, code]),
        [
          ['stored', ''],
          ['refused', 'ERR_INVALID_CERTIFICATE'],
          ['stored', ''],
        ],
      );
    });

    it('which certificate the role does not cover', async () => {
      const url = await otherPeer({
        store,
        roles: [caRole({ '/peerincoming': 'allow', '/peerpublish': 'allow', '/ca/Issuing CA': 'allow' })],
      });
      const foreign = issue(issueRootCa('CN=Foreign CA'), { subjectDN: 'CN=foreign' });
      const { rows } = await publish([endEntity().certificatePem, foreign.certificatePem], await start({ VA: url }));
      assert.deepEqual(
        rows.map(({ verdict, code }) => [verdict, code]),
        [
          ['stored', ''],
          ['refused', 'ERR_NOT_AUTHORIZED'],
        ],
      );
    });
  });

  describe('fails', () => {
    for (const [name, payload] of Object.entries({ text: '', space: ' \n', array: [], bytes: Buffer.alloc(0) })) {
      it(`for an empty ${name}`, async () => {
        assert.equal((await errorOf(payload)).code, 'ERR_INVALID_INPUT');
      });
    }

    for (const [name, payload] of Object.entries({
      nothing: undefined,
      null: null,
      number: 7,
      object: {},
      nest: [[]],
    })) {
      it(`for a payload that is no certificate: ${name}`, async () => {
        assert.equal((await errorOf(payload)).code, 'ERR_INVALID_INPUT');
      });
    }

    it('for garbage in PEM armour', async () => {
      assert.equal((await errorOf(GARBAGE)).code, 'ERR_INVALID_CERTIFICATE');
    });

    it('for text that is no PEM', async () => {
      assert.equal((await errorOf('this is not a certificate')).code, 'ERR_INVALID_CERTIFICATE');
    });

    it('for a PEM block that has no end', async () => {
      const { code } = await errorOf(endEntity().certificatePem.slice(0, -20));
      assert.equal(code, 'ERR_INVALID_CERTIFICATE');
    });

    it('for DER that is cut off', async () => {
      const { certificate } = endEntity();
      assert.equal((await errorOf(certificate.subarray(0, 100))).code, 'ERR_INVALID_CERTIFICATE');
    });

    it('for a certificate of 1 MB, as PEM and as DER', async () => {
      const der = Buffer.alloc(1_048_576, 1);
      Buffer.from('3083 0ffffb'.replace(' ', ''), 'hex').copy(der);
      assert.equal((await errorOf(der)).code, 'ERR_TOO_LARGE');
      assert.equal((await errorOf(toPem(der), flow)).code, 'ERR_TOO_LARGE');
    });

    for (const field of [{ status: 'asleep' }, { revocationReason: 'whim' }, { revocationDate: 'yesterday' }]) {
      it(`for ${JSON.stringify(field)}`, async () => {
        const { code, message } = await errorOf({ certificate: endEntity().certificatePem, ...field });
        assert.equal(code, 'ERR_INVALID_INPUT');
        assert.match(message, /asleep|whim|revocationDate/);
      });
    }

    it('for an object that speaks of two certificates', async () => {
      const certificate = endEntity().certificatePem + endEntity().certificatePem;
      assert.equal((await errorOf({ certificate, status: 'revoked' })).code, 'ERR_INVALID_INPUT');
    });

    it('without a connector, and for an unknown one', async () => {
      const running = await start({});
      assert.equal((await errorOf('x', running)).code, 'ERR_PEER_UNKNOWN');
      const { error } = await running.send('publish', { payload: endEntity().certificatePem, connector: ['who?'] });
      assert.equal(error?.code, 'ERR_PEER_UNKNOWN');
    });

    it('at a disabled connector', async () => {
      const running = await start({ VA: va.url.href }, { enabled: false });
      assert.equal((await errorOf(endEntity().certificatePem, running)).code, 'ERR_CONNECTOR_DISABLED');
    });

    it('where nobody listens, with the rows on the message that a Catch node gets', async () => {
      const running = await start({ VA: NOBODY_URL });
      const { caught, error } = await running.send('publish', { payload: endEntity().certificatePem });
      assert.equal(error?.code, 'ERR_PEER_UNREACHABLE');
      assert.deepEqual(
        (caught?.publish as PublishReport | undefined)?.failures.map(({ verdict }) => verdict),
        ['failed'],
      );
    });

    it('when no peer of several could be reached', async () => {
      const running = await start({ A: NOBODY_URL, B: 'https://127.0.0.1:10' });
      assert.equal((await errorOf(endEntity().certificatePem, running)).code, 'ERR_PEER_UNREACHABLE');
    });

    it('at a peer whose role does not allow to publish', async () => {
      const url = await otherPeer({ store, roles: [caRole({ '/peerincoming': 'allow' })] });
      const { code, message } = await errorOf(endEntity().certificatePem, await start({ VA: url }));
      assert.equal(code, 'ERR_NOT_AUTHORIZED');
      assert.match(message, /writecert/);
    });

    it('at a peer without a store', async () => {
      const url = await otherPeer({});
      const { code } = await errorOf(endEntity().certificatePem, await start({ VA: url }));
      assert.equal(code, 'ERR_STORE_UNAVAILABLE');
    });

    it('at a peer whose store file is not a database', async () => {
      const file = join(folder, 'no-database');
      writeFileSync(file, 'not a database '.repeat(500));
      const broken = new WorkerStore({ kind: 'sqlite', file });
      const url = await otherPeer({ store: broken });
      const { code, message } = await errorOf(endEntity().certificatePem, await start({ VA: url }));
      await broken.close();
      // Asked at the handshake already; the peer keeps its paths to itself.
      assert.equal(code, 'ERR_STORE_NOT_A_DATABASE');
      assert.doesNotMatch(message, /no-database/);
    });
  });
});
