import assert from 'node:assert/strict';
import { ACCESS_RULES, pathsOf } from '../../../lib/auth/access-rules.ts';
import { authorize, caScopeOf, isAuthorized } from '../../../lib/auth/authorize.ts';
import type { Role, RuleState } from '../../../lib/auth/role.ts';
import { isCaInScope } from '../../../lib/x509/ca-scope.ts';

const role = (rules: Record<string, RuleState>, name = 'role'): Role => ({ name, members: [], rules });

describe('authorize', () => {
  it('allows nothing without a role', () => {
    for (const { path } of ACCESS_RULES) assert.equal(isAuthorized([], path), false);
  });

  it('allows nothing to a role without rules', () => {
    for (const { path } of ACCESS_RULES) assert.equal(isAuthorized([role({})], path), false);
  });

  it('hands a rule down to the paths below', () => {
    assert.equal(isAuthorized([role({ '/peerpublish': 'allow' })], '/peerpublish/writecert'), true);
    assert.equal(isAuthorized([role({ '/': 'allow' })], '/ca/CN=Any CA'), true);
  });

  it('does not hand a rule up', () => {
    assert.equal(isAuthorized([role({ '/peerpublish/writecert': 'allow' })], '/peerpublish'), false);
  });

  it('lets the most specific rule of a role decide', () => {
    const rules = role({ '/peerpublish': 'allow', '/peerpublish/writecrl': 'deny' });
    assert.equal(isAuthorized([rules], '/peerpublish/writecert'), true);
    assert.equal(isAuthorized([rules], '/peerpublish/writecrl'), false);
  });

  it('unites roles, and a deny wins over any allow, in every order', () => {
    const allowing = role({ '/': 'allow' });
    const denying = role({ '/ca/Evil CA': 'deny' });
    for (const roles of [
      [allowing, denying],
      [denying, allowing],
    ]) {
      assert.equal(isAuthorized(roles, '/ca/Evil CA'), false);
      assert.equal(isAuthorized(roles, '/ca/Good CA'), true);
    }
  });

  it('names the first missing rule and the roles', () => {
    const roles = [role({ '/peerincoming': 'allow' }, 'CA 1')];
    assert.throws(() => authorize(roles, ['/peerincoming', '/peerpublish/writecert']), {
      code: 'ERR_NOT_AUTHORIZED',
      message: /\/peerpublish\/writecert: .*"CA 1"/,
    });
  });

  it('refuses a resource that is no rule, whatever the path tricks', () => {
    const tricks = [
      '/peerpublish/',
      '/PeerIncoming',
      '/ca/',
      '//',
      '/peerpublish/../peer',
      '/__proto__',
      'peerincoming',
      '',
    ];
    for (const trick of tricks) assert.throws(() => pathsOf(trick), { code: 'ERR_INVALID_CONFIG' }, trick);
  });

  it('takes a name as one segment whatever it contains', () => {
    assert.deepEqual(pathsOf('/ca/CN=a/b'), ['/ca/CN=a/b', '/ca', '/']);
    assert.deepEqual(pathsOf('/cryptotoken/keys/generate/t/1'), [
      '/cryptotoken/keys/generate/t/1',
      '/cryptotoken/keys/generate',
      '/cryptotoken/keys',
      '/cryptotoken',
      '/',
    ]);
  });

  it('decides every rule the same way as a model that walks up the tree', () => {
    const paths = ACCESS_RULES.map((rule) => rule.path);
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed % below;
    };
    for (let round = 0; round < 300; round++) {
      const roles = Array.from({ length: 1 + random(3) }, () =>
        role(
          Object.fromEntries(
            paths.filter(() => random(4) === 0).map((path) => [path, random(2) ? 'allow' : 'deny'] as const),
          ),
        ),
      );
      for (const path of paths)
        assert.equal(isAuthorized(roles, path), model(roles, path), `${path} ${JSON.stringify(roles)}`);
    }
  });

  function model(roles: readonly Role[], path: string): boolean {
    const verdicts = roles.map((each) => {
      for (let at = path; ; at = at.slice(0, at.lastIndexOf('/')) || '/') {
        const state = each.rules[at];
        if (state !== undefined || at === '/') return state;
      }
    });
    return verdicts.includes('allow') && !verdicts.includes('deny');
  }
});

describe('caScopeOf', () => {
  const inScope = (rules: Record<string, RuleState>, issuerDN: string): boolean =>
    isCaInScope(issuerDN, caScopeOf([role(rules)]));

  it('covers every CA with /ca', () => {
    assert.equal(inScope({ '/ca': 'allow' }, 'CN=A,O=x'), true);
  });

  it('covers no CA without a rule', () => {
    assert.equal(inScope({ '/peerpublish': 'allow' }, 'CN=A,O=x'), false);
  });

  it('names a CA by its subject DN or its common name', () => {
    assert.equal(inScope({ '/ca/A': 'allow' }, 'CN=A,O=x'), true);
    assert.equal(inScope({ '/ca/CN=A,O=x': 'allow' }, 'CN=A,O=x'), true);
    assert.equal(inScope({ '/ca/CN=A,O=x': 'allow' }, 'CN=A,O=y'), false);
  });

  it('lets a deny win by either name', () => {
    assert.equal(inScope({ '/ca/A': 'allow', '/ca/CN=A,O=x': 'deny' }, 'CN=A,O=x'), false);
    assert.equal(inScope({ '/ca': 'allow', '/ca/A': 'deny' }, 'CN=A,O=x'), false);
  });

  it('is not fooled by a name of an object', () => {
    assert.equal(inScope({ '/peerincoming': 'allow' }, 'CN=constructor'), false);
    assert.equal(inScope({ '/peerincoming': 'allow' }, '__proto__'), false);
  });
});
