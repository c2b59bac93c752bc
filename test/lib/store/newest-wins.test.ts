import assert from 'node:assert/strict';
import { CERTIFICATE_STATUS, type CertificateData } from '../../../lib/store/certificate-data.ts';
import { rowDigest, toColumns } from '../../../lib/store/certificate-row.ts';
import { isPermanentlyRevoked, replaces } from '../../../lib/store/newest-wins.ts';
import { chance, ON_HOLD, REVOKED, row } from './rows.ts';

const ACTIVE = { status: 20, revocationReason: -1, revocationDate: -1 } as const;
const states = { active: ACTIVE, 'on hold': ON_HOLD, revoked: REVOKED, unheld: { ...ACTIVE, revocationReason: 8 } };
type Name = keyof typeof states;

function wins(incoming: Partial<CertificateData>, standing: Partial<CertificateData>): boolean {
  return replaces(toColumns(row(1, incoming)), toColumns(row(1, standing)));
}

describe('newest wins', () => {
  const table: readonly (readonly [Name, number, Name, number, boolean])[] = [
    ['active', 2, 'active', 1, true],
    ['active', 1, 'active', 2, false],
    ['on hold', 2, 'active', 1, true],
    ['active', 2, 'on hold', 1, true],
    ['unheld', 2, 'on hold', 1, true],
    ['unheld', 1, 'on hold', 2, false],
    ['revoked', 1, 'active', 2, true],
    ['revoked', 1, 'on hold', 2, true],
    ['active', 9, 'revoked', 1, false],
    ['on hold', 9, 'revoked', 1, false],
    ['unheld', 9, 'revoked', 1, false],
    ['revoked', 2, 'revoked', 1, true],
    ['revoked', 1, 'revoked', 2, false],
  ];
  for (const [incoming, at, standing, since, expected] of table) {
    it(`${incoming} of ${at} ${expected ? 'replaces' : 'does not replace'} ${standing} of ${since}`, () => {
      const verdict = wins({ ...states[incoming], updateTime: at }, { ...states[standing], updateTime: since });
      assert.equal(verdict, expected);
    });
  }

  it('lets exactly one of two states of one time stand', () => {
    const [one, other] = [{ username: 'one' }, { username: 'other' }];
    assert.notEqual(wins(one, other), wins(other, one));
  });

  it('does not replace a state by itself', () => {
    assert.equal(wins({}, {}), false);
  });

  it('does not look at the certificate', () => {
    const certificate = new Uint8Array([1, 2, 3]);
    assert.equal(rowDigest(toColumns(row(1, { certificate }))), rowDigest(toColumns(row(1))));
    assert.equal(wins({ certificate }, {}), false);
  });

  it('counts an archived revocation as permanent', () => {
    const { archived } = CERTIFICATE_STATUS;
    assert.equal(isPermanentlyRevoked({ ...REVOKED, status: archived }), true);
    assert.equal(isPermanentlyRevoked({ ...ACTIVE, status: archived }), false);
    assert.equal(isPermanentlyRevoked({ ...ON_HOLD, status: archived }), false);
  });

  it('orders all states: of two different ones one wins, and winning is transitive', () => {
    const below = chance(1);
    const pool = Array.from({ length: 60 }, () =>
      toColumns(
        row(1, {
          ...(Object.values(states)[below(4)] ?? ACTIVE),
          updateTime: below(4),
          username: `user ${below(3)}`,
        }),
      ),
    );
    for (const a of pool) {
      for (const b of pool) {
        if (rowDigest(a) === rowDigest(b)) assert.equal(replaces(a, b), false);
        else assert.notEqual(replaces(a, b), replaces(b, a));
        for (const c of pool.slice(0, 20)) if (replaces(a, b) && replaces(b, c)) assert.ok(replaces(a, c));
      }
    }
  });
});
