/**
 * An answer to a publication leaves the endpoint after the row is on disk: shown by the order of its system calls.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RemoteAuthenticator } from '../../../lib/keybinding/remote-authenticator.ts';
import { ConnectionPool } from '../../../lib/pool/connection-pool.ts';
import { PeerClient } from '../../../lib/pool/peer-client.ts';
import { encodeRow } from '../../../lib/store/certificate-row.ts';
import { createTestPki, identitySource } from '../../helpers/test-pki.ts';
import { row } from '../store/rows.ts';

const STRACE = '/usr/bin/strace';
const REQUESTS = 250;
const START_MS = 30_000;
const SIDE = new URL('../../helpers/publish-side.ts', import.meta.url).pathname;

describe(`the endpoint as a process${existsSync(STRACE) ? '' : ' (skipped: no strace)'}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'sync-before-answer-'));
  const pki = createTestPki();
  const ca = { caDer: pki.managementCa.certificate };
  const authenticator = new RemoteAuthenticator(identitySource(pki.caClient), () => [ca]);
  let traced: ChildProcess | undefined;

  after(() => {
    traced?.kill('SIGKILL');
    authenticator.close();
    rmSync(folder, { recursive: true });
  });

  /** undefined = strace may not trace here. */
  const startTraced = async (trace: string) => {
    const { certificatePem: certificate, keyPem: key } = pki.vaServer;
    const settings = {
      file: join(folder, 'va.sqlite'),
      port: 0,
      certificate,
      key,
      ca: pki.managementCa.certificatePem,
    };
    const calls = 'trace=fdatasync,fsync,read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg';
    const options = ['-f', '-qq', '-yy', '-s', '0', '-e', calls, '-o', trace];
    traced = spawn(STRACE, [...options, process.execPath, SIDE, 'va', JSON.stringify(settings)], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    const stop = AbortSignal.timeout(START_MS);
    const [message] = await Promise.race([
      once(traced, 'message', { signal: stop }),
      once(traced, 'exit', { signal: stop }).then(() => [undefined]),
    ]);
    return message as { readonly port: number; readonly pid: number } | undefined;
  };

  it(`syncs after a publication has come and before it answers, ${REQUESTS} times`, async function () {
    this.timeout(2 * START_MS);
    if (!existsSync(STRACE)) this.skip(); // skipped: no strace
    const trace = join(folder, 'trace');
    const started = await startTraced(trace);
    if (started === undefined) this.skip(); // skipped: strace may not trace here
    const url = new URL(`https://localhost:${started.port}`);
    const pool = new ConnectionPool({ url, maxConnections: 1 }, authenticator);
    const client = new PeerClient(pool);
    for (let index = 0; index < REQUESTS; index++) {
      assert.equal((await client.publishCertificates(encodeRow(row(index)), 1)).verdicts, 's');
    }
    process.kill(started.pid, 'SIGKILL');
    await once(traced as ChildProcess, 'exit');
    await pool.close();

    const answers = answersIn(readFileSync(trace, 'utf8'));
    // What comes before the first publication is the handshake.
    const first = answers.indexOf('synced');
    assert.ok(first >= 0 && first <= 4, `${first} writes before the first sync`);
    assert.deepEqual(new Set(answers.slice(first)), new Set(['synced']), 'answered before the sync');
    assert.equal(answers.length - first, REQUESTS);
  });
});

type Written = 'synced' | 'unsynced';

/** Of each write to a TCP connection, whether a sync began after the last reading from one, and had ended. */
function answersIn(trace: string): readonly Written[] {
  const answers: Written[] = [];
  const syncing = new Set<string>();
  let isSynced = false;
  for (const line of trace.split('\n')) {
    const thread = line.slice(0, line.indexOf(' '));
    if (/ (fdatasync|fsync)\(/.test(line)) syncing.add(thread);
    if (/ (fdatasync|fsync)(\(.*| resumed>.*)\) += 0/.test(line) && syncing.delete(thread)) isSynced = true;
    if (!line.includes('<TCP:[')) continue;
    if (/ (read|readv|recvfrom|recvmsg)\(/.test(line) && / = [1-9]\d*$/.test(line)) {
      isSynced = false;
      syncing.clear();
    }
    if (/ (write|writev|sendto|sendmsg)\(/.test(line)) answers.push(isSynced ? 'synced' : 'unsynced');
  }
  return answers;
}
