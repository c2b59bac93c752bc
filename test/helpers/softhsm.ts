/**
 * Tokens of SoftHSM, a PKCS#11 device made of software.
 *
 * The library reads its configuration once per process, so all tokens of a process are in one folder.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Pkcs11TokenOptions } from '../../lib/keybinding/pkcs11-token.ts';

const LIBRARIES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
];

/** Why no token can be made here; undefined where one can. */
export const missingSoftHsm: string | undefined = whatIsMissing();

const library = LIBRARIES.find((path) => existsSync(path)) ?? '';
let isPrepared = false;
let made = 0;

/** Makes a token that nobody else has; a test says what it wants otherwise. */
export function makeSoftHsmToken(options: Partial<Pkcs11TokenOptions> = {}): Pkcs11TokenOptions {
  if (!isPrepared) prepare();
  const label = `token ${++made}`;
  const pin = options.pin ?? '1234';
  execFileSync('softhsm2-util', ['--init-token', '--free', '--label', label, '--so-pin', '12345678', '--pin', pin]);
  return { name: label, library, slot: { by: 'label', value: label }, pin, keyLabel: 'ocsp 1', ...options };
}

function prepare(): void {
  const folder = mkdtempSync(join(tmpdir(), 'softhsm-'));
  const tokens = join(folder, 'tokens');
  mkdirSync(tokens);
  const file = join(folder, 'softhsm2.conf');
  writeFileSync(file, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  process.env['SOFTHSM2_CONF'] = file;
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  isPrepared = true;
}

function whatIsMissing(): string | undefined {
  if (!LIBRARIES.some((path) => existsSync(path))) return 'no SoftHSM library';
  if (spawnSync('softhsm2-util', ['--version']).error !== undefined) return 'no softhsm2-util';
  try {
    createRequire(import.meta.url)('pkcs11js');
    return undefined;
  } catch {
    return 'pkcs11js was not built';
  }
}
