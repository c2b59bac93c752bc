import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CertificateAuthority } from '../../../lib/authority/certificate-authority.ts';
import { LocalAuthority } from '../../../lib/authority/local-authority.ts';
import { PeerError } from '../../../lib/errors.ts';
import type { KeyBinding } from '../../../lib/keybinding/key-binding.ts';
import type { KeyBindingFacts } from '../../../lib/keybinding/key-binding-facts.ts';
import type { RenewalProgress } from '../../../lib/renewal/key-binding-renewal.ts';
import {
  isDue,
  type RenewalSelection,
  renewKeyBindings,
  requireRenewable,
} from '../../../lib/renewal/renew-key-bindings.ts';
import { certify, openBinding } from '../../helpers/ocsp-binding.ts';
import { createTestPki, identitySource, issueRootCa } from '../../helpers/test-pki.ts';
import { caRole, startTwoPeers, type TwoPeers } from '../../helpers/two-peers.ts';
import { orderOf } from '../authority/orders.ts';

const DAY_MS = 86_400_000;

/** What a peer shows of a binding. */
const BINDING: KeyBindingFacts = {
  name: 'ocsp 1',
  cryptoToken: 'token 1',
  status: 'enabled',
  operational: 'online',
  subjectDN: 'CN=ocsp 1,O=Test,C=SE',
  issuerDN: 'CN=Issuing CA 1,O=Test,C=SE',
  serialNumber: '1',
  notBefore: '2026-01-01T00:00:00.000Z',
  expires: '2026-01-08T00:00:00.000Z',
  canRenew: true,
  keyAlgorithm: 'P-256',
  generation: 1,
  nextKey: '',
  orphanKeys: [],
  retiredKeys: [],
};

describe('renewal of key bindings', () => {
  const pki = createTestPki();
  const ca = issueRootCa('CN=Issuing CA 1,O=Test,C=SE');
  const local = new LocalAuthority({
    source: identitySource(ca),
    subjectTemplate: '{{{subjectDN}}}',
    validityMs: 7 * DAY_MS,
    endEntityValidityMs: 365 * 86_400_000,
  });
  let folder: string;
  let bindings: KeyBinding[];
  let peers: TwoPeers;
  let progress: RenewalProgress[];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'renewal-'));
    bindings = [await openBinding(folder, [ca]), await openBinding(folder, [ca], { name: 'ocsp 2' })];
    const roles = [caRole({ '/peerincoming': 'allow', '/internalkeybinding': 'allow', '/cryptotoken': 'allow' })];
    peers = await startTwoPeers({ pki, roles, endpoint: { keyBindings: () => bindings } });
    progress = [];
  });

  afterEach(async () => {
    await peers.close();
    for (const binding of bindings) await binding.close();
    rmSync(folder, { recursive: true });
  });

  const renew = (
    selection: RenewalSelection,
    { authority = local, newKeyPair = true, signal = new AbortController().signal } = {} as {
      authority?: CertificateAuthority;
      newKeyPair?: boolean;
      signal?: AbortSignal;
    },
  ) => {
    const task = {
      client: peers.client,
      peer: 'VA 1',
      authority,
      newKeyPair,
      onProgress: (each: RenewalProgress) => progress.push(each),
    };
    return renewKeyBindings(task, selection, signal);
  };
  const one = { names: ['ocsp 1'] };
  const outcomes = async (result: ReturnType<typeof renew>) =>
    (await result).rows.map(({ name, outcome, code }) => [name, outcome, code].join(' ').trim());

  it('goes through its steps in their order and gives a row', async () => {
    const { rows, failure } = await renew(one);
    assert.deepEqual(
      progress.map(({ step }) => step),
      ['key', 'csr', 'issued', 'delivered', 'activated'],
    );
    const [row] = rows;
    const facts = bindings[0]?.facts();
    assert.deepEqual([row?.outcome, row?.serialNumber], ['renewed', facts?.serialNumber]);
    assert.equal(progress.at(-1)?.serialNumber, facts?.serialNumber);
    assert.equal(failure, undefined);
    assert.ok(bindings[0]?.signer(Date.now()));
  });

  it('renews all that expire within the time, and leaves the others', async () => {
    assert.deepEqual(await outcomes(renew({ expiresWithinMs: DAY_MS })), ['ocsp 1 renewed', 'ocsp 2 renewed']);
    assert.deepEqual(await outcomes(renew({ expiresWithinMs: DAY_MS })), ['ocsp 1 unchanged', 'ocsp 2 unchanged']);
    assert.deepEqual(await outcomes(renew({ expiresWithinMs: 8 * DAY_MS })), ['ocsp 1 renewed', 'ocsp 2 renewed']);
    assert.deepEqual(
      bindings.map((binding) => binding.facts().generation),
      [2, 2],
    );
  });

  it('makes a new key pair, or keeps the key', async () => {
    await renew(one);
    const key = bindings[0]?.signer(Date.now())?.key;
    await renew(one, { newKeyPair: false });
    assert.equal(bindings[0]?.signer(Date.now())?.key, key);
    await renew(one);
    assert.notEqual(bindings[0]?.signer(Date.now())?.key, key);
  });

  it('makes one of two at once, of one client and of two', async () => {
    const second = peers.connect();
    let orders = 0;
    const slow: CertificateAuthority = {
      issue: async (order) => {
        orders += 1;
        await delay(100);
        return local.issue(order);
      },
    };
    await Promise.all([renew(one, { authority: slow }), renew(one, { authority: slow })]);
    assert.equal(orders, 1);
    assert.equal(bindings[0]?.facts().generation, 1);
    const task = { peer: 'VA 1', authority: slow, newKeyPair: true, onProgress: () => undefined };
    const results = await Promise.all([
      renew(one, { authority: slow }),
      renewKeyBindings({ ...task, client: second.client }, one, new AbortController().signal),
    ]);
    assert.ok(results.every(({ rows }) => rows[0]?.outcome === 'renewed'));
    const { retiredKeys, orphanKeys, nextKey } = bindings[0]?.facts() ?? BINDING;
    assert.ok(retiredKeys.length <= 1);
    assert.deepEqual([orphanKeys, nextKey], [[], '']);
  });

  describe('fails, and what signed before goes on:', () => {
    beforeEach(async () => void (await renew(one)));

    const wrong = (issue: CertificateAuthority['issue']): { authority: CertificateAuthority } => ({
      authority: { issue },
    });
    const other = issueRootCa('CN=Issuing CA 2,O=Test,C=SE');
    const cases: [string, CertificateAuthority['issue'], string][] = [
      ['a certificate for another key', async () => local.issue(orderOf()), 'ERR_NOT_ISSUED'],
      ['no certificate', async () => [], 'ERR_NOT_ISSUED'],
      ['garbage', async () => [Buffer.from('garbage')], 'ERR_INVALID_CERTIFICATE'],
      [
        'a certificate of another CA',
        async ({ certificateRequest }) => [certify(other, certificateRequest)],
        'ERR_CERTIFICATE_REFUSED',
      ],
      [
        'a certificate without OCSPSigning',
        async ({ certificateRequest }) => [certify(ca, certificateRequest, { extendedKeyUsage: ['clientAuth'] })],
        'ERR_CERTIFICATE_REFUSED',
      ],
      [
        'a CA that says no',
        async () => {
          throw new PeerError('ERR_NOT_ISSUED', 'no');
        },
        'ERR_NOT_ISSUED',
      ],
      [
        'a CA that is too slow',
        async () => {
          await delay(50);
          throw new PeerError('ERR_PEER_TIMEOUT', 'late');
        },
        'ERR_PEER_TIMEOUT',
      ],
      [
        'a bug',
        async () => {
          throw new TypeError('bug');
        },
        'ERR_INTERNAL',
      ],
    ];
    for (const [what, issue, code] of cases) {
      it(what, async () => {
        const before = bindings[0]?.signer(Date.now());
        const { rows, failure } = await renew(one, wrong(issue));
        assert.deepEqual([rows[0]?.outcome, rows[0]?.code, failure?.code], ['failed', code, code]);
        assert.equal(bindings[0]?.signer(Date.now()), before);
        const waiting = bindings[0]?.facts().nextKey;
        await renew(one);
        assert.equal(progress.at(-1)?.key, waiting);
      });
    }

    it('a right that is missing, named', async () => {
      const rules = { '/': 'allow', '/cryptotoken/keys/generate/token 1': 'deny' } as const;
      peers.server.setRoles([caRole(rules)]);
      const { failure } = await renew(one);
      assert.equal(failure?.code, 'ERR_NOT_AUTHORIZED');
      assert.match(failure?.message ?? '', /\/cryptotoken\/keys\/generate\/token 1/);
      assert.deepEqual(await outcomes(renew(one, { newKeyPair: false })), ['ocsp 1 renewed']);
    });

    it('somebody who calls it off', async () => {
      const controller = new AbortController();
      const renewing = renew(one, {
        ...wrong(
          (_order, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        ),
        signal: controller.signal,
      });
      await delay(100);
      controller.abort(new Error('off'));
      assert.deepEqual(await outcomes(renewing), ['ocsp 1 failed ERR_CANCELLED']);
    });
  });

  it('harms no other binding when one fails', async () => {
    const half: CertificateAuthority = {
      issue: async (order) => {
        if (order.name === 'ocsp 1') throw new PeerError('ERR_NOT_ISSUED', 'no');
        return local.issue(order);
      },
    };
    const result = renew({ expiresWithinMs: DAY_MS }, { authority: half });
    assert.deepEqual(await outcomes(result), ['ocsp 1 failed ERR_NOT_ISSUED', 'ocsp 2 renewed']);
    assert.equal((await result).failure, undefined);
  });

  it('says of a name that the peer does not show that it is unknown', async () => {
    const result = renew({ names: ['ocsp 1', 'ocsp 3', 'ocsp 3'] });
    assert.deepEqual(await outcomes(result), ['ocsp 1 renewed', 'ocsp 3 failed ERR_KEY_BINDING_UNKNOWN']);
  });

  it('fails as a whole when the peer shows nothing', async () => {
    peers.server.setRoles([caRole()]);
    await assert.rejects(renew({ expiresWithinMs: 0 }), { code: 'ERR_NOT_AUTHORIZED' });
  });

  describe('is due', () => {
    const now = Date.parse('2026-01-07T00:00:00Z');
    for (const [what, fields, within, due] of [
      ['when the certificate expires within the time', {}, DAY_MS, true],
      ['not when it lasts longer', {}, DAY_MS - 1, false],
      ['when it has expired', { status: 'expired', expires: '2026-01-01T00:00:00.000Z' }, 0, true],
      ['when there is none', { expires: '' }, 0, true],
      ['when nobody knows when it expires', { expires: 'soon' }, 0, true],
      ['not after a revocation', { status: 'revoked' }, DAY_MS, false],
      ['not when it may not be renewed', { canRenew: false }, DAY_MS, false],
    ] as const) {
      it(what, () => assert.equal(isDue({ ...BINDING, ...fields }, within, now), due));
    }
  });
});

describe('a key binding that somebody wants to renew', () => {
  it('may be one whose certificate was revoked', () => {
    requireRenewable([{ ...BINDING, status: 'revoked' }], 'ocsp 1');
  });

  for (const [what, bindings, code, sentence] of [
    ['is refused where the peer shows none', [], 'ERR_KEY_BINDING_UNKNOWN', /shows no key binding "ocsp 1"/],
    ['is refused where the peer shows others', [{ ...BINDING, name: 'x' }], 'ERR_KEY_BINDING_UNKNOWN', /"ocsp 1"/],
    [
      'is refused while it is disabled',
      [{ ...BINDING, status: 'disabled', canRenew: false }],
      'ERR_INVALID_INPUT',
      /it is disabled/,
    ],
    [
      'is refused without a right at the peer',
      [{ ...BINDING, canRenew: false }],
      'ERR_INVALID_INPUT',
      /a right is missing/,
    ],
  ] as const) {
    it(what, () => {
      assert.throws(
        () => requireRenewable(bindings, 'ocsp 1'),
        (error: PeerError) => error.code === code && sentence.test(error.message),
      );
    });
  }
});
