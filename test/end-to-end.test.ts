/**
 * The main job on real input: a CA and a VA, each in a Node-RED of its own. Certificates go in as flow messages on one
 * side and are read back from the disk of the other, byte for byte.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { BASE_PATH } from '../lib/protocol/operations.ts';
import { CERTIFICATE_STATUS, type CertificateData } from '../lib/store/certificate-data.ts';
import { WorkerStore } from '../lib/store/worker-store.ts';
import { readCertificate } from '../lib/x509/certificate.ts';
import { issueCertificate } from '../lib/x509/certificate-builder.ts';
import { readPem, toPem } from '../lib/x509/pem.ts';
import { type FlowNode, type NodeRed, startNodeRed } from './helpers/node-red.ts';
import { authenticatorNode, connectorNode, flowNode } from './helpers/peer-flow.ts';
import { type Credential, createTestPki, daysFromNow, issueRootCa, KEY_MAKERS } from './helpers/test-pki.ts';
import { startVa } from './helpers/va-node-red.ts';

const ISSUED = 3_000;
const BUNDLE_SIZE = 10;
/** How the certificates are told of, in turns: one message each but for the last two. */
const SHAPES = ['pem', 'der', 'object', 'revoked object', 'bundle', 'array'] as const;

const pki = createTestPki();
const TAB: FlowNode = { id: 'tab', type: 'tab', label: 'end to end' };

/** Certificates of one CA with keys of all kinds; few key pairs, so that issuing is quick. */
function issueMany(count: number): readonly Uint8Array[] {
  const issuer = issueRootCa('CN=Issuing CA,O=Test,C=SE');
  const keys = [
    KEY_MAKERS.rsa(),
    ...Array.from({ length: 4 }, KEY_MAKERS.ec),
    ...Array.from({ length: 3 }, KEY_MAKERS.ed25519),
  ];
  const validity = { notBefore: daysFromNow(-1), notAfter: daysFromNow(365) };
  return Array.from({ length: count }, (_, index) =>
    issueCertificate({
      issuer,
      subjectDN: `CN=end entity ${index},O=Test,C=SE`,
      publicKey: keys[index % keys.length] as Credential['privateKey'],
      ...validity,
    }),
  );
}

/** The payloads of a list of certificates, in all shapes in turns; DER travels to the flow as base64. */
function payloadsOf(certificates: readonly Uint8Array[]): readonly object[] {
  const groups: object[] = [];
  for (let at = 0, turn = 0; at < certificates.length; turn++) {
    const shape = SHAPES[turn % SHAPES.length] ?? 'pem';
    const size = shape === 'bundle' || shape === 'array' ? BUNDLE_SIZE : 1;
    groups.push({ shape, pems: certificates.slice(at, at + size).map((der) => toPem(der)) });
    at += size;
  }
  return groups;
}

/** Sends every payload of a file as a message of its own, in its shape. */
const SENDER = `
const der = (pem) => Buffer.from(pem.replace(/-----[^-]+-----|\\s/g, ''), 'base64');
const make = {
  'pem': ([pem]) => pem,
  'der': ([pem]) => der(pem),
  'object': ([certificate]) => ({ certificate, status: 'active', username: 'somebody' }),
  'revoked object': ([certificate]) => ({ certificate, status: 'revoked', revocationReason: 'keyCompromise' }),
  'bundle': (pems) => pems.join('some text\\n'),
  'array': (pems) => pems.map((pem, index) => (index % 2 ? der(pem) : pem)),
};
const groups = JSON.parse(fs.readFileSync(env.get('PAYLOADS'), 'utf8'));
for (const { shape, pems } of groups) node.send({ payload: make[shape](pems) });
`;

/** Counts what became of all messages. */
const COUNTER = `
const sum = context.get('sum') ?? { messages: 0, stored: 0, unchanged: 0, refused: 0, failed: 0, errors: 0 };
sum.messages += 1;
if (msg.error) { sum.errors += 1; sum.lastError = msg.error.message; }
for (const key of ['stored', 'unchanged', 'refused', 'failed']) sum[key] += msg.publish?.[key] ?? 0;
context.set('sum', sum);
if (sum.messages < Number(env.get('MESSAGES'))) return null;
msg.payload = sum;
return msg;
`;

function functionNode(id: string, func: string, wires: readonly string[]): FlowNode {
  const libs = [{ var: 'fs', module: 'fs' }];
  return flowNode(id, 'function', wires, { func, outputs: 1, timeout: 0, initialize: '', finalize: '', libs });
}

function caFlow(port: number): FlowNode[] {
  return [
    TAB,
    authenticatorNode('ca', pki.caClient, pki.managementCa),
    connectorNode('VA', `https://localhost:${port}${BASE_PATH}`),
    flowNode('go', 'inject', ['send'], {
      props: [{ p: 'payload' }],
      repeat: '',
      once: false,
      payload: '',
      payloadType: 'date',
    }),
    functionNode('send', SENDER, ['publish']),
    flowNode('publish', 'peer-publish-cert', ['count'], { connectors: ['VA'] }),
    flowNode('caught', 'catch', ['count'], { scope: null, uncaught: false }),
    functionNode('count', COUNTER, ['result']),
    flowNode('result', 'debug', [], { active: true, tosidebar: true, complete: 'payload', targetType: 'msg' }),
  ];
}

async function allRows(file: string): Promise<readonly CertificateData[]> {
  const store = new WorkerStore({ kind: 'sqlite', file });
  const rows: CertificateData[] = [];
  for (;;) {
    const page = await store.list({ limit: 1_000, ...(rows.length > 0 && { after: rows.at(-1)?.fingerprint ?? '' }) });
    if (page.length === 0) break;
    rows.push(...page);
  }
  await store.close();
  return rows;
}

describe('end to end', function () {
  this.timeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), 'end-to-end-'));
  const running: NodeRed[] = [];
  let certificates: readonly Uint8Array[] = [];
  let groups: readonly object[] = [];

  before(() => {
    const roots = rootCertificates.flatMap((pem) => readPem(pem));
    certificates = [...roots, ...issueMany(ISSUED)];
    groups = payloadsOf(certificates);
    writeFileSync(join(folder, 'payloads.json'), JSON.stringify(groups));
  });

  afterEach(async () => {
    await Promise.all(running.splice(0).map((nodeRed) => nodeRed.stop()));
  });

  after(() => rmSync(folder, { recursive: true }));

  for (const version of [5, 4] as const) {
    it(`loses no certificate between two Node-RED processes, the VA's of version ${version}`, async () => {
      const storeFile = join(folder, `va-${version}.sqlite`);
      const { va, port } = await startVa(pki, { version, storeFile });
      running.push(va);
      const env = { PAYLOADS: join(folder, 'payloads.json'), MESSAGES: String(groups.length) };
      const ca = await startNodeRed({ env });
      running.push(ca);
      await ca.deploy(caFlow(port));
      const start = performance.now();
      await ca.inject('go');
      const { value } = await ca.waitForDebug('result', () => true, 60_000);
      const seconds = (performance.now() - start) / 1_000;
      assert.deepEqual(value, {
        messages: groups.length,
        stored: certificates.length,
        unchanged: 0,
        refused: 0,
        failed: 0,
        errors: 0,
      });
      assert.equal(await va.stop(), 0);
      const verdict = compare(certificates, await allRows(storeFile));
      console.log(
        `      ${certificates.length} certificates in ${groups.length} messages, ${seconds.toFixed(1)} s: ` +
          `${verdict.lost} lost, ${verdict.phantom} phantom, ${verdict.wrong} wrong, ${verdict.revoked} revoked`,
      );
      const revoked = groups.filter((group) => (group as { shape: string }).shape === 'revoked object').length;
      assert.deepEqual(verdict, { lost: 0, phantom: 0, wrong: 0, revoked });
    });
  }
});

/** Lost: not in the store. Phantom: nobody published it. Wrong: other bytes. */
function compare(published: readonly Uint8Array[], rows: readonly CertificateData[]) {
  const expected = new Map(published.map((der) => [readCertificate(der).fingerprint, der]));
  const present = new Set(rows.map(({ fingerprint }) => fingerprint));
  const isWrong = ({ fingerprint, certificate }: CertificateData): boolean => {
    const der = expected.get(fingerprint);
    return der !== undefined && (certificate === null || Buffer.compare(certificate, der) !== 0);
  };
  return {
    lost: [...expected.keys()].filter((fingerprint) => !present.has(fingerprint)).length,
    phantom: rows.length - rows.filter(({ fingerprint }) => expected.has(fingerprint)).length,
    wrong: rows.filter(isWrong).length,
    revoked: rows.filter(({ status }) => status === CERTIFICATE_STATUS.revoked).length,
  };
}
