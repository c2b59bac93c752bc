import assert from 'node:assert/strict';
import { checkRole, isMember, type MemberMatch, type PeerIdentity, type Role } from '../../../lib/auth/role.ts';

const peer: PeerIdentity = {
  fingerprint: 'aa'.repeat(20),
  subjectDN: 'CN=ca-1,OU=PKI,OU=Zone 1,O=Example\\, Inc,C=SE',
  issuerDN: 'CN=Management CA,C=SE',
  issuerFingerprint: 'bb'.repeat(20),
  serialNumber: '4660',
  dnsNames: ['ca-1.example.org'],
};

const ISSUER = 'CN=Management CA,C=SE';

const matches = (match: MemberMatch, value: string, issuer = ISSUER): boolean =>
  isMember({ name: 'r', members: [{ match, value, issuer }], rules: {} }, peer);

describe('role member', () => {
  it('matches each field it can be matched on', () => {
    const good: [MemberMatch, string][] = [
      ['commonName', 'ca-1'],
      ['fullDN', peer.subjectDN],
      ['serialNumber', '4660'],
      ['serialNumber', '0x1234'],
      ['serialNumber', '00:12:34'],
      ['organization', 'Example, Inc'],
      ['organizationalUnit', 'PKI'],
      ['organizationalUnit', 'Zone 1'],
      ['dnsName', 'CA-1.example.org'],
      ['fingerprint', 'AA'.repeat(20)],
      ['anyCertificate', ''],
    ];
    for (const [match, value] of good) assert.equal(matches(match, value), true, match);
  });

  it('matches to the letter only', () => {
    const bad: [MemberMatch, string][] = [
      ['commonName', 'CA-1'],
      ['commonName', 'ca-1 '],
      ['commonName', 'ca-'],
      ['fullDN', 'CN=ca-1'],
      ['serialNumber', '1234'],
      ['serialNumber', 'not a number'],
      ['organization', 'Example'],
      ['organizationalUnit', 'Example, Inc'],
      ['dnsName', 'example.org'],
      ['fingerprint', 'aa'],
    ];
    for (const [match, value] of bad) assert.equal(matches(match, value), false, `${match} ${value}`);
  });

  it('matches no certificate of another CA', () => {
    assert.equal(matches('commonName', 'ca-1', 'CN=Other CA'), false);
    assert.equal(matches('anyCertificate', '', 'CN=Other CA'), false);
  });

  it('takes the issuing CA by the fingerprint of its certificate, too', () => {
    assert.equal(matches('commonName', 'ca-1', 'BB'.repeat(20)), true);
    assert.equal(
      isMember(
        { name: 'r', members: [{ match: 'anyCertificate', value: '', issuer: '' }], rules: {} },
        { ...peer, issuerFingerprint: '' },
      ),
      false,
    );
  });

  it('reads a name that imitates another attribute as what it is', () => {
    const imitating = { ...peer, subjectDN: 'CN=x\\,CN=ca-1,C=SE' };
    const role: Role = { name: 'r', members: [{ match: 'commonName', value: 'ca-1', issuer: ISSUER }], rules: {} };
    assert.equal(isMember(role, imitating), false);
  });
});

describe('checkRole', () => {
  const invalid = (role: Partial<Role>): void =>
    assert.throws(() => checkRole({ name: 'R', members: [], rules: {}, ...role }), { code: 'ERR_INVALID_CONFIG' });

  it('refuses a member without issuing CA', () =>
    invalid({ members: [{ match: 'commonName', value: 'x', issuer: '' }] }));

  it('refuses a member without value', () =>
    invalid({ members: [{ match: 'commonName', value: '', issuer: ISSUER }] }));

  it('refuses an unknown way to match', () =>
    invalid({ members: [{ match: 'email' as MemberMatch, value: 'x', issuer: ISSUER }] }));

  it('refuses an unknown rule', () => invalid({ rules: { '/peerpublish/everything': 'allow' } }));

  it('refuses a state that is neither allow nor deny', () => invalid({ rules: { '/peer': 'accept' as 'allow' } }));
});
