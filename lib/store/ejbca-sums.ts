/**
 * What comparisons need of an EJBCA database: the same sums and hashes as own stores give.
 */
import type { CaScope } from '../x509/ca-scope.ts';
import { rowDigest } from './certificate-row.ts';
import type { EjbcaReader } from './ejbca-reader.ts';
import type { SourceRow } from './ejbca-row.ts';
import type { BodyChoice } from './ejbca-select.ts';
import type { BucketRow } from './range-comparison.ts';
import { BUCKETS, bucketOf, HASH_BYTES, RangeSums } from './range-sums.ts';
import type { RowFilter } from './row-filter.ts';

/** Subsets whose sums are remembered between the steps of a comparison. */
const MAX_REMEMBERED = 4;

/** Sums of a subset, by one scan. No certificate is read. */
export async function scanSums(reader: EjbcaReader, filter: RowFilter, within: CaScope): Promise<RangeSums> {
  const sums = new RangeSums();
  for await (const rows of reader.scan({ filter, within, body: bodyFor(filter) })) {
    for (const row of rows) addRow(sums, row);
  }
  return sums;
}

/** The sums of a subset from a memory, or made and put there. The one used longest ago is forgotten. */
export async function rememberedSums(
  memory: Map<string, RangeSums>,
  key: string,
  make: () => Promise<RangeSums>,
): Promise<RangeSums> {
  const known = memory.get(key);
  const sums = known ?? (await make());
  memory.delete(key);
  memory.set(key, sums);
  const [oldest] = memory.keys();
  if (memory.size > MAX_REMEMBERED && oldest !== undefined) memory.delete(oldest);
  return sums;
}

/** Rows of a bucket, see ComparableEngine. */
export async function readBucket(
  reader: EjbcaReader,
  selection: { readonly filter: RowFilter; readonly within: CaScope },
  bucket: number,
): Promise<readonly BucketRow[]> {
  const from = hexOf(bucket);
  // No fingerprint reaches the letter g.
  const to = bucket + 1 < BUCKETS ? hexOf(bucket + 1) : 'g';
  const rows = await reader.between({ ...selection, body: bodyFor(selection.filter) }, { from, to });
  return rows.map(({ columns, hasCertificate }) => {
    const digest = Buffer.from(rowDigest(columns).slice(0, HASH_BYTES * 2), 'hex');
    if (hasCertificate) digest[HASH_BYTES - 1] = (digest[HASH_BYTES - 1] ?? 0) ^ 1;
    return { fingerprint: columns.fingerprint, hash: digest };
  });
}

function addRow(sums: RangeSums, { columns, hasCertificate }: SourceRow): void {
  const { fingerprint } = columns;
  const digest = rowDigest(columns);
  const high = Number.parseInt(digest.slice(0, 8), 16);
  const low = Number.parseInt(digest.slice(8, 16), 16);
  if (!hasCertificate) return sums.add(bucketOf(fingerprint), 1, high, low);
  const view = new DataView(fingerprint.buffer, fingerprint.byteOffset, HASH_BYTES);
  sums.add(bucketOf(fingerprint), 1, high + view.getUint32(0), low + view.getUint32(4));
}

/** Whether the certificate is there is looked at only where it matters. */
function bodyFor({ withCertificate }: RowFilter): BodyChoice {
  return withCertificate ? 'presence' : 'none';
}

function hexOf(bucket: number): string {
  return bucket.toString(16).padStart(4, '0');
}
