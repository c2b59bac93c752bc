import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CertificateStore } from '../../../lib/store/certificate-store.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS, onlyCas } from '../../../lib/x509/ca-scope.ts';
import { fingerprintOf, readCertificate } from '../../../lib/x509/certificate.ts';
import { decimalFromInteger } from '../../../lib/x509/serial-number.ts';
import {
  type CrlTemplate,
  issuingDistributionPoint,
  makeCrl,
  manyEntries,
  ONLY_USERS,
  serialOf,
} from '../../helpers/crl-maker.ts';
import { openCrlStore, readCrl, storeCertificates, writeCrl } from '../../helpers/crl-store.ts';
import { type Credential, daysFromNow, issue, issueRootCa } from '../../helpers/test-pki.ts';
import { PostgresDatabases, skipWithoutServer } from './postgres-database.ts';

const CA = issueRootCa('CN=CRL CA,O=Test,C=SE');
const DN = 'CN=CRL CA,O=Test,C=SE';

function make(template: Partial<CrlTemplate> = {}): Buffer {
  return makeCrl({ issuer: CA, thisUpdate: daysFromNow(-1), ...template });
}

for (const kind of ['SQLite', 'PostgreSQL'] as const)
  describe(`CRLs of a store in ${kind}`, () => {
    const databases = new PostgresDatabases();
    let opened: ReturnType<typeof openCrlStore>;
    let store: CertificateStore;

    if (kind === 'PostgreSQL') {
      before(function () {
        this.timeout(10_000);
        return skipWithoutServer(this);
      });
      after(() => databases.drop());
    }

    beforeEach(async () => {
      opened = openCrlStore(kind === 'PostgreSQL' ? await databases.open() : undefined);
      store = opened.store;
      await storeCertificates(store, CA);
    });

    afterEach(() => opened.close());

    it('keep the latest full and delta CRL of each partition', async () => {
      const point = (n: number) => [`http://va/crl?partition=${n}`];
      await writeCrl(store, make({ number: '5', entries: [{ serialNumber: '1' }] }));
      await writeCrl(store, make({ number: '6', base: '5' }));
      await writeCrl(store, make({ number: '1', distributionPoint: point(1) }), 1);
      await writeCrl(store, make({ number: '2', distributionPoint: point(2) }), 2);
      const { verdict, crl } = await writeCrl(store, make({ number: '3', distributionPoint: point(2) }), 2);
      assert.equal(verdict, 'stored');
      assert.deepEqual(
        (await store.crls.list()).map((row) => [row.crlPartitionIndex, row.cRLNumber, row.deltaCRLIndicator]),
        [
          [0, '5', '-1'],
          [0, '6', '5'],
          [1, '1', '-1'],
          [2, '3', '-1'],
        ],
      );
      assert.deepEqual(await store.crls.find({ issuerDN: DN, crlPartitionIndex: 2 }), crl);
      assert.equal(crl.cAFingerprint, fingerprintOf(CA.certificate));
      assert.equal(crl.issuerDN, DN);
    });

    it('are found by issuer, hash of the issuer, key and name; others are not', async () => {
      const bytes = make();
      const { crl } = await writeCrl(store, bytes);
      const { subjectDer, subjectKeyId } = readCertificate(CA.certificate);
      const keyId = Buffer.from(subjectKeyId ?? '', 'base64');
      const issuerHash = hash('sha1', subjectDer, 'buffer');
      const queries = [
        { issuerDN: DN },
        { issuerHash },
        { subjectHash: issuerHash },
        { keyId },
        { keyId: hash('sha1', keyId, 'buffer') },
        { name: 'CRL CA' },
      ];
      for (const query of queries) {
        assert.equal((await store.crls.find(query))?.fingerprint, crl.fingerprint);
        assert.equal(await store.crls.find({ ...query, isDelta: true }), undefined);
        assert.equal(await store.crls.find({ ...query, crlPartitionIndex: 1 }), undefined);
      }
      assert.equal(await store.crls.find({ name: 'Other' }), undefined);
      assert.deepEqual(await readCrl(store, crl.fingerprint), bytes);
    });

    it('come back whole after many chunks, also from a file, and after a restart', async () => {
      const bytes = make({ entries: manyEntries(60_000) });
      const file = join(opened.folder, 'big.crl');
      writeFileSync(file, bytes);
      const { crl } = await store.crls.write({ file }, { scope: ALL_CAS, crlPartitionIndex: 0 });
      assert.equal(crl.entries, 60_000);
      await store.close();
      const again = new WorkerStore(opened.config);
      assert.ok(bytes.equals(await readCrl(again, crl.fingerprint)));
      const asked = decimalFromInteger(serialOf(59_999));
      assert.equal((await again.crls.findRevoked(DN, asked))?.entry?.revocationReason, 1);
      assert.equal((await again.crls.findRevoked(DN, '99'))?.entry, null);
      await again.close();
    });

    it('say of a certificate what the delta CRL says, where it speaks of it', async () => {
      const entries = [
        { serialNumber: '1', reason: 6 },
        { serialNumber: '2', reason: 1 },
      ];
      await writeCrl(store, make({ number: '5', entries }));
      const changes = [
        { serialNumber: '1', reason: 8 },
        { serialNumber: '3', reason: 4 },
      ];
      await writeCrl(store, make({ number: '7', base: '5', entries: changes }));
      const reasonOf = async (serial: string) => (await store.crls.findRevoked(DN, serial))?.entry?.revocationReason;
      assert.deepEqual(await Promise.all(['1', '2', '3', '4'].map(reasonOf)), [undefined, 1, 4, undefined]);
      await writeCrl(store, make({ number: '8', entries }));
      assert.equal(await reasonOf('1'), 6, 'the delta CRL is older than the full one now');
      assert.equal(await store.crls.findRevoked('CN=Other', '1'), undefined);
    });

    it('are unchanged by the same CRL once more', async () => {
      const bytes = make();
      assert.equal((await writeCrl(store, bytes)).verdict, 'stored');
      assert.equal((await writeCrl(store, bytes)).verdict, 'unchanged');
    });

    it('leave the former one standing until the new one is whole', async () => {
      const { crl } = await writeCrl(store, make({ number: '1' }));
      const next = make({ number: '2', entries: manyEntries(30_000) });
      await assert.rejects(writeCrl(store, next.subarray(0, next.length - 1)), { code: 'ERR_INVALID_CRL' });
      next[next.length - 100_000] = (next[next.length - 100_000] ?? 0) ^ 1;
      await assert.rejects(writeCrl(store, next), { code: 'ERR_INVALID_CRL' });
      assert.equal((await store.crls.find({ issuerDN: DN }))?.fingerprint, crl.fingerprint);
      assert.ok((await readCrl(store, crl.fingerprint)).length > 0);
    });

    it('of two that come at once leave the newer one', async () => {
      const crls = ['4', '2', '9', '3', '8'].map((number) => make({ number, entries: manyEntries(20_000) }));
      const outcomes = await Promise.allSettled(crls.map((crl) => writeCrl(store, crl)));
      assert.equal((await store.crls.find({ issuerDN: DN }))?.cRLNumber, '9');
      for (const outcome of outcomes)
        if (outcome.status === 'rejected') assert.equal(outcome.reason.code, 'ERR_CRL_TOO_OLD');
      assert.equal((await store.crls.list()).length, 1);
    });

    it('are taken unchecked while the CA certificate is missing, and checked when it has come', async () => {
      const late = issueRootCa('CN=Late CA,C=SE');
      const forged = makeCrl({ issuer: late, signer: issueRootCa('CN=Evil,C=SE'), number: '1000' });
      assert.equal((await writeCrl(store, forged)).crl.cAFingerprint, null);
      const crl = makeCrl({ issuer: late, number: '2' });
      await assert.rejects(writeCrl(store, crl), { code: 'ERR_CRL_TOO_OLD' });
      await storeCertificates(store, late);
      await assert.rejects(writeCrl(store, forged), { code: 'ERR_INVALID_CRL' });
      assert.equal((await writeCrl(store, crl)).crl.cAFingerprint, fingerprintOf(late.certificate));
    });

    it('are checked against the right one of several CA certificates with one name', async () => {
      const twin = issueRootCa(DN);
      await storeCertificates(store, twin);
      assert.equal((await writeCrl(store, make({ number: '1' }))).crl.cAFingerprint, fingerprintOf(CA.certificate));
      const renewed = makeCrl({ issuer: twin, number: '2', keyId: null });
      assert.equal((await writeCrl(store, renewed)).crl.cAFingerprint, fingerprintOf(twin.certificate));
    });

    it('have their CA certificates beside them, by hash, key and name', async () => {
      const sub = issue(CA, { subjectDN: 'CN=Sub,C=SE', ca: true });
      await storeCertificates(store, sub, issue(CA, { subjectDN: 'CN=ee,C=SE' }));
      const nameHash = hash('sha1', readCertificate(CA.certificate).subjectDer, 'buffer');
      const keyId = Buffer.from(readCertificate(sub.certificate).subjectKeyId ?? '', 'base64');
      const found = async (query: Parameters<typeof store.crls.findCaCertificates>[0]) =>
        (await store.crls.findCaCertificates(query)).map(({ certificate }) => readCertificate(certificate).subjectDN);
      assert.deepEqual(await found({ subjectHash: nameHash }), [DN]);
      assert.deepEqual(await found({ issuerHash: nameHash }), ['CN=Sub,C=SE']);
      assert.deepEqual(await found({ keyId }), ['CN=Sub,C=SE']);
      assert.deepEqual(await found({ name: 'Sub' }), ['CN=Sub,C=SE']);
      assert.deepEqual(await found({ name: 'ee' }), []);
    });

    describe('refuse', () => {
      const first = { number: '10', thisUpdate: daysFromNow(-3), entries: [{ serialNumber: '1' }] };
      const point = (n: number) => [`http://va/crl?partition=${n}`];
      type Case = readonly [() => Uint8Array, string, number?];
      const cases: Record<string, Case> = {
        'a lower number': [() => make({ number: '9' }), 'ERR_CRL_TOO_OLD'],
        'the same number with other content': [() => make({ number: '10' }), 'ERR_CRL_TOO_OLD'],
        'no number after one': [() => make({ number: null }), 'ERR_CRL_TOO_OLD'],
        'an earlier thisUpdate': [() => make({ number: '11', thisUpdate: daysFromNow(-4) }), 'ERR_CRL_TOO_OLD'],
        'an expired one': [
          () => make({ number: '11', thisUpdate: daysFromNow(-2), nextUpdate: daysFromNow(-1) }),
          'ERR_CRL_TOO_OLD',
        ],
        'one of the future': [() => make({ number: '11', thisUpdate: daysFromNow(1) }), 'ERR_INVALID_CRL'],
        'one without nextUpdate': [() => make({ number: '11', nextUpdate: null }), 'ERR_INVALID_CRL'],
        'the signature of another': [() => make({ number: '11', signer: issueRootCa(DN) }), 'ERR_INVALID_CRL'],
        'a delta CRL whose base is not stored yet': [() => make({ number: '12', base: '11' }), 'ERR_CRL_BASE_MISSING'],
        'a delta CRL of a partition without full CRL': [
          () => make({ number: '12', base: '10', distributionPoint: point(1) }),
          'ERR_CRL_BASE_MISSING',
          1,
        ],
        'a delta CRL older than the full one': [() => make({ number: '9', base: '8' }), 'ERR_CRL_TOO_OLD'],
        'a delta CRL below its base': [() => make({ number: '9', base: '10' }), 'ERR_INVALID_CRL'],
        'a delta CRL of another distribution point': [
          () => make({ number: '11', base: '10', distributionPoint: point(1) }),
          'ERR_INVALID_CRL',
        ],
        'another distribution point': [() => make({ number: '11', distributionPoint: point(1) }), 'ERR_INVALID_CRL'],
        'one for user certificates only in place of one for all': [
          () => make({ number: '11', extensions: [issuingDistributionPoint([], ONLY_USERS)] }),
          'ERR_INVALID_CRL',
        ],
        'a partition that the CRL does not name': [() => make({ number: '11' }), 'ERR_INVALID_CRL', 1],
        'a partition below 0': [() => make({ number: '11' }), 'ERR_INVALID_INPUT', -1],
      };
      for (const [what, [crl, code, partition = 0]] of Object.entries(cases)) {
        it(what, async () => {
          const { crl: standing } = await writeCrl(store, make(first));
          await assert.rejects(writeCrl(store, crl(), partition), { code });
          assert.deepEqual(await store.crls.list(), [standing]);
        });
      }

      it('the distribution point of another partition', async () => {
        await writeCrl(store, make({ distributionPoint: point(1) }), 1);
        await assert.rejects(writeCrl(store, make({ distributionPoint: point(1) }), 2), { code: 'ERR_INVALID_CRL' });
      });

      it('a CA that the role does not know', async () => {
        const options = { scope: onlyCas(['CN=Other']), crlPartitionIndex: 0 };
        await assert.rejects(store.crls.write({ bytes: make() }, options), { code: 'ERR_NOT_AUTHORIZED' });
      });

      it('a CA whose certificate may not sign CRLs', async () => {
        const weak: Credential = issue('self', { subjectDN: 'CN=Weak', ca: true, keyUsage: ['keyCertSign'] });
        await storeCertificates(store, weak);
        await assert.rejects(writeCrl(store, makeCrl({ issuer: weak })), { code: 'ERR_INVALID_CRL' });
      });

      it('a file that is not there', async () => {
        const options = { scope: ALL_CAS, crlPartitionIndex: 0 };
        await assert.rejects(store.crls.write({ file: join(opened.folder, 'none') }, options), {
          code: 'ERR_INVALID_INPUT',
        });
      });

      it('everything, where the store is an EJBCA database', async () => {
        const ejbca = new WorkerStore({
          kind: 'ejbca',
          driver: 'postgresql',
          host: 'localhost',
          port: 1,
          database: 'x',
          user: 'x',
          password: 'x',
        } as never);
        await assert.rejects(writeCrl(ejbca, make()), { code: 'ERR_INVALID_CONFIG', message: /read only/ });
        await ejbca.close();
      });
    });

    it('end what was begun before the store closes', async () => {
      const writing = writeCrl(store, make({ entries: manyEntries(50_000) }));
      await store.close();
      assert.equal((await writing).verdict, 'stored');
      await assert.rejects(writeCrl(store, make()), { code: 'ERR_STORE_UNAVAILABLE' });
    });

    it('let other calls through while a large one is read', async () => {
      const bytes = make({ entries: manyEntries(600_000) });
      let isDone = false;
      const writing = writeCrl(store, bytes).finally(() => {
        isDone = true;
      });
      let answers = 0;
      while (!isDone) {
        // Of the thread that writes.
        await store.probe();
        answers += 1;
      }
      await writing;
      assert.ok(answers >= 3, `${answers} answers`);
    }).timeout(20_000);
  });
