/**
 * Whether what a PostgreSQL store keeps about its rows is what they are.
 */
import assert from 'node:assert/strict';
import { readRows, rowDigest } from '../../../lib/store/certificate-row.ts';
import type { CertificateStore } from '../../../lib/store/certificate-store.ts';
import type { PostgresConfig } from '../../../lib/store/postgres-connection.ts';
import { bucketOf, RangeSums } from '../../../lib/store/range-sums.ts';
import { EVERY_ROW } from '../../../lib/store/row-filter.ts';
import { query } from './postgres-database.ts';

/** Compares the sums of all rows, with and without certificates, to a recount of what is read; counts and bodies, too. */
export async function sumsAreRight(store: CertificateStore, config: PostgresConfig): Promise<void> {
  const request = { filter: EVERY_ROW, after: new Uint8Array(0), limit: 1_000_000, maxBytes: 1_000_000_000 };
  const rows = readRows((await store.page(request)).rows);
  for (const withCertificate of [true, false]) {
    const own = new RangeSums();
    for (const each of rows) {
      const digest = Buffer.from(rowDigest(each), 'hex');
      const { fingerprint, certificate } = each;
      const [high, low] =
        withCertificate && certificate !== null ? [word(fingerprint, 0), word(fingerprint, 4)] : [0, 0];
      own.add(bucketOf(fingerprint), 1, word(digest, 0) + high, word(digest, 4) + low);
    }
    const filter = { ...EVERY_ROW, withCertificate };
    const asked = await store.askRanges({ filter, level: 0, parents: new Uint16Array(0) });
    assert.equal(asked.total, rows.length);
    const hashes = Buffer.from(own.hashes(0, new Uint16Array(0)));
    assert.ok(Buffer.from(asked.body).includes(hashes), 'the sums are not those of the rows');
  }
  assert.deepEqual(await store.count(), {
    total: rows.length,
    revoked: rows.filter(({ status }) => status === 40).length,
    withCertificate: rows.filter(({ certificate }) => certificate !== null).length,
  });
  const [orphans] = await query(
    'SELECT count(*)::INTEGER AS n FROM CertificateBody FULL JOIN CertificateData d USING (bodyId) ' +
      'WHERE (d.fingerprint IS NULL) OR (bodyId IS NOT NULL AND certificate IS NULL)',
    config,
  );
  assert.equal(orphans?.['n'], 0, 'certificates without a row, or a row without its certificate');
}

function word(bytes: Uint8Array, at: number): number {
  return Buffer.from(bytes).readUInt32BE(at);
}
