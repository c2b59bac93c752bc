/**
 * A PostgreSQL server of a test's own, to be stopped and started at will.
 */
import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PostgresConfig } from '../../../lib/store/postgres-connection.ts';

const ROOT = '/usr/lib/postgresql';
const TIMEOUT_MS = 60_000;

/** Where the programs of the server are; undefined = it is not installed, or cannot be run by this user. */
function binaries(): string | undefined {
  if (process.getuid?.() !== 0 || !existsSync(ROOT)) return undefined;
  const versions = readdirSync(ROOT).sort((a, b) => Number(b) - Number(a));
  return versions.map((version) => join(ROOT, version, 'bin')).find((bin) => existsSync(join(bin, 'initdb')));
}

/** Why no server can be started; undefined = it can. */
export function reasonForNoCluster(): string | undefined {
  return binaries() === undefined ? 'no initdb, or not root' : undefined;
}

/** A data directory and the server over it. */
export class PostgresCluster {
  readonly config: PostgresConfig;
  readonly #folder: string;
  #disk: string | undefined;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.config = { kind: 'postgres', host: '127.0.0.1', port, database: 'postgres', user: 'postgres', password: '' };
  }

  static async create(): Promise<PostgresCluster> {
    const folder = mkdtempSync(join(tmpdir(), 'postgres-cluster-'));
    const [uid = 0, gid = 0] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'postgres'])));
    chownSync(folder, uid, gid);
    const cluster = new PostgresCluster(folder, await freePort());
    cluster.#run('initdb', '-D', join(folder, 'data'), '-A', 'trust', '-E', 'UTF8', '--no-locale', '-N');
    return cluster;
  }

  start(): void {
    const options = `-p ${this.config.port} -k ${this.#folder} -c listen_addresses=127.0.0.1 -c max_connections=20`;
    this.#run(
      'pg_ctl',
      '-D',
      join(this.#folder, 'data'),
      '-w',
      '-l',
      join(this.#folder, 'log'),
      '-o',
      options,
      'start',
    );
  }

  /** As in a power cut: nothing is written any more. */
  stop(): void {
    this.#run('pg_ctl', '-D', join(this.#folder, 'data'), '-m', 'immediate', '-w', 'stop');
  }

  /** A folder on a small disk for a tablespace; undefined = this user may not mount. */
  smallDisk(): string | undefined {
    const disk = join(this.#folder, 'disk');
    mkdirSync(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=0777', 'tmpfs', disk], { stdio: 'pipe' });
    } catch {
      return undefined;
    }
    this.#disk = disk;
    execFileSync('chown', ['postgres', disk]);
    execFileSync('chmod', ['0700', disk]);
    return disk;
  }

  drop(): void {
    if (existsSync(join(this.#folder, 'data', 'postmaster.pid'))) this.stop();
    if (this.#disk !== undefined) execFileSync('umount', ['-l', this.#disk]);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #run(program: string, ...parameters: readonly string[]): void {
    const command = [join(binaries() ?? '', program), ...parameters];
    execFileSync('runuser', ['-u', 'postgres', '--', ...command], { stdio: 'ignore', timeout: TIMEOUT_MS, cwd: '/' });
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
