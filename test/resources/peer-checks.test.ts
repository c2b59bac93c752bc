/** The checks of the dialogs agree with those of the runtime, so that nothing passes the one and fails the other. */
import assert from 'node:assert/strict';
import { ACCESS_RULES, pathsOf } from '../../lib/auth/access-rules.ts';
import { isMember, MEMBER_MATCHES, type RoleMember } from '../../lib/auth/role.ts';
import { renderPeerUrl } from '../../lib/pool/peer-url.ts';
import { parseSerialNumber } from '../../lib/x509/serial-number.ts';

interface Rule {
  readonly path: string;
  readonly state: string;
}

interface Checks {
  readonly MEMBER_MATCHES: readonly string[];
  readonly ACCESS_RULES: readonly string[];
  readonly NAMED_ACCESS_RULES: readonly string[];
  readonly ROLE_TEMPLATES: Readonly<Record<string, readonly string[]>>;
  memberFor(row: { subjectDN: string; issuerDN: string }): RoleMember;
  withTemplate(rules: readonly Rule[], template: string): readonly Rule[];
  areGroups(text: string | undefined): boolean;
  isStatusPath(text: string | undefined): boolean;
  isAccessRule(path: string): boolean;
  areRules(rules: readonly Rule[]): boolean;
  areMembers(members: readonly { match: string; value: string; issuer: string }[]): boolean;
  areTrusted(trust: readonly { source: string; value: string; serialNumber: string }[]): boolean;
  isSerialNumber(text: string): boolean;
  isWholeNumber(value: unknown, min: number, max: number): boolean;
  looksLikePem(text: string): boolean;
  urlProblem(text: string): string;
  suggest(texts: readonly string[], typed: string): readonly string[];
}

// Browser code, plain JavaScript: its types are stated here.
const checks = (await import(new URL('../../resources/peer-checks.js', import.meta.url).href)) as Checks;

const allow = (path: string): Rule => ({ path, state: 'allow' });

function doesNotThrow(action: () => unknown): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}

describe('checks of the dialogs', () => {
  it('offer the access rules and matches that the runtime knows', () => {
    assert.deepEqual(
      checks.ACCESS_RULES,
      ACCESS_RULES.map(({ path }) => path),
    );
    assert.deepEqual(
      checks.NAMED_ACCESS_RULES,
      ACCESS_RULES.filter(({ named }) => named).map(({ path }) => path),
    );
    assert.deepEqual(checks.MEMBER_MATCHES, [...MEMBER_MATCHES]);
  });

  it('make a member of a peer that the runtime finds to be this peer and no other', () => {
    const issuerDN = 'CN=CA';
    const facts = { fingerprint: 'a', issuerDN, issuerFingerprint: '', serialNumber: '1', dnsNames: [] };
    const names = [
      'CN=ca-1,O=Test',
      'O=Test,CN=ca 2',
      'O=Test',
      'CN=a\\,b,O=x',
      'CN="q",O=x',
      'CN=a+OU=b',
      'OU=CN\\=x,O=y',
    ];
    for (const subjectDN of names) {
      const role = { name: 'r', members: [checks.memberFor({ subjectDN, issuerDN })], rules: {} };
      for (const other of names) {
        assert.equal(isMember(role, { ...facts, subjectDN: other }), other === subjectDN, `${subjectDN} and ${other}`);
      }
      assert.ok(!isMember(role, { ...facts, subjectDN, issuerDN: 'CN=Another CA' }));
    }
  });

  it('take and refuse the same access rules as the runtime', () => {
    const paths = [
      '/',
      '/ca',
      '/ca/',
      '/ca/CN=A/B',
      '/nonsense',
      '/peerincoming/x',
      '/cryptotoken/keys/generate/t',
      '',
      'ca',
    ];
    for (const path of paths)
      assert.equal(
        checks.isAccessRule(path),
        doesNotThrow(() => pathsOf(path)),
        path,
      );
  });

  it('take and refuse the same serial numbers as the runtime, and take none', () => {
    for (const text of ['12', '-1', '0x1A', '1a:2b', 'zz', '0x', ':', '1 2', '12.5']) {
      assert.equal(checks.isSerialNumber(text), parseSerialNumber(text) !== undefined, text);
    }
    assert.equal(checks.isSerialNumber(''), true);
  });

  it('take and refuse the same URLs as the runtime', () => {
    const urls = [
      'https://va.example.com:8443/ejbca/peer/v1',
      'https://va.example.com',
      'https://va.example.com/ejbca/peer/v1/',
      'http://va.example.com/ejbca/peer/v1',
      'https://user:secret@va.example.com/',
      'https://va.example.com/?a=b',
      'https://va.example.com/#x',
      'https://va.example.com/other',
      'https://va.example.com/ejbca/peer/v1/ping',
      'va.example.com',
      'https://',
      '',
    ];
    for (const url of urls) {
      assert.equal(
        checks.urlProblem(url) === '',
        doesNotThrow(() => renderPeerUrl(url, () => undefined)),
        url,
      );
    }
  });

  it('say what is wrong with a URL', () => {
    assert.equal(checks.urlProblem('nowhere'), 'url');
    assert.equal(checks.urlProblem('http://va/'), 'urlNotHttps');
    assert.equal(checks.urlProblem('https://a:b@va/'), 'urlUser');
    assert.equal(checks.urlProblem('https://va/other'), 'urlPath');
  });

  it('leave what a variable holds to the runtime, but not what stands around it', () => {
    for (const url of [`\${PEER_URL}`, '{{PEER_URL}}', 'https://{{HOST}}:{{PORT}}/', 'https://va/{{PATH}}']) {
      assert.equal(checks.urlProblem(url), '', url);
    }
    assert.equal(checks.urlProblem('http://{{HOST}}/'), 'urlNotHttps');
    assert.equal(checks.urlProblem('https://{{HOST}}/other'), 'urlPath');
  });

  it('refuse numbers out of range, broken, negative or missing', () => {
    for (const value of [1, '1000', ' 7 ', `\${MAX}`])
      assert.equal(checks.isWholeNumber(value, 1, 1000), true, String(value));
    for (const value of [0, 1001, '1.5', '-1', '', '1e3', undefined]) {
      assert.equal(checks.isWholeNumber(value, 1, 1000), false, String(value));
    }
  });

  it('refuse rules that are none, or that are there twice', () => {
    assert.equal(checks.areRules([allow('/ca'), allow('/ca/ManagementCA')]), true);
    assert.equal(checks.areRules([allow('/ca'), { path: '/ca', state: 'deny' }]), false);
    assert.equal(checks.areRules([allow('/nonsense')]), false);
  });

  it('refuse members without an issuer or without a value, unless any certificate will do', () => {
    const issuer = 'CN=ManagementCA';
    assert.equal(checks.areMembers([{ match: 'anyCertificate', value: '', issuer }]), true);
    assert.equal(checks.areMembers([{ match: 'commonName', value: '', issuer }]), false);
    assert.equal(checks.areMembers([{ match: 'commonName', value: 'CA 1', issuer: '' }]), false);
  });

  it('refuse trust in nothing, and serial numbers that are none', () => {
    assert.equal(checks.areTrusted([{ source: 'file', value: '/ca.pem', serialNumber: '' }]), true);
    assert.equal(checks.areTrusted([{ source: 'file', value: '', serialNumber: '' }]), false);
    assert.equal(checks.areTrusted([{ source: 'file', value: '/ca.pem', serialNumber: 'zz' }]), false);
  });

  it('take groups that name nobody twice', () => {
    for (const text of ['', undefined, 'A\nB\n\nC']) assert.equal(checks.areGroups(text), true, text);
    for (const text of ['A\nA', 'A\n\n A ']) assert.equal(checks.areGroups(text), false, text);
  });

  it('take a path for the status as the runtime does, or a variable', () => {
    for (const text of ['', undefined, '/peers/va-status', '/a.b~c', '$' + '{PEER_STATUS_PATH}'])
      assert.equal(checks.isStatusPath(text), true, text);
    for (const text of ['status', '/', '/a b', '/a?b', 'https://host/a'])
      assert.equal(checks.isStatusPath(text), false, text);
  });

  it('tell PEM text from anything else at a glance', () => {
    assert.equal(checks.looksLikePem('x\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'), true);
    for (const text of ['', 'MIIB', '-----BEGIN CERTIFICATE-----\nMIIB'])
      assert.equal(checks.looksLikePem(text), false);
  });

  it('add the rules of a template and leave the others', () => {
    const before = [allow('/ca/ManagementCA'), { path: '/ca', state: 'deny' }, { path: '', state: 'allow' }];
    const after = checks.withTemplate(before, 'publish');
    assert.deepEqual(after, [allow('/ca/ManagementCA'), ...(checks.ROLE_TEMPLATES.publish ?? []).map(allow)]);
    assert.deepEqual(checks.withTemplate(after, 'publish'), after);
    for (const template of Object.keys(checks.ROLE_TEMPLATES)) {
      assert.equal(checks.areRules(checks.withTemplate([], template)), true, template);
    }
  });

  it('suggest what holds the typed text, what begins with it first', () => {
    const suggestions = checks.suggest(checks.ACCESS_RULES, '/PEERP');
    assert.deepEqual(
      suggestions,
      checks.ACCESS_RULES.filter((path) => path.startsWith('/peerp')),
    );
    assert.equal(checks.suggest(checks.ACCESS_RULES, 'write')[0], '/peerpublish/writecert');
    assert.deepEqual(checks.suggest(checks.ACCESS_RULES, 'nothing'), []);
  });
});
