/**
 * What the relations of an instance take on disk, and who owns them; of a tenant with what it wrote
 * into the catalogue. Sizes come from the files, by
 * way of `pg_stat_file`: the usual functions would wait for locks that tenants hold, and a view
 * that sums them would run once for every relation and schema.
 */
import type { MetricName, Readings, TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { CATALOGUE_SIZES } from "./catalogue-sizes.ts";
import { byTenant, pick } from "./metering.ts";

export interface SizesAnswer {
  readonly gauges: Readings;
  /** Of every tenant that owns anything. */
  readonly tenants: ReadonlyMap<TenantId, Readings>;
}

const NAMES = [
  "storage_bytes",
  "live_rows",
  "dead_rows",
  "bloat_bytes",
] as const satisfies readonly MetricName[];

export async function askSizes(client: Client): Promise<SizesAnswer> {
  const { rows } = await client.query<Record<string, unknown>>(STATEMENT);
  const [row = {}] = rows;
  return { gauges: pick(row, NAMES), tenants: byTenant(row["tenants"], NAMES) };
}

/** Postgres begins a new file at this size. */
const SEGMENT_BYTES = 1_073_741_824;
/** Everything below is Postgres's own. */
const FIRST_USER_OID = 16_384;

/**
 * The beginning of a statement: `relations` that a condition on `c` of pg_class lets through, and
 * `sizes` in bytes of what they have on disk. Where the database's own files are is asked once, of
 * a relation that every database has. Looking each path up would load every row of pg_class into
 * the session's memory one by one.
 */
export function withSizes(condition: string, firstOid = FIRST_USER_OID): string {
  return `
with recursive home as materialized (
  select pg_catalog.regexp_replace(pg_catalog.pg_relation_filepath('pg_catalog.pg_class'::regclass),
    '[0-9]+$', '') as directory
), relations as materialized (
  select c.oid, c.relowner, c.relpersistence,
    case when c.reltablespace <> 0 then pg_catalog.pg_relation_filepath(c.oid)
      -- Files of temporary relations carry the number of their session, as their schema does.
      when c.relpersistence = 't' then home.directory || 't' ||
        pg_catalog.substring(n.nspname::pg_catalog.text, '[0-9]+$') || '_' || c.relfilenode
      else home.directory || c.relfilenode end as path
  from home, pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.oid >= ${firstOid} and c.relkind in ('r', 'i', 'm', 'S', 't')
    and c.relfilenode <> 0 and ${condition}
), files (oid, path, segment, bytes) as (
  select r.oid, r.path || fork, 0, (pg_catalog.pg_stat_file(r.path || fork, true)).size
  from relations r, (values (''), ('_fsm'), ('_vm'), ('_init')) forks (fork)
  where fork <> '_init' or r.relpersistence = 'u'
  union all
  select f.oid, f.path, f.segment + 1,
    (pg_catalog.pg_stat_file(f.path || '.' || (f.segment + 1), true)).size
  from files f where f.bytes >= ${SEGMENT_BYTES}
), sizes as (
  select oid, coalesce(pg_catalog.sum(bytes), 0)::float8 as bytes from files group by oid
)`;
}

const STATEMENT = `${withSizes("true")}, owned as (
  select r.relowner, s.bytes,
    pg_catalog.pg_stat_get_live_tuples(r.oid)::float8 as live_rows,
    pg_catalog.pg_stat_get_dead_tuples(r.oid)::float8 as dead_rows
  from relations r join sizes s using (oid)
), owners as (
  select relowner, pg_catalog.sum(bytes) as storage_bytes,
    pg_catalog.sum(live_rows) as live_rows, pg_catalog.sum(dead_rows) as dead_rows,
    pg_catalog.sum(case when dead_rows > 0
      then bytes * dead_rows / (live_rows + dead_rows) else 0 end) as bloat_bytes
  from owned group by relowner
), written (relowner, bytes) as (${CATALOGUE_SIZES}
), tenants as (
  select r.rolname as tenant,
    coalesce(o.storage_bytes, 0) + coalesce(w.bytes, 0) as storage_bytes,
    coalesce(o.live_rows, 0) as live_rows, coalesce(o.dead_rows, 0) as dead_rows,
    coalesce(o.bloat_bytes, 0) as bloat_bytes
  from owners o full join written w using (relowner)
  join pg_catalog.pg_roles r on r.oid = relowner
  where pg_catalog.starts_with(r.rolname::pg_catalog.text, 'ten_')
)
select pg_catalog.pg_database_size(pg_catalog.current_database())::float8 as storage_bytes,
  coalesce((select pg_catalog.sum(live_rows) from owners), 0) as live_rows,
  coalesce((select pg_catalog.sum(dead_rows) from owners), 0) as dead_rows,
  coalesce((select pg_catalog.sum(bloat_bytes) from owners), 0) as bloat_bytes,
  (select pg_catalog.json_agg(tenants) from tenants) as tenants`;
