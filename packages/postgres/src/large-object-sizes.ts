/**
 * What the large objects of each tenant take on disk. All of them lie in one relation of the
 * catalogue, of which the meter may see whose object a row is part of and in which block it lies,
 * and nothing of what it says. Where there are many blocks some are looked at.
 */
import { isId, type TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { type BlockPattern, rowBytesOf } from "./block-patterns.ts";
import { withSizes } from "./metering-sizes.ts";

/** The first look: it tells how many rows a block has. */
const FIRST_BLOCKS = 256;
/** 256 MiB: so many are looked at one by one. */
const MOST_BLOCKS = 32_768;
/**
 * A tenant can have rows of a few bytes: this bounds what a look takes. Of whole pages there are so
 * many in 200 MiB.
 */
const MOST_ROWS = 100_000;

type Owners = ReadonlyMap<string, number>;

/**
 * Bytes on disk, by tenant, of every tenant that has any. Of a relation with more than `mostBlocks`
 * blocks a sample is read, so the figures are estimates then.
 */
export async function askLargeObjects(
  client: Client,
  mostBlocks = MOST_BLOCKS,
): Promise<ReadonlyMap<TenantId, number>> {
  const { rows: held } = await client.query<Held>(SIZES);
  const sums = new Map<string, number>();
  const addAll = (bytes: number, owners: Owners): void => {
    const all = [...owners.values()].reduce((sum, each) => sum + each, 0);
    for (const [owner, part] of owners) {
      sums.set(owner, (sums.get(owner) ?? 0) + (bytes * part) / all);
    }
  };
  for (const { relation, bytes, indexBytes, blocks } of held) {
    if (blocks === 0) continue;
    const patterns = await lookAt(client, relation, { blocks, mostBlocks });
    const rows = rowsOf(patterns);
    // Rows of the other are all of one size: there is one for each object, be it empty.
    const rowBytes = relation === "pg_largeobject" ? rowBytesOf(patterns) : new Map();
    addAll(bytes, new Map([...rows].map(([owner, n]) => [owner, n * (rowBytes.get(owner) ?? 1)])));
    addAll(indexBytes, rows);
  }
  return new Map(
    [...sums].flatMap(([owner, bytes]) => (isId("ten", owner) ? [[owner, bytes]] : [])),
  );
}

interface Held {
  readonly relation: "pg_largeobject" | "pg_largeobject_metadata";
  /** With what Postgres keeps of free room. */
  readonly bytes: number;
  readonly indexBytes: number;
  readonly blocks: number;
}

async function lookAt(
  client: Client,
  relation: Held["relation"],
  { blocks, mostBlocks }: { readonly blocks: number; readonly mostBlocks: number },
): Promise<readonly BlockPattern[]> {
  const look = async (share: number): Promise<readonly BlockPattern[]> => {
    const percent = Math.min(100, share * 100);
    const { rows } = await client.query<BlockPattern>(PATTERNS[relation], [percent]);
    return rows;
  };
  const first = await look(FIRST_BLOCKS / blocks);
  if (blocks <= FIRST_BLOCKS) return first;
  const seen = first.reduce((sum, each) => sum + each.blocks, 0);
  const rows = [...rowsOf(first).values()].reduce((sum, each) => sum + each, 0);
  const affordable = Math.min(mostBlocks, (MOST_ROWS * seen) / Math.max(1, rows));
  return affordable > FIRST_BLOCKS ? look(affordable / blocks) : first;
}

function rowsOf(patterns: readonly BlockPattern[]): Owners {
  const sums = new Map<string, number>();
  for (const { owners, rows, blocks } of patterns) {
    for (const [at, owner] of owners.entries()) {
      sums.set(owner, (sums.get(owner) ?? 0) + (rows[at] ?? 0) * blocks);
    }
  }
  return sums;
}

const BOTH = ["pg_largeobject", "pg_largeobject_metadata"].map((name) => {
  return `'pg_catalog.${name}'::pg_catalog.regclass`;
});
const HELD = `c.oid = any (array[${BOTH.join(", ")}]::pg_catalog.oid[] || array(
    select i.indexrelid from pg_catalog.pg_index i where i.indrelid in (${BOTH.join(", ")})))`;

const SIZES = `${withSizes(HELD, 0)}
select t.relname::pg_catalog.text as relation,
  coalesce(pg_catalog.sum(s.bytes) filter (where s.oid = t.oid), 0)::float8 as bytes,
  coalesce(pg_catalog.sum(s.bytes) filter (where s.oid <> t.oid), 0)::float8 as "indexBytes",
  pg_catalog.ceil(coalesce(pg_catalog.sum(s.bytes) filter (where s.oid = t.oid), 0)
    / pg_catalog.current_setting('block_size')::float8)::float8 as blocks
from sizes s left join pg_catalog.pg_index i on i.indexrelid = s.oid
join pg_catalog.pg_class t on t.oid = coalesce(i.indrelid, s.oid)
group by 1`;

/** Blocks in which the same owners have as many rows each are told together. */
function patternsOf(relation: Held["relation"], from: string): string {
  return `
with seen as materialized (
  select m.lomowner, (l.ctid::pg_catalog.text::pg_catalog.point)[0] as block
  from pg_catalog.${relation} l tablesample system ($1) ${from}
), counted as (
  select block, lomowner, pg_catalog.count(*)::pg_catalog.int4 as rows
  from seen group by block, lomowner
), blocks as (
  select pg_catalog.array_agg(coalesce(r.rolname::pg_catalog.text, '')
      order by c.lomowner) as owners,
    pg_catalog.array_agg(c.rows order by c.lomowner) as rows
  from counted c left join pg_catalog.pg_roles r on r.oid = c.lomowner group by c.block
)
select owners, rows, pg_catalog.count(*)::pg_catalog.int4 as blocks from blocks
group by owners, rows`;
}

const PATTERNS: Readonly<Record<Held["relation"], string>> = {
  pg_largeobject: patternsOf(
    "pg_largeobject",
    "join pg_catalog.pg_largeobject_metadata m on m.oid = l.loid",
  ),
  pg_largeobject_metadata: patternsOf(
    "pg_largeobject_metadata",
    "cross join lateral (select l.lomowner) m",
  ),
};
