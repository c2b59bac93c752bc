import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { ACCESS_RULES } from '../../../lib/auth/access-rules.ts';
import { isAuthorized } from '../../../lib/auth/authorize.ts';
import { effectiveRights, parseRoles, rulesOf } from '../../../lib/auth/effective-rules.ts';
import type { Role, RuleState } from '../../../lib/auth/role.ts';
import { createTestPki } from '../../helpers/test-pki.ts';

describe('effective rules', () => {
  const pki = createTestPki();
  const certificate = new X509Certificate(pki.caClient.certificate);
  const members = [{ match: 'commonName', value: 'ca-1', issuer: 'CN=Management CA,O=Test,C=SE' }] as const;
  const role = (name: string, rules: Role['rules']): Role => ({ name, members, rules });
  const verdict = (roles: readonly Role[], path: string) =>
    effectiveRights(roles, certificate).rules.find((rule) => rule.path === path);

  it('name every rule of the table, and named ones below theirs', () => {
    const { rules } = effectiveRights([role('a', { '/ca/Issuing CA 1': 'allow' })], certificate);
    const paths = rules.map(({ path }) => path);
    assert.deepEqual(
      paths.filter((path) => path !== '/ca/Issuing CA 1'),
      ACCESS_RULES.map(({ path }) => path),
    );
    assert.equal(paths[paths.indexOf('/ca/Issuing CA 1') - 1], '/ca');
  });

  it('say from which role and rule each right comes', () => {
    const roles = [role('a', { '/peerpublish': 'allow' }), role('b', { '/peerpublish/writecrl': 'deny' })];
    assert.deepEqual(verdict(roles, '/peerpublish/writecert'), {
      path: '/peerpublish/writecert',
      isAllowed: true,
      role: 'a',
      rule: '/peerpublish',
    });
    assert.deepEqual(verdict(roles, '/peerpublish/writecrl'), {
      path: '/peerpublish/writecrl',
      isAllowed: false,
      role: 'b',
      rule: '/peerpublish/writecrl',
    });
    assert.deepEqual(verdict(roles, '/ca'), { path: '/ca', isAllowed: false, role: '', rule: '' });
  });

  it('give nothing to who belongs to no role', () => {
    const stranger = new X509Certificate(pki.nobody().certificate);
    const { roles, rules } = effectiveRights([role('a', { '/': 'allow' })], stranger);
    assert.deepEqual(roles, []);
    assert.ok(rules.every(({ isAllowed }) => !isAllowed));
  });

  it('never differ from what the endpoint decides, whatever the roles say', () => {
    const paths = ACCESS_RULES.map(({ path }) => path);
    for (let seed = 1; seed <= 200; seed++) {
      const pick = (n: number, of: number): number => (seed * 7919 + n * 104_729) % of;
      const rules = (n: number): Role['rules'] =>
        Object.fromEntries(
          Array.from({ length: 4 }, (_, i) => [
            paths[pick(n * 10 + i, paths.length)] ?? '/',
            (pick(n * 100 + i, 3) === 0 ? 'deny' : 'allow') as RuleState,
          ]),
        );
      const roles = [role('a', rules(1)), role('b', rules(2))];
      for (const { path, isAllowed } of effectiveRights(roles, certificate).rules) {
        assert.equal(isAllowed, isAuthorized(roles, path), `${seed} ${path}`);
      }
    }
  });

  it('take a rule that inherits for none', () => {
    assert.deepEqual(
      rulesOf([
        { path: ' /ca ', state: 'inherit' },
        { path: '/peer', state: 'deny' },
      ]),
      { '/peer': 'deny' },
    );
  });

  describe('refuse', () => {
    const good = { name: 'a', members: [...members], rules: [{ path: '/ca', state: 'allow' }] };
    for (const [what, value, code] of [
      ['what is no list', {}, 'ERR_INVALID_INPUT'],
      ['a role that is a text', ['a'], 'ERR_INVALID_INPUT'],
      ['a role without a name', [{ ...good, name: 1 }], 'ERR_INVALID_INPUT'],
      ['a name that is too long', [{ ...good, name: 'x'.repeat(5_000) }], 'ERR_INVALID_INPUT'],
      ['more roles than anybody has', Array.from({ length: 1_001 }, () => good), 'ERR_INVALID_INPUT'],
      ['an unknown way to match', [{ ...good, members: [{ ...members[0], match: 'shoeSize' }] }], 'ERR_INVALID_INPUT'],
      ['a member without a CA', [{ ...good, members: [{ ...members[0], issuer: '' }] }], 'ERR_INVALID_CONFIG'],
      ['an unknown rule', [{ ...good, rules: [{ path: '/x', state: 'allow' }] }], 'ERR_INVALID_CONFIG'],
      ['an unknown state', [{ ...good, rules: [{ path: '/ca', state: 'perhaps' }] }], 'ERR_INVALID_CONFIG'],
    ] as const) {
      it(what, () => assert.throws(() => parseRoles(value), { code }));
    }
  });
});
