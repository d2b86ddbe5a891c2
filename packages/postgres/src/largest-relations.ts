/** What of a tenant takes most room, from the catalogue and the files: none of its code runs. */
import type { TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { CATALOGUE_SIZES } from "./catalogue-sizes.ts";
import { withSizes } from "./metering-sizes.ts";

export type RelationKind =
  | "table"
  | "index"
  | "materialized view"
  | "sequence"
  | "large objects"
  | "catalogue";

export interface SizedRelation {
  readonly schema: string;
  readonly name: string;
  readonly kind: RelationKind;
  /** Of an index the table it is on; else empty. */
  readonly table: string;
  /** Of a table with what is stored outside of its rows, without its indexes. */
  readonly bytes: bigint;
}

/** Those of a tenant, largest first, at most so many. */
export async function askLargestRelations(
  client: Client,
  tenantId: TenantId,
  limit: number,
): Promise<readonly SizedRelation[]> {
  const { rows } = await client.query<RelationRow>(STATEMENT, [tenantId, limit]);
  return rows.map(({ kind, bytes, ...row }) => ({
    ...row,
    kind: KINDS[kind] ?? "table",
    bytes: BigInt(Math.round(bytes)),
  }));
}

interface RelationRow {
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
  readonly table: string;
  readonly bytes: number;
}

/** By `relkind`, and what is no relation. */
const KINDS: Readonly<Record<string, RelationKind>> = {
  r: "table",
  i: "index",
  m: "materialized view",
  S: "sequence",
  catalogue: "catalogue",
};

const OWN = `c.relowner = (select oid from pg_catalog.pg_roles
    where rolname::pg_catalog.text = $1)`;

/** A page. Less is not worth a line. */
const WORTH_TELLING = 8_192;

/** What is stored outside of rows, and the index of that, is its table's. */
const STATEMENT = `${withSizes(OWN)}, told as (
  select coalesce(outside.oid, indexed.oid, s.oid) as oid, pg_catalog.sum(s.bytes) as bytes
  from sizes s
  left join pg_catalog.pg_class outside on outside.reltoastrelid = s.oid
  left join pg_catalog.pg_index i on i.indexrelid = s.oid
  left join pg_catalog.pg_class indexed on indexed.reltoastrelid = i.indrelid
  group by 1
)
select n.nspname::pg_catalog.text as schema, c.relname::pg_catalog.text as name,
  c.relkind::pg_catalog.text as kind, coalesce(t.relname::pg_catalog.text, '') as table,
  told.bytes::float8 as bytes
from told
join pg_catalog.pg_class c on c.oid = told.oid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_index i on i.indexrelid = c.oid
left join pg_catalog.pg_class t on t.oid = i.indrelid
where told.bytes > 0
union all
select '', 'functions, views, comments and settings', 'catalogue', '', written.bytes
from (${CATALOGUE_SIZES}) written
where written.bytes >= ${WORTH_TELLING} and written.owner = (
  select oid from pg_catalog.pg_roles where rolname::pg_catalog.text = $1)
order by bytes desc, schema, name
limit $2`;
