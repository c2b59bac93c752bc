import assert from 'node:assert/strict';
import { isAuthorized } from '../../lib/auth/authorize.ts';
import { isMember } from '../../lib/auth/role.ts';
import type { PeerRoleNode } from '../../nodes/peer-role.ts';
import { roleNode } from '../helpers/peer-flow.ts';
import { type RuntimeFlow, runFlow } from '../helpers/runtime-flow.ts';

const ISSUER = 'CN=Management CA,O=Test,C=SE';
const PEER = {
  fingerprint: 'a'.repeat(40),
  subjectDN: 'CN=ca-1,O=Test,C=SE',
  issuerDN: ISSUER,
  issuerFingerprint: '',
  serialNumber: '7',
  dnsNames: [],
};

describe('peer-role node', () => {
  let flow: RuntimeFlow | undefined;

  afterEach(async () => {
    await flow?.close();
    flow = undefined;
  });

  const start = async (fields: object): Promise<RuntimeFlow> => {
    flow = await runFlow([roleNode('role', { ...fields })]);
    return flow;
  };
  const roleOf = (running: RuntimeFlow) => (running.node('role') as PeerRoleNode).role();

  it('gives the role of its dialog', async () => {
    const role = roleOf(await start({ name: 'CAs' }));
    assert.equal(role.name, 'CAs');
    assert.ok(isMember(role, PEER));
    assert.ok(isAuthorized([role], '/peerpublish/writecert'));
    assert.ok(!isAuthorized([role], '/peerpublish/writecrl'));
  });

  it('takes a rule with spaces around it', async () => {
    const role = roleOf(await start({ rules: [{ path: ' /peerincoming ', state: 'allow' }] }));
    assert.ok(isAuthorized([role], '/peerincoming'));
  });

  it('takes the issuer of a member from a variable of the flow', async () => {
    process.env['TEST_ISSUER'] = ISSUER;
    const running = await start({ members: [{ match: 'anyCertificate', value: '', issuer: '$' + '{TEST_ISSUER}' }] });
    delete process.env['TEST_ISSUER'];
    assert.ok(isMember(roleOf(running), PEER));
  });

  it('lets nobody in and allows nothing when it is empty', async () => {
    const role = roleOf(await start({ members: [], rules: [] }));
    assert.ok(!isMember(role, PEER));
    assert.ok(!isAuthorized([role], '/peerincoming'));
  });

  const wrong: Record<string, object> = {
    'an unknown rule': { rules: [{ path: '/peerincomming', state: 'allow' }] },
    'an empty rule': { rules: [{ path: '', state: 'allow' }] },
    'a rule that is neither allow nor deny': { rules: [{ path: '/ca', state: 'perhaps' }] },
    'a member without an issuing CA': { members: [{ match: 'commonName', value: 'ca-1', issuer: '' }] },
    'a member without a value': { members: [{ match: 'commonName', value: '', issuer: ISSUER }] },
    'a member matched in an unknown way': { members: [{ match: 'shoeSize', value: '43', issuer: ISSUER }] },
  };
  for (const [name, fields] of Object.entries(wrong)) {
    it(`refuses ${name}, and says so at the deploy`, async () => {
      const running = await start(fields);
      assert.throws(() => roleOf(running), { code: 'ERR_INVALID_CONFIG' });
      assert.match(running.logged().join('\n'), /peerincomming|""|perhaps|issuing CA|no value|shoeSize/);
    });
  }
});
