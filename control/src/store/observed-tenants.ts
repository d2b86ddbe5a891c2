import { type Db, sql } from "@aerodb/db";
import type { HostId } from "@aerodb/model";
import type { ObservedTenant } from "./observed.ts";

export interface ObservedOnHost {
  readonly tenants: readonly ObservedTenant[];
  readonly absentInstances: readonly string[];
}

/**
 * Takes in what a host saw of its tenants: each at most once in the list. One that is ready becomes
 * active, one that should be absent and is becomes deleted, and their operations end. That one is
 * ready answers nothing while it should be suspended: an older agent says so. A tenant of a
 * dedicated instance is absent when that instance is: `absentInstances` names those reported so,
 * and whatever was said of the tenant before, it went with it. Once the newest verifier is in
 * force, gateways judge by it alone.
 */
export async function takeObservedTenants(
  db: Db,
  hostId: HostId,
  { tenants: seen, absentInstances }: ObservedOnHost,
): Promise<void> {
  await db.query(sql`
    with reported as (
      select t.id, t.status, r.generation, r.state, i.shared, t.previous_verifier <> '' as replaced,
             case r.state when 'failed' then r.reason else '' end as reason
        from jsonb_to_recordset(${JSON.stringify(seen.map(spellOut))}::jsonb)
             as r (id text, generation bigint, state text, reason text)
        join tenants t on t.id = r.id join instances i on i.id = t.instance_id
       where i.host_id = ${hostId} and t.deleted_at is null and r.generation >= t.generation
         and (r.state not in ('ready', 'suspended')
              or (r.state = 'suspended') = (t.suspend_reason is not null))
         and i.id <> all (${absentInstances}::text[])
    ), seen as (
      select id, status, generation, state, reason,
             case when status in ('creating', 'suspended') and state = 'ready' then 'active'
                  when status = 'deleting' and state = 'absent' then 'deleted' end as next,
             replaced and state in ('ready', 'absent') as settled
        from reported where shared or state <> 'absent'
      union all
      select t.id, t.status, t.generation, 'absent', '', 'deleted', true
        from instances i join tenants t on t.instance_id = i.id
       where i.id = any (${absentInstances}::text[]) and i.host_id = ${hostId}
         and i.gone_at is not null and t.status = 'deleting'
    ), bump as (
      update platform set generation = generation + 1
       where exists (select from seen where next is not null or settled)
      returning generation
    ), tenant as (
      update tenants t
         set status = coalesce(s.next, t.status), updated_at = now(),
             status_reason = s.reason, observed_generation = s.generation,
             verifier = case when s.next = 'deleted' then '' else t.verifier end,
             previous_verifier = case when s.settled then '' else t.previous_verifier end,
             deleted_at = case when s.next = 'deleted' then now() end,
             route_generation = coalesce(bump.generation, t.route_generation)
        from seen s left join bump on s.next is not null or s.settled
       where t.id = s.id and t.status = s.status and t.generation <= s.generation
         and (s.next is not null or s.settled or t.observed_generation < s.generation
              or t.status_reason <> s.reason)
      returning t.id, t.instance_id, t.status, s.state, s.next, s.settled, s.generation
    ), room as (
      update instances i set tenant_count = i.tenant_count - gone.tenants
        from (select instance_id as id, count(*) as tenants
                from tenant where next = 'deleted' group by 1) gone
       where i.id = gone.id and i.shared
    ), operation as (
      update operations o set done_at = now()
        from tenant
       where o.tenant_id = tenant.id and o.done_at is null and o.generation <= tenant.generation
         and tenant.state = case o.kind when 'delete_tenant' then 'absent'
                                        when 'suspend_tenant' then 'suspended' else 'ready' end
      returning o.id, o.kind, o.tenant_id
    ), step as (
      insert into operation_steps (operation_id, position, name)
      select id, 2, case kind when 'delete_tenant' then 'destroyed'
                              when 'suspend_tenant' then 'sessions_ended'
                              when 'rotate_credentials' then 'in_force' else 'ready' end
        from operation
    ), event as (
      insert into events (actor, kind, subject)
      select ${hostId}, 'tenant.' || next, id from tenant where next is not null
    )
    select pg_notify('aerodb_tenants', id),
           case when next is not null or settled then pg_notify('aerodb_routes', '') end
      from tenant`);
}

/** Within JSON a number of 64 bits would lose its end. */
function spellOut({ generation, ...seen }: ObservedTenant) {
  return { ...seen, generation: String(generation) };
}
