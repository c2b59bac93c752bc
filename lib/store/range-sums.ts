/**
 * Count and hash of every range of fingerprints, so that two stores find out where they differ without
 * telling each other what they hold.
 *
 * Fingerprints are uniform, so the ranges are balanced without any tree: level 0 is everything, level 4 its
 * 65,536 buckets by the first 16 bits, and each range of a level holds 16 of the next. A range's hash is the
 * sum, modulo 2^32 in two lanes, of the digests of its rows (see `rowDigest`); a sum is kept current by adding
 * and subtracting, and unlike XOR it does not forget a pair of equal changes.
 */
import { PeerError } from '../errors.ts';

/** Levels of ranges, the whole included. */
export const RANGE_LEVELS = 5;
/** Ranges on the last level. */
export const BUCKETS = 65_536;
/** Ranges of the next level in one range. */
const FAN_OUT = 16;
/** Bytes of a range's hash on the wire. */
export const HASH_BYTES = 8;

/** The bucket of a fingerprint. */
export function bucketOf(fingerprint: Uint8Array): number {
  return ((fingerprint[0] ?? 0) << 8) | (fingerprint[1] ?? 0);
}

interface Level {
  readonly counts: Uint32Array;
  readonly high: Uint32Array;
  readonly low: Uint32Array;
}

/** Sums of one subset of one store. */
export class RangeSums {
  readonly #levels: readonly Level[] = Array.from({ length: RANGE_LEVELS }, (_, level) => {
    const size = FAN_OUT ** level;
    return { counts: new Uint32Array(size), high: new Uint32Array(size), low: new Uint32Array(size) };
  });

  /** Rows in all. */
  get total(): number {
    return this.#levels[0]?.counts[0] ?? 0;
  }

  /** Adds rows of a bucket, or takes them away, by the sum of their digests. */
  add(bucket: number, count: number, high: number, low: number): void {
    for (let level = RANGE_LEVELS - 1; level >= 0; level--) {
      const { counts, high: highs, low: lows } = this.#levels[level] as Level;
      const range = bucket >>> (4 * (RANGE_LEVELS - 1 - level));
      // Typed arrays do the arithmetic modulo 2^32.
      counts[range] = (counts[range] ?? 0) + count;
      highs[range] = (highs[range] ?? 0) + high;
      lows[range] = (lows[range] ?? 0) + low;
    }
  }

  /** Gives a bucket the sums of its present rows. */
  replace(bucket: number, count: number, high: number, low: number): void {
    const leaves = this.#levels[RANGE_LEVELS - 1] as Level;
    const at = (values: Uint32Array): number => values[bucket] ?? 0;
    this.add(bucket, count - at(leaves.counts), high - at(leaves.high), low - at(leaves.low));
  }

  /** Hashes of the children of these ranges; on level 0 the hash of everything. */
  hashes(level: number, parents: Uint16Array): Uint8Array<ArrayBuffer> {
    const ranges = childrenOf(level, parents);
    const { counts, high, low } = this.#levels[level] as Level;
    const view = new DataView(new ArrayBuffer(ranges.length * HASH_BYTES));
    ranges.forEach((range, index) => {
      view.setUint32(index * HASH_BYTES, high[range] ?? 0);
      view.setUint32(index * HASH_BYTES + 4, (low[range] ?? 0) + (counts[range] ?? 0));
    });
    return new Uint8Array(view.buffer);
  }

  /**
   * One bit per hash of the other side, the first in the highest bit: 1 = differs.
   *
   * @throws PeerError ERR_MALFORMED_MESSAGE when there is not one hash for each range
   */
  compare(level: number, parents: Uint16Array, hashes: Uint8Array): Uint8Array<ArrayBuffer> {
    const own = this.hashes(level, parents);
    if (own.length !== hashes.length) {
      throw new PeerError(
        'ERR_MALFORMED_MESSAGE',
        `${hashes.length} bytes of hashes are not those of ${own.length / HASH_BYTES} ranges`,
      );
    }
    const bits = new Uint8Array(Math.ceil(own.length / HASH_BYTES / 8));
    for (let at = 0; at < own.length; at++) {
      const range = Math.floor(at / HASH_BYTES);
      if (own[at] !== hashes[at]) bits[range >>> 3] = (bits[range >>> 3] ?? 0) | (0x80 >>> (range & 7));
    }
    return bits;
  }
}

/**
 * The ranges of a level below the given ones of the level above.
 *
 * @throws PeerError ERR_MALFORMED_MESSAGE when there are no such ranges
 */
export function childrenOf(level: number, parents: Uint16Array): Uint16Array {
  if (level === 0) return Uint16Array.of(0);
  if (!(level > 0 && level < RANGE_LEVELS) || parents.some((range) => range >= FAN_OUT ** (level - 1))) {
    throw new PeerError('ERR_MALFORMED_MESSAGE', `There are no such ranges on level ${level}`);
  }
  const children = new Uint16Array(parents.length * FAN_OUT);
  children.forEach((_, index) => {
    children[index] = (parents[index >>> 4] ?? 0) * FAN_OUT + (index & 15);
  });
  return children;
}

/** The items whose bit is set. */
export function pick(items: Uint16Array, bits: Uint8Array): Uint16Array {
  return items.filter((_, index) => ((bits[index >>> 3] ?? 0) & (0x80 >>> (index & 7))) !== 0);
}
