import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';

const STORE = new URL('../../../lib/store/postgres-store.ts', import.meta.url).href;

/** What a store says in a process in which a package cannot be found. */
function probeWithout(name: string): string {
  const program = `
    import { registerHooks } from 'node:module';
    registerHooks({
      resolve(specifier, context, next) {
        if (specifier === '${name}') throw Object.assign(new Error('gone'), { code: 'ERR_MODULE_NOT_FOUND' });
        return next(specifier, context);
      },
    });
    const { PostgresStore } = await import('${STORE}');
    const server = { host: '127.0.0.1', port: 1, database: 'test', user: 'postgres', password: 'hidden' };
    await new PostgresStore({ kind: 'postgres', ...server }).probe().catch((error) => console.log(error.code, error.message));
  `;
  return execFileSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
    timeout: 20_000,
  });
}

describe('PostgreSQL store without its packages', () => {
  for (const name of ['pg', 'pg-copy-streams']) {
    it(`names ${name} when it is not installed`, () => {
      assert.match(probeWithout(name), new RegExp(`^ERR_INVALID_CONFIG The package '${name}' is not installed`));
    }).timeout(20_000);
  }
});
