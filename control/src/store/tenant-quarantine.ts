import { type Db, sql } from "@aerodb/db";
import type { TenantId } from "@aerodb/model";

/**
 * Has gateways refuse a tenant because its isolation could not be proven, or serve it again when no
 * reason is given. Returns the generation of the route that says so; undefined when that is how it
 * is already, or the tenant is not there any more: nothing is written then.
 */
export async function setQuarantine(
  db: Db,
  tenantId: TenantId,
  reason: string | undefined,
): Promise<bigint | undefined> {
  const [changed] = await db.query<{ generation: bigint }>(sql`
    with bump as (
      update platform set generation = generation + 1
       where exists (select from tenants
                      where id = ${tenantId} and deleted_at is null
                        and quarantine_reason is distinct from ${reason ?? null}::text)
      returning generation
    ), earlier as (
      select t.id, t.quarantine_reason from bump, tenants t
       where t.id = ${tenantId} and t.deleted_at is null
         and t.quarantine_reason is distinct from ${reason ?? null}::text for update of t
    ), tenant as (
      update tenants t
         set quarantine_reason = ${reason ?? null}, route_generation = bump.generation,
             updated_at = now()
        from bump, earlier
       where t.id = earlier.id
      returning t.id, t.route_generation as generation
    ), event as (
      insert into events (actor, kind, subject, before, after)
      select 'system', 'tenant.quarantine', id,
             json_build_object('reason', quarantine_reason),
             json_build_object('reason', ${reason ?? null}::text)
        from earlier
    )
    select generation, pg_notify('aerodb_routes', ''), pg_notify('aerodb_tenants', id)
      from tenant`);
  return changed?.generation;
}
