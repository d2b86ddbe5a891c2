import { type Db, sql } from "@aerodb/db";

/** So far above what somebody holds that no other ledger of the time before holds a newer one. */
const MARGIN = 1_000_000n;

/**
 * Puts the counter, and everything that hosts should hold, above a generation that somebody holds
 * and this catalogue never gave: it was restored from an older backup. What hosts hold is then
 * newer than nothing of the catalogue's, so they take it in, and nothing is destroyed by being
 * forgotten.
 */
export async function raiseGeneration(db: Db, above: bigint): Promise<boolean> {
  const raised = await db.query(sql`
    with bump as (
      update platform set generation = ${above + MARGIN}::bigint
       where generation < ${above}
      returning generation
    ), instance as (
      update instances i
         set generation = bump.generation, route_generation = bump.generation
        from bump where i.gone_at is null
    ), tenant as (
      update tenants t
         set generation = bump.generation, route_generation = bump.generation
        from bump where t.deleted_at is null
    ), change as (
      update shared_table_changes c set generation = bump.generation from bump
    ), event as (
      insert into events (actor, kind, subject, before, after)
      select 'system', 'platform.generation_raised', 'platform',
             json_build_object('held_elsewhere', ${above}::bigint),
             json_build_object('generation', generation)
        from bump
    )
    select pg_notify('aerodb_routes', ''), (
             select count(pg_notify('aerodb_hosts', id)) from hosts)
      from bump`);
  return raised.length === 1;
}
