/**
 * What the relations of an instance take on disk, and who owns them. Sizes come from the files, by
 * way of `pg_stat_file`: the usual functions would wait for locks that tenants hold, and a view
 * that sums them would run once for every relation and schema.
 */
import type { MetricName, Readings, TenantId } from "@aerodb/model";
import type { Client } from "pg";
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
 * Where the database's own files are is asked once, of a relation that every database has. Looking
 * each path up would load every row of pg_class into the session's memory one by one.
 */
const STATEMENT = `
with recursive home as materialized (
  select pg_catalog.regexp_replace(pg_catalog.pg_relation_filepath('pg_catalog.pg_class'::regclass),
    '[0-9]+$', '') as directory
), relations as materialized (
  select c.oid, c.relowner,
    case when c.reltablespace = 0 then home.directory || c.relfilenode
      else pg_catalog.pg_relation_filepath(c.oid) end as path
  from pg_catalog.pg_class c, home
  where c.oid >= ${FIRST_USER_OID} and c.relkind in ('r', 'i', 'm', 'S', 't')
    and c.relfilenode <> 0
), files (oid, path, segment, bytes) as (
  select r.oid, r.path || fork, 0, (pg_catalog.pg_stat_file(r.path || fork, true)).size
  from relations r, (values (''), ('_fsm'), ('_vm')) forks (fork)
  union all
  select f.oid, f.path, f.segment + 1,
    (pg_catalog.pg_stat_file(f.path || '.' || (f.segment + 1), true)).size
  from files f where f.bytes >= ${SEGMENT_BYTES}
), sizes as (
  select oid, coalesce(pg_catalog.sum(bytes), 0)::float8 as bytes from files group by oid
), owned as (
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
), tenants as (
  select r.rolname as tenant, o.storage_bytes, o.live_rows, o.dead_rows, o.bloat_bytes
  from owners o join pg_catalog.pg_roles r on r.oid = o.relowner
  where pg_catalog.starts_with(r.rolname::pg_catalog.text, 'ten_')
)
select pg_catalog.pg_database_size(pg_catalog.current_database())::float8 as storage_bytes,
  coalesce((select pg_catalog.sum(live_rows) from owners), 0) as live_rows,
  coalesce((select pg_catalog.sum(dead_rows) from owners), 0) as dead_rows,
  coalesce((select pg_catalog.sum(bloat_bytes) from owners), 0) as bloat_bytes,
  (select pg_catalog.json_agg(tenants) from tenants) as tenants`;
