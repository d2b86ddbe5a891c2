/**
 * How large the rows of each owner are, told by how many of whose share a block. Rows of large
 * objects are compressed, and as small as their owner likes, and nobody but the owner may look at
 * one: but blocks are full, or nearly, and no row is larger than a page of an object.
 */
export interface BlockPattern {
  readonly owners: readonly string[];
  /** How many rows each of them has in such a block. */
  readonly rows: readonly number[];
  /** How many blocks are so. */
  readonly blocks: number;
}

/** Of a block of 8 KiB what rows can have, their pointers among it. */
const BLOCK_BYTES = 8_168;
/** A page of a large object with its header and pointer, and one of a byte. */
const LARGEST_ROW = 2_092;
const SMALLEST_ROW = 44;
/** Each round mends the estimate of every owner by those of the others. */
const ROUNDS = 20;

interface Share {
  readonly pattern: number;
  readonly rows: number;
}

/**
 * For each owner the size of a row with which blocks come out as full as they can be: by least
 * squares, one owner after the other, within what a row can be.
 */
export function rowBytesOf(patterns: readonly BlockPattern[]): ReadonlyMap<string, number> {
  const shares = new Map<string, Share[]>();
  for (const [pattern, { owners, rows }] of patterns.entries()) {
    for (const [at, owner] of owners.entries()) {
      const own = shares.get(owner) ?? [];
      own.push({ pattern, rows: rows[at] ?? 0 });
      shares.set(owner, own);
    }
  }
  const sizes = new Map([...shares.keys()].map((owner) => [owner, SMALLEST_ROW]));
  const filled = patterns.map(({ rows }) => {
    return rows.reduce((sum, count) => sum + count * SMALLEST_ROW, 0);
  });
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [owner, own] of shares) {
      const before = sizes.get(owner) ?? SMALLEST_ROW;
      const after = fitted(own, { before, filled, patterns });
      sizes.set(owner, after);
      for (const { pattern, rows } of own) {
        filled[pattern] = (filled[pattern] ?? 0) + rows * (after - before);
      }
    }
  }
  return sizes;
}

function fitted(
  own: readonly Share[],
  now: {
    readonly before: number;
    readonly filled: readonly number[];
    readonly patterns: readonly BlockPattern[];
  },
): number {
  let [above, below] = [0, 0];
  for (const { pattern, rows } of own) {
    const blocks = now.patterns[pattern]?.blocks ?? 0;
    const left = BLOCK_BYTES - ((now.filled[pattern] ?? 0) - rows * now.before);
    above += blocks * rows * left;
    below += blocks * rows * rows;
  }
  return Math.min(LARGEST_ROW, Math.max(SMALLEST_ROW, above / below));
}
