/**
 * Rights of an RA request: a generated matrix of what the RA may, what the administrator claims to, and what is asked.
 */
import assert from 'node:assert/strict';
import { ACCESS_RULES } from '../../../lib/auth/access-rules.ts';
import type { AuthenticatedPeer } from '../../../lib/auth/authenticated-peer.ts';
import { intersect, isAuthorized } from '../../../lib/auth/authorize.ts';
import { REQUEST_RULES, rulesForRequest } from '../../../lib/auth/request-rules.ts';
import type { Role } from '../../../lib/auth/role.ts';
import type { PeerErrorCode } from '../../../lib/errors.ts';
import { rightsOf } from '../../../lib/ra/ra-rights.ts';
import { raRole } from '../../helpers/ra-sides.ts';

const RA: AuthenticatedPeer = {
  fingerprint: 'aa'.repeat(20),
  subjectDN: 'CN=va-1,O=Test,C=SE',
  issuerDN: 'CN=Management CA,O=Test,C=SE',
  issuerFingerprint: '',
  serialNumber: '1',
  dnsNames: [],
  notBefore: 0,
  expireDate: Date.now() + 1_000_000,
};
const STRANGER = { ...RA, subjectDN: 'CN=va-2,O=Test,C=SE', fingerprint: 'bb'.repeat(20) };
const TYPES = [...Object.keys(REQUEST_RULES), 'audit', 'constructor', '__proto__', 'toString'];
const RESOURCES = ACCESS_RULES.flatMap(({ path, named }) => (named ? [path, `${path}/A`, `${path}/CN=x/y`] : [path]));

/** A random generator with a seed, so that a failure can be repeated. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

function randomRole(random: () => number): Role {
  const count = Math.floor(random() * 6);
  const rules = Array.from({ length: count }, () => [
    RESOURCES[Math.floor(random() * RESOURCES.length)] ?? '/',
    random() < 0.65 ? 'allow' : 'deny',
  ]);
  return { name: 'random', members: [], rules: Object.fromEntries(rules) };
}

const administrator = (rules: Record<string, unknown>) =>
  ({ subjectDN: 'CN=admin', certificate: '', rules }) as Parameters<typeof rightsOf>[0]['administrator'];

function codeOf(action: () => unknown): PeerErrorCode | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return (error as { code: PeerErrorCode }).code;
  }
}

describe('the intersection of two sides', () => {
  it('allows a resource exactly where both sides do, whatever their rules', () => {
    const random = randomOf(20_261_123);
    for (let i = 0; i < 2_000; i++) {
      const one = Array.from({ length: Math.floor(random() * 3) }, () => randomRole(random));
      const other = Array.from({ length: Math.floor(random() * 3) }, () => randomRole(random));
      const both = intersect(one, other);
      for (const resource of RESOURCES) {
        const expected = isAuthorized(one, resource) && isAuthorized(other, resource);
        assert.equal(isAuthorized([both], resource), expected, JSON.stringify({ i, one, other, resource }));
      }
    }
  });
});

describe('rights of an RA request', () => {
  it('need /ra_master/invoke_api and the rules of the type, and one by name where the type has none', () => {
    for (const type of TYPES) {
      const rules = rulesForRequest(type);
      assert.equal(rules[0], '/ra_master/invoke_api');
      assert.ok(rules.length > 1, type);
    }
    assert.deepEqual(rulesForRequest('__proto__'), ['/ra_master/invoke_api', '/ra_master/request/__proto__']);
  });

  describe('in a matrix of types and sides', () => {
    for (const type of TYPES) {
      const needed = rulesForRequest(type);
      const all = Object.fromEntries(needed.map((rule) => [rule, 'allow'] as const));
      const without = (rule: string) => Object.fromEntries(Object.entries(all).filter(([path]) => path !== rule));

      it(`allow "${type}" only if neither side lacks or denies any of its rules`, () => {
        const rights = rightsOf({ type, administrator: administrator(all) }, [RA], [raRole(all)]);
        for (const rule of needed) assert.equal(rights.rules[rule], 'allow');
        for (const rule of needed) {
          for (const less of [without(rule), { ...all, [rule]: 'deny' as const }]) {
            const lacking = less as Role['rules'];
            for (const [ofRa, ofAdministrator] of [
              [lacking, all],
              [all, lacking],
              // Whatever the RA claims, its own role at the CA is what counts.
              [lacking, { '/': 'allow' }],
            ] as const) {
              const ask = () => rightsOf({ type, administrator: administrator(ofAdministrator) }, [RA], [raRole(ofRa)]);
              assert.equal(codeOf(ask), 'ERR_NOT_AUTHORIZED', JSON.stringify({ type, ofRa, ofAdministrator }));
            }
            const alone = () => rightsOf({ type, administrator: undefined }, [RA], [raRole(lacking)]);
            assert.equal(codeOf(alone), 'ERR_NOT_AUTHORIZED');
          }
        }
      });
    }

    it('never more than either side has, whatever is claimed', () => {
      const random = randomOf(7);
      for (let i = 0; i < 500; i++) {
        const base = { '/ra_master': 'allow', '/ra_functionality': 'allow', '/ca_functionality': 'allow' } as const;
        const role = raRole({ ...base, ...randomRole(random).rules });
        const claimed = { ...base, ...randomRole(random).rules };
        const ask = () => rightsOf({ type: 'enrol', administrator: administrator(claimed) }, [RA], [role]);
        if (codeOf(ask) !== undefined) continue;
        const effective: Role = { name: '', members: [], rules: ask().rules };
        for (const resource of RESOURCES) {
          if (!isAuthorized([effective], resource)) continue;
          assert.ok(isAuthorized([role], resource), resource);
          assert.ok(isAuthorized([{ name: '', members: [], rules: claimed }], resource), resource);
        }
      }
    });
  });

  for (const [what, rules] of [
    ['none', {}],
    ['rules that do not exist', { '/': 'allow', '/root': 'allow' }],
    ['a path with dots', { '/ra_master/../': 'allow' }],
    ['another case', { '/RA_MASTER': 'allow' }],
    ['an encoded path', { '/ra%5fmaster': 'allow' }],
    ['a state that is none', { '/': 'ALLOW' }],
    ['a prototype', JSON.parse('{ "__proto__": "allow" }')],
    ['thousands', Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`/ca/${i}`, 'allow']))],
  ] as [string, Record<string, unknown>][]) {
    it(`are none for an administrator with these rules: ${what}`, () => {
      const ask = () => rightsOf({ type: 'enrol', administrator: administrator(rules) }, [RA], [raRole()]);
      assert.equal(codeOf(ask), 'ERR_NOT_AUTHORIZED');
    });
  }

  it('are none for an RA that no role knows, although it claims everything', () => {
    const ask = () =>
      rightsOf({ type: 'enrol', administrator: administrator({ '/': 'allow' }) }, [STRANGER], [raRole()]);
    assert.equal(codeOf(ask), 'ERR_NOT_AUTHORIZED');
  });

  it('are those that all RAs behind one address have', () => {
    assert.equal(
      codeOf(() => rightsOf({ type: 'enrol', administrator: undefined }, [RA, RA], [raRole()])),
      undefined,
    );
    for (const servers of [
      [RA, STRANGER],
      [STRANGER, RA],
    ]) {
      const ask = () => rightsOf({ type: 'enrol', administrator: undefined }, servers, [raRole()]);
      assert.equal(codeOf(ask), 'ERR_NOT_AUTHORIZED');
    }
  });

  it('are none without a connection, and for a certificate that has expired meanwhile', () => {
    const request = { type: 'enrol', administrator: undefined };
    assert.equal(
      codeOf(() => rightsOf(request, [], [raRole()])),
      'ERR_NOT_AUTHENTICATED',
    );
    const expired = { ...RA, expireDate: Date.now() - 1 };
    assert.equal(
      codeOf(() => rightsOf(request, [expired], [raRole()])),
      'ERR_NOT_AUTHENTICATED',
    );
  });
});
