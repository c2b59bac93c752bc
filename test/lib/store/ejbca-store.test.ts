import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { CertificateData } from '../../../lib/store/certificate-data.ts';
import { fromColumns, readRows } from '../../../lib/store/certificate-row.ts';
import type { EjbcaConfig } from '../../../lib/store/ejbca-connection.ts';
import { EjbcaStore } from '../../../lib/store/ejbca-store.ts';
import {
  answerRanges,
  answerRows,
  askRanges,
  askRows,
  readRangesAnswer,
  readRowsAnswer,
} from '../../../lib/store/range-comparison.ts';
import { childrenOf, pick, RANGE_LEVELS } from '../../../lib/store/range-sums.ts';
import { EVERY_ROW, type RowFilter } from '../../../lib/store/row-filter.ts';
import { SqliteStore } from '../../../lib/store/sqlite-store.ts';
import type { StoreEngine } from '../../../lib/store/store-engine.ts';
import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { ALL_CAS, onlyCas } from '../../../lib/x509/ca-scope.ts';
import { type Dialect, EjbcaDatabase, NEWER_COLUMNS, rawRow, reasonToSkip } from './ejbca-database.ts';
import { fingerprint, ON_HOLD, REVOKED, row, rowWithBody, stream } from './rows.ts';

const PORTS = { mysql: 3306, postgres: 5432 } as const;
const NOTHING = new Uint8Array(0);
const SOON = 1_780_000_000_000;

/** Rows of two CAs in every state, with and without certificate. */
function someRows(count: number): readonly CertificateData[] {
  return Array.from({ length: count }, (_, index) => {
    const states = [{}, REVOKED, ON_HOLD, { status: 21 }, { status: 60, revocationReason: 1 }, { status: 11 }];
    const change = {
      ...states[index % states.length],
      ...(index % 4 === 0 ? { issuerDN: 'CN=Zweite Prüf-CA 🌍,O=a\\,b' } : {}),
      updateTime: SOON + (index % 7) * 1_000,
      expireDate: index % 9 === 0 ? -1 : SOON + (index % 5) * 1_000,
      notBefore: index % 8 === 0 ? -1 : 1_770_000_000_000,
      serialNumber: [`${index}`, `-${index}`, `${2n ** 150n + BigInt(index)}`, `${-(2n ** 90n)}`][index % 4] ?? '',
      caFingerprint: index % 3 === 0 ? null : 'ab'.repeat(20),
      subjectKeyId: index % 3 === 0 ? null : Buffer.from(`key ${index}`).toString('base64'),
      tag: index % 10 === 0 ? 'P' : null,
      crlPartitionIndex: index % 5,
      username: index % 6 === 0 ? null : `Jürgen ${index}`,
      type: [1, 2, 8, 0][index % 4] ?? 0,
    };
    const serialNumber = change.serialNumber === '-0' ? '0' : change.serialNumber;
    const all = { ...change, serialNumber };
    return index % 2 === 0 ? row(index, all) : rowWithBody(Buffer.from(`certificate ${index}`.repeat(20)), all);
  });
}

const FILTERS: Readonly<Record<string, RowFilter>> = {
  'every row': EVERY_ROW,
  'without certificates': { ...EVERY_ROW, withCertificate: false },
  revoked: { ...EVERY_ROW, status: 'revoked' },
  active: { ...EVERY_ROW, status: 'active', withCertificate: false },
  'changed since': { ...EVERY_ROW, changedSince: SOON + 3_000 },
  'not expired': { ...EVERY_ROW, expiredBefore: SOON + 2_000 },
  'one CA by its name': { ...EVERY_ROW, cas: onlyCas(['Zweite Prüf-CA 🌍']) },
  'one CA by its DN': { ...EVERY_ROW, cas: onlyCas(['CN=Issuing CA,O=Test,C=SE']) },
  'all CAs but one': { ...EVERY_ROW, cas: { others: true, named: { 'Issuing CA': false } } },
  'a CA that is not there': { ...EVERY_ROW, cas: onlyCas(['Nobody']) },
  'all together': {
    cas: onlyCas(['Issuing CA']),
    status: 'active',
    changedSince: SOON + 1_000,
    expiredBefore: SOON + 1_000,
    withCertificate: true,
  },
};

/** Whether one side finds the other equal at once, and how many rows either has. */
async function compareOnce(from: StoreEngine, to: StoreEngine, filter: RowFilter) {
  const { body, total } = await askRanges(from, { filter, level: 0, parents: new Uint16Array(0) });
  const { bits, total: other } = readRangesAnswer(await answerRanges(to, body, ALL_CAS));
  return { isEqual: bits[0] === 0, total, other };
}

/** Fingerprints that the other side lacks like this, found as a synchronisation finds them. */
async function differences(from: StoreEngine, to: StoreEngine, filter: RowFilter): Promise<readonly string[]> {
  let ranges = new Uint16Array(0);
  for (let level = 0; level < RANGE_LEVELS; level++) {
    const { body } = await askRanges(from, { filter, level, parents: ranges });
    const { bits } = readRangesAnswer(await answerRanges(to, body, ALL_CAS));
    ranges = pick(childrenOf(level, ranges), bits) as typeof ranges;
  }
  const { body, fingerprints } = await askRows(from, filter, ranges);
  const { bits } = readRowsAnswer(await answerRows(to, body, ALL_CAS));
  const all = Buffer.from(fingerprints).toString('hex').match(/.{40}/g) ?? [];
  return all.filter((_, index) => ((bits[index >>> 3] ?? 0) & (0x80 >>> (index & 7))) !== 0);
}

async function allPages(store: StoreEngine, filter: RowFilter, limit = 1_000, maxBytes = 1e9) {
  const rows: CertificateData[] = [];
  for (let after: Uint8Array = NOTHING; ; ) {
    const page = await store.page({ filter, after, limit, maxBytes });
    if (page.count === 0) return rows;
    assert.ok(page.count <= limit);
    rows.push(...decode(page.rows));
    after = page.last;
  }
}

function decode(rows: Uint8Array): readonly CertificateData[] {
  return readRows(rows).map(fromColumns);
}

function sorted(rows: readonly CertificateData[]): readonly CertificateData[] {
  return rows.toSorted((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1));
}

const skips = {
  mysql: await reasonToSkip('mysql'),
  postgres: await reasonToSkip('postgres'),
};

for (const dialect of ['mysql', 'postgres'] as const) describeSource(dialect, skips[dialect]);

function describeSource(dialect: Dialect, skip: string | undefined): void {
  describe(`EJBCA database, ${dialect}`, function () {
    this.timeout(20_000);
    if (skip !== undefined) {
      it.skip(`skipped: no server (${skip})`);
      return;
    }
    let database: EjbcaDatabase;
    const opened: StoreEngine[] = [];
    const open = (change: Partial<EjbcaConfig> = {}, idleMs?: number): EjbcaStore => {
      const store = new EjbcaStore({ ...database.config, ...change }, idleMs);
      opened.push(store);
      return store;
    };
    const own = (...rows: readonly CertificateData[]): StoreEngine => {
      const store = new SqliteStore(':memory:');
      opened.push(store);
      if (rows.length > 0) store.writeGroup([{ rows: [stream(...rows)], scope: ALL_CAS }]);
      return store;
    };
    const insert = (...rows: readonly CertificateData[]): Promise<void> =>
      database.insert(
        'CertificateData',
        rows.map((each) => rawRow(each)),
      );
    const insertRaw = (...rows: readonly ReturnType<typeof rawRow>[]): Promise<void> =>
      database.insert('CertificateData', rows);
    const set = (index: number, assignment: string): Promise<unknown> =>
      database.sql(`UPDATE ${database.name('CertificateData')} SET ${assignment} WHERE fingerprint = ?`, [
        fingerprint(index),
      ]);

    before(async () => {
      database = await EjbcaDatabase.create(dialect);
    });
    beforeEach(() => database.reset());
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((store) => store.close()));
    });
    after(() => database.drop());

    const VARIANTS = {
      'as it is now': {},
      'of EJBCA 6, without the newer columns and tables': {
        without: NEWER_COLUMNS,
        tables: ['CertificateData', 'Base64CertData'],
      },
      'with names in the other case': { spelling: dialect === 'mysql' ? 'lower' : 'quoted' },
      ...(dialect === 'mysql' ? { 'in another character set': { charset: 'utf8mb4' } } : {}),
    } as const;
    for (const [kind, variant] of Object.entries(VARIANTS)) {
      it(`agrees with an own store of the same rows, database ${kind}`, async () => {
        await database.reset(variant);
        // Four-byte characters need more than MySQL's utf8mb3.
        const isNarrow = dialect === 'mysql' && kind !== 'in another character set';
        const isOld = 'without' in variant;
        const rows = someRows(300).map((each) => ({
          ...each,
          issuerDN: isNarrow ? each.issuerDN.replace('🌍', 'Erde') : each.issuerDN,
          ...(isOld ? { notBefore: -1, crlPartitionIndex: 0 } : {}),
        }));
        await insert(...rows);
        const [source, store] = [open(), own(...rows)];
        for (const [name, given] of Object.entries(FILTERS)) {
          const cas = isNarrow && 'Zweite Prüf-CA 🌍' in given.cas.named ? onlyCas(['Zweite Prüf-CA Erde']) : given.cas;
          const filter = { ...given, cas };
          const forth = await compareOnce(source, store, filter);
          assert.deepEqual(forth, { isEqual: true, total: forth.other, other: forth.other }, name);
          assert.equal(forth.total > 0, name !== 'a CA that is not there', name);
          assert.equal((await compareOnce(store, source, filter)).isEqual, true, name);
          const expected = (await allPages(store, filter)).map((each) =>
            filter.withCertificate ? each : { ...each, certificate: null },
          );
          assert.deepEqual(await allPages(source, filter, 110), expected, name);
        }
        assert.deepEqual(await source.count(), await store.count());
        assert.deepEqual(source.skippedRows(), []);
      });
    }

    it('finds exactly the rows that differ, in both directions', async () => {
      const rows = someRows(300);
      const changed = rows.map((each, index) => (index % 50 === 3 ? { ...each, username: 'changed' } : each));
      await database.reset({ charset: 'utf8mb4' });
      await insert(...changed.slice(5));
      const [source, store] = [open(), own(...rows.slice(0, 295))];
      const names = (all: readonly (CertificateData | undefined)[]) => all.map((each) => each?.fingerprint).sort();
      const different = [53, 103, 153, 203, 253].map((index) => rows[index]);
      assert.deepEqual(
        (await differences(source, store, EVERY_ROW)).toSorted(),
        names([...different, ...rows.slice(295)]),
      );
      assert.deepEqual(
        (await differences(store, source, EVERY_ROW)).toSorted(),
        names([...different, ...rows.slice(0, 5)]),
      );
    });

    it('sees that a certificate is missing only where it matters', async () => {
      const whole = rowWithBody(Buffer.from('certificate'));
      await insert({ ...whole, certificate: null });
      const [source, store] = [open(), own(whole)];
      assert.deepEqual(await differences(source, store, EVERY_ROW), [whole.fingerprint]);
      assert.deepEqual(await differences(source, store, { ...EVERY_ROW, withCertificate: false }), []);
    });

    it('finds certificates in the table beside', async () => {
      const whole = rowWithBody(Buffer.from('certificate in another table'));
      const both = rowWithBody(Buffer.from('certificate in both'));
      await insert({ ...whole, certificate: null }, both);
      const beside = [whole, both].map((each) => {
        const { fingerprint, base64Cert, rowVersion } = rawRow(each);
        return { fingerprint, base64Cert, rowVersion } as ReturnType<typeof rawRow>;
      });
      await database.insert('Base64CertData', [
        ...beside,
        { fingerprint: fingerprint(9), base64Cert: null, rowVersion: 0 },
      ]);
      await insert(row(9));
      const [source, store] = [open(), own(whole, both, row(9))];
      assert.equal((await compareOnce(source, store, EVERY_ROW)).isEqual, true);
      assert.deepEqual(await allPages(source, EVERY_ROW), sorted([whole, both, row(9)]));
      assert.deepEqual(await source.count(), { total: 3, revoked: 0, withCertificate: 2 });
    });

    it('reads certificates with line breaks and PEM lines', async () => {
      const whole = rowWithBody(randomBytes(300));
      const lines = Buffer.from(whole.certificate ?? [])
        .toString('base64')
        .replaceAll(/.{64}/g, '$&\r\n');
      await insertRaw(
        rawRow(whole, { base64Cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n` }),
      );
      assert.deepEqual(decode(await open().findByFingerprint(whole.fingerprint)), [whole]);
    });

    it('takes null and -1 for unknown', async () => {
      const nothing = {
        expireDate: null,
        notBefore: null,
        crlPartitionIndex: null,
        subjectKeyId: '',
        cAFingerprint: '',
      };
      await insertRaw(rawRow(row(1), nothing));
      const expected = row(1, { expireDate: -1, notBefore: -1 });
      const source = open();
      assert.deepEqual(await allPages(source, { ...EVERY_ROW, expiredBefore: SOON * 2 }), [expected]);
      assert.equal((await compareOnce(source, own(expected), EVERY_ROW)).isEqual, true);
    });

    describe('with rows of which one fingerprint has several', () => {
      const limited = (index: number, id: string, change: Partial<CertificateData> = {}) =>
        rawRow(row(index, { subjectDN: 'CN=limited', certificateProfileId: 0, ...REVOKED, ...change }), { id });

      it('counts the newest of them', async () => {
        await insert(row(1), row(2));
        await database.insert('NoConflictCertificateData', [
          limited(3, 'a', { updateTime: SOON + 1 }),
          limited(3, 'b', { updateTime: SOON + 3, username: 'newest' }),
          limited(3, 'c', { updateTime: SOON + 2 }),
        ]);
        const newest = row(3, {
          subjectDN: 'CN=limited',
          certificateProfileId: 0,
          ...REVOKED,
          updateTime: SOON + 3,
          username: 'newest',
        });
        const [source, store] = [open(), own(row(1), row(2), newest)];
        for (const filter of Object.values(FILTERS)) {
          assert.equal((await compareOnce(source, store, filter)).isEqual, true);
          assert.equal((await compareOnce(store, source, filter)).isEqual, true);
        }
        assert.deepEqual(await allPages(source, EVERY_ROW, 1), sorted([row(1), row(2), newest]));
        assert.deepEqual(decode(await source.findByFingerprint(fingerprint(3))), [newest]);
        assert.deepEqual(decode(await source.findBySerialNumber(newest.issuerDN, newest.serialNumber)), [newest]);
        assert.deepEqual(await source.count(), { total: 3, revoked: 1, withCertificate: 0 });
      });

      it('does not show an older state through a filter that the newest does not pass', async () => {
        await database.insert('NoConflictCertificateData', [
          limited(1, 'a'),
          limited(1, 'b', { status: 20, revocationReason: 8, revocationDate: -1, updateTime: SOON + 1 }),
        ]);
        assert.deepEqual(await allPages(open(), { ...EVERY_ROW, status: 'revoked' }), []);
      });

      it('takes one of two of the same time, always the same', async () => {
        await database.insert('NoConflictCertificateData', [limited(1, 'b', { username: 'b' }), limited(1, 'a')]);
        assert.deepEqual(
          (await allPages(open(), EVERY_ROW)).map((each) => each.username),
          ['b'],
        );
      });

      it('prefers the other table, as EJBCA does', async () => {
        await insert(row(1));
        await database.insert('NoConflictCertificateData', [limited(1, 'a', { updateTime: SOON + 99 })]);
        assert.deepEqual(await allPages(open(), EVERY_ROW), [row(1)]);
      });

      it('goes through both tables in the order of fingerprints whatever the size of a page', async () => {
        const rows = Array.from({ length: 200 }, (_, index) => row(index));
        await insert(...rows.filter((_, index) => index % 7 < 2));
        await database.insert(
          'NoConflictCertificateData',
          rows.filter((_, index) => index % 7 >= 2).map((each, index) => rawRow(each, { id: `${index}` })),
        );
        const source = open();
        for (const limit of [1, 3, 50, 199, 500]) {
          assert.deepEqual(await allPages(source, EVERY_ROW, limit), sorted(rows), `${limit}`);
        }
      });
    });

    it('leaves out what EJBCA writes to test its indexes', async () => {
      const tests = ['caba75f68c833c3c2d33f3f5052b7d5a76e80383', '05a219d835622653192c30eeeee8f01f918b30fb'];
      await insert(row(1), ...tests.map((each) => row(2, { fingerprint: each })));
      const source = open();
      assert.deepEqual(await allPages(source, EVERY_ROW), [row(1)]);
      assert.equal((await compareOnce(source, own(row(1)), EVERY_ROW)).isEqual, true);
      assert.equal((await source.findByFingerprint(tests[0] ?? '')).length, 0);
      assert.equal((await source.count()).total, 1);
    });

    const ODDITIES = {
      'a serial number that is no number': [{ serialNumber: '12ab' }, 'ERR_INVALID_INPUT'],
      'no serial number': [{ serialNumber: '' }, 'ERR_INVALID_INPUT'],
      'an endless serial number': [{ serialNumber: '9'.repeat(240) }, undefined],
      'an unknown status': [{ status: 77 }, 'ERR_MALFORMED_MESSAGE'],
      'an unknown reason': [{ revocationReason: 4711 }, 'ERR_MALFORMED_MESSAGE'],
      'a time beyond all calendars': [{ updateTime: 8_640_000_000_000_001 }, 'ERR_MALFORMED_MESSAGE'],
      'a time before 1970': [{ revocationDate: -5_000 }, 'ERR_MALFORMED_MESSAGE'],
      'a number beyond 2^53': [{ expireDate: '9223372036854775807' }, 'ERR_MALFORMED_MESSAGE'],
      'a fingerprint that is none': [{ fingerprint: 'not hexadecimal' }, 'ERR_MALFORMED_MESSAGE'],
      'a fingerprint in capitals': [{ fingerprint: fingerprint(5).toUpperCase() }, 'ERR_MALFORMED_MESSAGE'],
      'a CA fingerprint that is none': [{ cAFingerprint: 'zz' }, 'ERR_MALFORMED_MESSAGE'],
      'a negative partition': [{ crlPartitionIndex: -3 }, 'ERR_MALFORMED_MESSAGE'],
    } as const;
    for (const [what, [change, code]] of Object.entries(ODDITIES)) {
      it(`${code === undefined ? 'takes' : 'names and leaves out'} a row with ${what}`, async () => {
        const good = [row(1), row(2), row(3)];
        await insert(...good);
        await insertRaw(rawRow(row(5), change));
        const source = open();
        const { total } = await source.sums(EVERY_ROW, ALL_CAS, true);
        assert.equal(total, code === undefined ? 4 : 3);
        const skipped = source.skippedRows();
        assert.deepEqual(
          skipped.map((each) => [each.code, each.subjectDN, each.issuerDN]),
          code === undefined ? [] : [[code, 'CN=host-5', 'CN=Issuing CA,O=Test,C=SE']],
        );
        assert.ok(skipped.every((each) => each.detail !== '' && each.fingerprint !== ''));
        for (const limit of [1, 100]) assert.equal((await allPages(source, EVERY_ROW, limit)).length, total);
      });
    }

    it('sends the state without a certificate that is not its own, and says so', async () => {
      const bad = rowWithBody(Buffer.from('right'), REVOKED);
      await insertRaw(rawRow(bad, { base64Cert: Buffer.from('wrong').toString('base64') }));
      const source = open();
      await source.sums(EVERY_ROW, ALL_CAS, true);
      assert.deepEqual(await allPages(source, EVERY_ROW), [{ ...bad, certificate: null }]);
      assert.deepEqual(
        source.skippedRows().map((each) => [each.fingerprint, each.code]),
        [[bad.fingerprint, 'ERR_INVALID_CERTIFICATE']],
      );
      assert.deepEqual(decode(await source.findByFingerprint(bad.fingerprint)), [{ ...bad, certificate: null }]);
    });

    it('forgets what was wrong once it is mended', async () => {
      await insert(row(1));
      await set(1, "serialNumber = 'x'");
      const source = open();
      await source.sums(EVERY_ROW, ALL_CAS, true);
      assert.equal(source.skippedRows().length, 1);
      await set(1, "serialNumber = '7'");
      await source.sums(EVERY_ROW, ALL_CAS, true);
      assert.deepEqual(source.skippedRows(), []);
    });

    it('says that a row cannot be read, rather than that it is not there', async () => {
      await insert(row(1));
      await set(1, 'status = 99');
      const source = open();
      const { issuerDN, serialNumber } = row(1);
      await assert.rejects(source.findByFingerprint(fingerprint(1)), { code: 'ERR_MALFORMED_MESSAGE' });
      await assert.rejects(source.findBySerialNumber(issuerDN, serialNumber), { code: 'ERR_MALFORMED_MESSAGE' });
    });

    it('finds all certificates of one issuer and serial number, the newest first', async () => {
      const rows = [1, 2, 3].map((index) => row(index, { serialNumber: '-5', updateTime: SOON + index }));
      await insert(...rows, row(4, { serialNumber: '-5', issuerDN: 'CN=Other' }), row(5, { serialNumber: '5' }));
      assert.deepEqual(decode(await open().findBySerialNumber(row(1).issuerDN, '-005')), rows.toReversed());
    });

    it('finds nothing that is not there', async () => {
      await insert(row(1));
      const source = open();
      assert.equal((await source.findByFingerprint('00'.repeat(20))).length, 0);
      assert.equal((await source.findByFingerprint("' OR 1=1 --")).length, 0);
      assert.equal((await source.findByFingerprint(fingerprint(1).toUpperCase())).length > 0, true);
      assert.equal((await source.findBySerialNumber("CN=O'Hara\\", '1001')).length, 0);
      assert.equal((await source.findBySerialNumber('CN=\0', '1001')).length, 0);
      await assert.rejects(async () => source.findBySerialNumber('CN=x', '0x12'), { code: 'ERR_INVALID_INPUT' });
    });

    it('gives rows in the order in which they are asked for', async () => {
      const rows = [1, 2, 3, 4].map((index) => rowWithBody(Buffer.from(`number ${index}`.repeat(50))));
      await insert(...rows);
      const source = open();
      const wanted = [rows[3], row(99), rows[0], rows[2]].map((each) => Buffer.from(each?.fingerprint ?? '', 'hex'));
      const request = { fingerprints: Buffer.concat(wanted), withCertificate: true };
      const whole = await source.rowsOf({ ...request, maxBytes: 1e6 });
      assert.deepEqual(decode(whole.rows), [rows[3], rows[0], rows[2]]);
      assert.deepEqual([whole.count, whole.taken], [3, 4]);
      const some = await source.rowsOf({ ...request, maxBytes: 700 });
      assert.deepEqual([decode(some.rows), some.count, some.taken], [[rows[3], rows[0]], 2, 3]);
      const states = await source.rowsOf({ ...request, withCertificate: false, maxBytes: 1e6 });
      assert.deepEqual(
        decode(states.rows).map((each) => each.certificate),
        [null, null, null],
      );
    });

    describe('while it is being changed', () => {
      it('reads one snapshot until the next comparison begins', async () => {
        const rows = Array.from({ length: 40 }, (_, index) => row(index));
        await insert(...rows.slice(0, 30));
        const source = open();
        await source.sums(EVERY_ROW, ALL_CAS, true);
        await insert(...rows.slice(30));
        await set(1, 'status = 40');
        await database.sql(`DELETE FROM ${database.name('CertificateData')} WHERE fingerprint = ?`, [fingerprint(2)]);
        assert.deepEqual(await allPages(source, EVERY_ROW, 7), sorted(rows.slice(0, 30)));
        const { total } = await source.sums({ ...EVERY_ROW, status: 'active' }, ALL_CAS, false);
        assert.equal(total, 30);
        const bucket = Number.parseInt(fingerprint(2).slice(0, 4), 16);
        assert.equal((await source.bucketRows(EVERY_ROW, ALL_CAS, bucket)).length, 1);
        const fingerprints = Buffer.from(fingerprint(1), 'hex');
        const { rows: read } = await source.rowsOf({ fingerprints, withCertificate: false, maxBytes: 1e6 });
        assert.equal(decode(read)[0]?.status, 20);
        assert.equal((await source.sums(EVERY_ROW, ALL_CAS, true)).total, 39);
        assert.equal((await source.bucketRows(EVERY_ROW, ALL_CAS, bucket)).length, 0);
      });

      it('looks up single rows in the present state', async () => {
        await insert(row(1));
        const source = open();
        await source.sums(EVERY_ROW, ALL_CAS, true);
        await set(1, 'status = 40');
        assert.equal(decode(await source.findByFingerprint(fingerprint(1)))[0]?.status, 40);
        assert.equal((await source.count()).revoked, 1);
      });

      it('finishes a comparison that was overtaken by another', async () => {
        const rows = Array.from({ length: 3_000 }, (_, index) => row(index));
        await insert(...rows);
        const source = open();
        const scans = [1, 2, 3].map(async () => (await source.sums(EVERY_ROW, ALL_CAS, true)).total);
        assert.deepEqual(await Promise.all(scans), [3_000, 3_000, 3_000]);
        await waitFor(async () => (await database.connections()) === 1);
      });

      it('holds a snapshot no longer than it is used', async () => {
        await insert(row(1));
        const source = open({}, 60);
        await source.sums(EVERY_ROW, ALL_CAS, true);
        assert.equal(await database.connections(), 1);
        await waitFor(async () => (await database.connections()) === 0);
        assert.equal((await allPages(source, EVERY_ROW)).length, 1);
        assert.equal((await source.sums(EVERY_ROW, ALL_CAS, false)).total, 1);
      });

      it('goes on after its connections were lost', async () => {
        await insert(row(1));
        const source = open();
        await source.sums(EVERY_ROW, ALL_CAS, true);
        await source.findByFingerprint(fingerprint(1));
        assert.equal(await database.kill(), 2);
        await assert.rejects(source.bucketRows(EVERY_ROW, ALL_CAS, 0), { code: 'ERR_STORE_UNAVAILABLE' });
        await assert.rejects(source.findByFingerprint(fingerprint(1)), { code: 'ERR_STORE_UNAVAILABLE' });
        assert.equal((await source.sums(EVERY_ROW, ALL_CAS, false)).total, 1);
        assert.equal(decode(await source.findByFingerprint(fingerprint(1))).length, 1);
      });

      it('answers calls that are under way when it is closed', async () => {
        await insert(...Array.from({ length: 3_000 }, (_, index) => row(index)));
        const source = open();
        await source.sums(EVERY_ROW, ALL_CAS, true);
        const scan = source.sums({ ...EVERY_ROW, status: 'active' }, ALL_CAS, false);
        scan.catch(() => undefined);
        await source.close();
        await assert.rejects(scan, { code: 'ERR_STORE_UNAVAILABLE' });
        await waitFor(async () => (await database.connections()) === 0);
      });
    });

    it('refuses to be written to', async () => {
      const worker = new WorkerStore(database.config);
      try {
        await assert.rejects(worker.writeRows([stream(row(1))], ALL_CAS), {
          code: 'ERR_INVALID_CONFIG',
          message: /read only/,
        });
        await assert.rejects(worker.queueSummaries(0), { code: 'ERR_INVALID_CONFIG', message: /cannot hold a queue/ });
        assert.deepEqual(await worker.list({ limit: 10 }), []);
        await insert(row(1));
        assert.deepEqual(await worker.findByFingerprint(fingerprint(1)), row(1));
      } finally {
        await worker.close();
      }
    });

    it('refuses a database without the tables of EJBCA', async () => {
      await database.reset({ tables: [] });
      await assert.rejects(open().sums(EVERY_ROW, ALL_CAS, true), {
        code: 'ERR_STORE_NOT_A_DATABASE',
        message: /CertificateData/,
      });
    });

    it('begins to work by itself once the tables are there', async () => {
      await database.reset({ tables: [] });
      const source = open();
      await assert.rejects(source.findByFingerprint(fingerprint(1)), { code: 'ERR_STORE_NOT_A_DATABASE' });
      await database.reset();
      assert.equal((await source.findByFingerprint(fingerprint(1))).length, 0);
    });

    it('names a column that it cannot do without', async () => {
      await database.reset({ without: ['updateTime', 'status'], tables: ['CertificateData'] });
      await assert.rejects(open().count(), { code: 'ERR_STORE_NOT_A_DATABASE', message: /status, updateTime/ });
    });

    it('refuses a user who may read nothing', async () => {
      await database.revoke();
      try {
        await assert.rejects(open().sums(EVERY_ROW, ALL_CAS, true), (error: { code: string }) =>
          ['ERR_STORE_NOT_A_DATABASE', 'ERR_INVALID_CONFIG'].includes(error.code),
        );
      } finally {
        await database.grant();
      }
    });

    it('does without the columns that the user may not read', async () => {
      await insert(rowWithBody(Buffer.from('x'), { username: 'secret' }));
      await database.revoke();
      try {
        const names = 'fingerprint,issuerDN,subjectDN,serialNumber,status,revocationDate,revocationReason,expireDate';
        const table = database.name('CertificateData');
        await database.sql(`GRANT SELECT (${names},updateTime) ON ${table} TO ${database.grantee}`);
        const [read] = await allPages(open(), EVERY_ROW);
        assert.deepEqual([read?.username, read?.certificate, read?.subjectDN], [null, null, 'CN=host-0']);
      } finally {
        await database.grant();
      }
    });

    const WRONG: Readonly<Record<string, readonly [Partial<EjbcaConfig>, string]>> = {
      'an unknown user': [{ user: 'nobody_at_all' }, 'ERR_INVALID_CONFIG'],
      'a database that is not there': [{ database: 'nowhere_at_all' }, 'ERR_INVALID_CONFIG'],
      'a port that nobody listens on': [{ port: 9 }, 'ERR_STORE_UNAVAILABLE'],
      'a host that is not there': [{ host: 'nowhere.invalid' }, 'ERR_STORE_UNAVAILABLE'],
      'no port': [{ port: 0 }, 'ERR_INVALID_CONFIG'],
      'no host': [{ host: ' ' }, 'ERR_INVALID_CONFIG'],
      'another make': [{ dialect: 'oracle' as 'mysql' }, 'ERR_INVALID_CONFIG'],
      'TLS where the server has none': [{ host: 'localhost', tls: {} }, 'ERR_STORE_UNAVAILABLE'],
      ...(dialect === 'mysql'
        ? {
            'a wrong password': [{ password: 'wrong secret' }, 'ERR_INVALID_CONFIG'],
            'TLS to an address': [{ tls: {} }, 'ERR_INVALID_CONFIG'],
          }
        : {}),
    };
    for (const [what, [change, code]] of Object.entries(WRONG)) {
      it(`refuses ${what}, and keeps the password to itself`, async () => {
        const source = open(change);
        const isExpected = (error: Error & { code: string }): boolean => {
          assert.equal(error.code, code, error.message);
          assert.ok(![database.config.password, 'wrong secret'].some((secret) => error.message.includes(secret)));
          return true;
        };
        await assert.rejects(source.sums(EVERY_ROW, ALL_CAS, true), isExpected);
        await assert.rejects(source.findByFingerprint(fingerprint(1)), isExpected);
        await assert.rejects(source.count(), isExpected);
      });
    }

    describe('with 20,000 rows', () => {
      const rows = Array.from({ length: 20_000 }, (_, index) =>
        rowWithBody(Buffer.from(`certificate ${index} `.repeat(40)), { serialNumber: `${2n ** 150n + BigInt(index)}` }),
      );

      it('reads all of them in flat memory', async () => {
        await insert(...rows);
        const [source, store] = [open(), own(...rows)];
        const scanned = await heapGrowth(() => source.sums(EVERY_ROW, ALL_CAS, true));
        assert.ok(scanned < 16, `the scan took ${scanned} MB`);
        const paged = await heapGrowth(async () => {
          let [count, after]: [number, Uint8Array] = [0, NOTHING];
          for (;;) {
            const page = await source.page({ filter: EVERY_ROW, after, limit: 20_000, maxBytes: 1024 * 1024 });
            if (page.count === 0) break;
            count += page.count;
            after = page.last;
            assert.ok(page.rows.length < 1024 * 1024 + 3_000);
          }
          assert.equal(count, rows.length);
        });
        assert.ok(paged < 16, `the pages took ${paged} MB`);
        assert.equal((await compareOnce(source, store, EVERY_ROW)).isEqual, true);
      });

      it('fails rather than waits when the connection is lost in the middle', async () => {
        await insert(...rows.slice(0, 10_000));
        const source = open();
        const codes = new Set<string | undefined>();
        // Sometimes all of the result is on its way already.
        for (let round = 0; round < 20 && codes.size < 2; round++) {
          await source.sums(FILTERS['a CA that is not there'] as RowFilter, ALL_CAS, true);
          const { kill } = await database.aim();
          const scan = source.sums(EVERY_ROW, ALL_CAS, false).then(
            ({ total }) => assert.equal(total, 10_000),
            (error: { code: string }) => error.code,
          );
          await kill();
          codes.add((await scan) ?? undefined);
          if (round > 3 && codes.has('ERR_STORE_UNAVAILABLE')) break;
        }
        assert.equal(codes.has('ERR_STORE_UNAVAILABLE'), true);
        assert.equal((await source.sums(EVERY_ROW, ALL_CAS, true)).total, 10_000);
      });

      it('remembers so many bad rows and no more, and pages past them', async () => {
        await insert(...rows.slice(0, 10_500).map((each) => ({ ...each, certificate: null })));
        await database.sql(`UPDATE ${database.name('CertificateData')} SET status = 99`);
        await insert(row(1, { fingerprint: 'f'.repeat(40) }));
        const source = open();
        assert.equal((await source.sums(EVERY_ROW, ALL_CAS, true)).total, 1);
        assert.equal(source.skippedRows().length, 10_000);
        assert.equal((await allPages(source, EVERY_ROW, 700)).length, 1);
      });
    });
  });
}

describe('EJBCA database that is not one', function () {
  this.timeout(20_000);
  const config = (dialect: Dialect, port: number): EjbcaConfig => ({
    kind: 'ejbca',
    dialect,
    host: '127.0.0.1',
    port,
    database: 'ejbca',
    user: 'ejbca',
    password: 'secret',
  });

  it('is given up after five seconds when it accepts and says nothing', async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    try {
      const start = Date.now();
      const tries = (['mysql', 'postgres'] as const).map((dialect) =>
        assert.rejects(new EjbcaStore(config(dialect, port)).count(), { code: 'ERR_STORE_UNAVAILABLE' }),
      );
      await Promise.all(tries);
      assert.ok(Date.now() - start < 6_000);
    } finally {
      for (const socket of sockets) socket.destroy();
      server.close();
    }
  });

  it('is given up when it speaks another language', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    try {
      for (const dialect of ['mysql', 'postgres'] as const)
        await assert.rejects(new EjbcaStore(config(dialect, port)).count(), { code: 'ERR_STORE_UNAVAILABLE' });
    } finally {
      server.close();
    }
  });

  it('names the package that is not installed', () => {
    const folder = mkdtempSync(join(tmpdir(), 'no-drivers-'));
    try {
      for (const part of ['errors.ts', 'store', 'x509'])
        cpSync(new URL(`../../../lib/${part}`, import.meta.url), join(folder, part), { recursive: true });
      for (const [dialect, name] of [
        ['mysql', 'mysql2'],
        ['postgres', 'pg'],
      ] as const) {
        const script = `
          const { EjbcaStore } = await import(${JSON.stringify(join(folder, 'store/ejbca-store.ts'))});
          await new EjbcaStore(${JSON.stringify(config(dialect, PORTS[dialect]))}).count().catch((error) => {
            console.log(error.code, error.message);
          });`;
        const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
          encoding: 'utf8',
          cwd: folder,
          stdio: ['ignore', 'pipe', 'ignore'],
        });
        assert.match(said, new RegExp(`^ERR_INVALID_CONFIG .*'${name}'`));
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Megabytes by which the heap was larger at most than before. All rows at once would be some 50. */
async function heapGrowth(work: () => Promise<unknown>): Promise<number> {
  const used = (): number => {
    collectGarbage();
    return process.memoryUsage().heapUsed / 1024 / 1024;
  };
  const before = used();
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, used());
  }, 100);
  await work();
  clearInterval(timer);
  return most - before;
}

async function waitFor(isTrue: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 5_000; Date.now() < end; await delay(20)) if (await isTrue()) return;
  assert.fail('It did not happen within 5 s');
}
