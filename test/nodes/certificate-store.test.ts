import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readCertificateInput } from '../../lib/publisher/certificate-input.ts';
import { encodeRow } from '../../lib/store/certificate-row.ts';
import { ALL_CAS } from '../../lib/x509/ca-scope.ts';
import type { CertificateStoreNode } from '../../nodes/certificate-store.ts';
import { storeNode } from '../helpers/peer-flow.ts';
import { type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';
import { createTestPki } from '../helpers/test-pki.ts';

describe('certificate-store node', () => {
  const pki = createTestPki();
  const folder = mkdtempSync(join(tmpdir(), 'store-node-'));
  let flow: RuntimeFlow | undefined;

  afterEach(async () => {
    await flow?.close();
    flow = undefined;
  });

  after(() => rmSync(folder, { recursive: true }));

  const start = async (file: string): Promise<RuntimeFlow> => {
    flow = await runFlow([storeNode('store', file)]);
    return flow;
  };
  const storeOf = (running: RuntimeFlow) => (running.node('store') as CertificateStoreNode).store();
  const row = (): Uint8Array => {
    const [item] = readCertificateInput(pki.caClient.certificate, Date.now());
    assert.ok(item !== undefined && 'row' in item);
    return encodeRow(item.row);
  };

  it('makes its file', async () => {
    const file = join(folder, 'new.sqlite');
    assert.deepEqual(await storeOf(await start(file)).count(), { total: 0, revoked: 0, withCertificate: 0 });
    assert.ok(existsSync(file));
  });

  it('keeps its rows over a redeploy', async () => {
    const file = join(folder, 'kept.sqlite');
    const running = await start(file);
    await storeOf(running).writeRows([row()], ALL_CAS);
    await running.redeploy([storeNode('store', file)], 'full');
    assert.equal((await storeOf(running).count()).total, 1);
  });

  it('closes within a second, with what was written on disk', async () => {
    const file = join(folder, 'closed.sqlite');
    const running = await start(file);
    const written = storeOf(running).writeRows([row()], ALL_CAS);
    flow = undefined;
    assert.ok((await running.close()) < 1_000);
    assert.equal((await written).verdicts, 's');
    assert.equal((await storeOf(await start(file)).count()).total, 1);
  });

  it('no longer works once it is closed', async () => {
    const running = await start(join(folder, 'gone.sqlite'));
    const store = storeOf(running);
    flow = undefined;
    await running.close();
    await assert.rejects(store.count(), { code: 'ERR_STORE_UNAVAILABLE' });
  });

  const errorAt = async (file: string, code: string): Promise<string> => {
    const running = await start(file);
    await assert.rejects(storeOf(running).count(), { code });
    return running.waitFor(() => running.logged().find((line) => line.includes(file)), 'the error in the log');
  };

  it('says at the deploy that its file is not a database', async () => {
    const file = join(folder, 'text');
    writeFileSync(file, 'this is not a database '.repeat(100));
    await errorAt(file, 'ERR_STORE_NOT_A_DATABASE');
  });

  it('does not touch a file that is not a database', async () => {
    const file = join(folder, 'letter');
    const text = 'a letter to somebody '.repeat(100);
    writeFileSync(file, text);
    await errorAt(file, 'ERR_STORE_NOT_A_DATABASE');
    const { readFileSync } = await import('node:fs');
    assert.equal(readFileSync(file, 'utf8'), text);
  });

  it('says at the deploy that its file is a folder', async () => {
    const file = join(folder, 'folder');
    mkdirSync(file);
    await errorAt(file, 'ERR_STORE_UNAVAILABLE');
  });

  it('says at the deploy that its folder is a file', async () => {
    writeFileSync(join(folder, 'plain'), '');
    await errorAt(join(folder, 'plain', 'va.sqlite'), 'ERR_STORE_UNAVAILABLE');
  });

  it('can be used once what was in its way has gone', async () => {
    const file = join(folder, 'later');
    mkdirSync(file);
    const running = await start(file);
    await assert.rejects(storeOf(running).count(), { code: 'ERR_STORE_UNAVAILABLE' });
    rmSync(file, { recursive: true });
    assert.equal((await storeOf(running).count()).total, 0);
  });

  it('cannot be used without a file', async () => {
    const running = await start(' ');
    assert.match(running.logged().join('\n'), /has no file/);
    assert.throws(() => storeOf(running), { code: 'ERR_INVALID_CONFIG' });
  });

  it('is no store of a kind it does not know', async () => {
    flow = await runFlow([{ ...storeNode('store', 'x.sqlite'), kind: 'oracle' }]);
    assert.match(flow.logged().join('\n'), /"oracle" is not a kind of certificate store/);
    assert.throws(() => storeOf(flow as RuntimeFlow), { code: 'ERR_INVALID_CONFIG' });
  });

  it('refuses a file it may not read', async function () {
    if (process.getuid?.() === 0) this.skip();
    const file = join(folder, 'forbidden');
    writeFileSync(file, '');
    chmodSync(file, 0);
    await errorAt(file, 'ERR_STORE_UNAVAILABLE');
  });
});
