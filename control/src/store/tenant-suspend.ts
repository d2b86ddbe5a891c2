/**
 * Refusing a tenant service and giving it back. That a tenant should have none is its reason; its
 * status follows what its host has seen, so that one that is reinstated is routed to only once it
 * can log in.
 */
import { type Db, sql } from "@aerodb/db";
import type { OperationId, TenantId } from "@aerodb/model";

export interface ServiceChange {
  readonly tenantId: TenantId;
  readonly operationId: OperationId;
  readonly principal: string;
  readonly eventRequestId: string;
  readonly operationMs: number;
  /**
   * Whether a quota asks for it, and nobody by hand: then only who is served is suspended, and only
   * who was suspended in this way gets its service back.
   */
  readonly byQuota: boolean;
}

/**
 * Turns a tenant that is active, or being reinstated, to `suspended`. An operation under way ends
 * without success. False when it is anything else, suspended among them: nothing is written then
 * (but the counter, when two come at once).
 */
export async function startSuspension(
  db: Db,
  change: ServiceChange & { readonly reason: string },
): Promise<boolean> {
  const started = await db.query(sql`
    with bump as (
      update platform set generation = generation + 1
       where exists (select from tenants
                      where id = ${change.tenantId} and suspend_reason is null
                        and (status = 'active'
                             or status = 'suspended' and not ${change.byQuota}::boolean))
      returning generation
    ), tenant as (
      update tenants t
         set status = 'suspended', suspend_reason = ${change.reason}, status_reason = '',
             suspended_by_quota = ${change.byQuota}::boolean, generation = bump.generation,
             route_generation = bump.generation, updated_at = now()
        from bump
       where t.id = ${change.tenantId} and t.suspend_reason is null
         and (t.status = 'active' or t.status = 'suspended' and not ${change.byQuota}::boolean)
      returning t.id, t.instance_id, t.generation
    ), closed as (
      update operations o
         set done_at = now(),
             error = 'The tenant was suspended meanwhile: reinstate it and ask again.'
        from tenant
       where o.tenant_id = tenant.id and o.done_at is null
      returning o.id
    ), operation as (
      insert into operations (id, kind, tenant_id, principal, generation, deadline_at)
      select ${change.operationId}, 'suspend_tenant', tenant.id, ${change.principal},
             tenant.generation, now() + ${change.operationMs} * interval '1 millisecond'
        from tenant, (select count(*) from closed) ended
      returning id
    ), step as (
      insert into operation_steps (operation_id, position, name)
      select id, 1, 'refused_to_clients' from operation
    ), event as (
      insert into events (actor, kind, subject, after, request_id)
      select ${change.principal}, 'tenant.suspend', id,
             json_build_object('reason', ${change.reason}::text), ${change.eventRequestId}
        from tenant
    )
    select pg_notify('aerodb_hosts', i.host_id), pg_notify('aerodb_routes', ''),
           pg_notify('aerodb_tenants', tenant.id)
      from tenant join instances i on i.id = tenant.instance_id`);
  return started.length === 1;
}

/**
 * Gives a suspended tenant another reason, which is no quota's then; the same one again changes
 * nothing.
 */
export async function changeSuspendReason(
  db: Db,
  change: Omit<ServiceChange, "operationId" | "operationMs" | "byQuota"> & {
    readonly reason: string;
  },
): Promise<void> {
  await db.query(sql`
    with earlier as (
      select id, suspend_reason from tenants
       where id = ${change.tenantId}
         and (suspend_reason <> ${change.reason} or suspended_by_quota) for update
    ), tenant as (
      update tenants t
         set suspend_reason = ${change.reason}, suspended_by_quota = false, updated_at = now()
        from earlier where t.id = earlier.id
    )
    insert into events (actor, kind, subject, before, after, request_id)
    select ${change.principal}, 'tenant.suspend', id,
           json_build_object('reason', suspend_reason),
           json_build_object('reason', ${change.reason}::text), ${change.eventRequestId}
      from earlier`);
}

/**
 * Takes the reason from a suspended tenant and tells its host; its route stays shut until the host
 * has answered. False when there is none to take: nothing is written then (but the counter, when
 * two come at once).
 */
export async function startReinstatement(db: Db, change: ServiceChange): Promise<boolean> {
  const started = await db.query(sql`
    with bump as (
      update platform set generation = generation + 1
       where exists (select from tenants
                      where id = ${change.tenantId} and suspend_reason is not null
                        and (suspended_by_quota or not ${change.byQuota}::boolean))
      returning generation
    ), earlier as (
      select t.id, t.suspend_reason from bump, tenants t
       where t.id = ${change.tenantId} and t.suspend_reason is not null
         and (t.suspended_by_quota or not ${change.byQuota}::boolean) for update of t
    ), tenant as (
      update tenants t
         set suspend_reason = null, status_reason = '', suspended_by_quota = false,
             reinstated_at = now(), generation = bump.generation, updated_at = now()
        from bump, earlier
       where t.id = earlier.id
      returning t.id, t.instance_id, t.generation
    ), closed as (
      update operations o set done_at = now(), error = 'The tenant was reinstated meanwhile.'
        from tenant
       where o.tenant_id = tenant.id and o.done_at is null
      returning o.id
    ), operation as (
      insert into operations (id, kind, tenant_id, principal, generation, deadline_at)
      select ${change.operationId}, 'reinstate_tenant', tenant.id, ${change.principal},
             tenant.generation, now() + ${change.operationMs} * interval '1 millisecond'
        from tenant, (select count(*) from closed) ended
      returning id
    ), step as (
      insert into operation_steps (operation_id, position, name)
      select id, 1, 'told_to_host' from operation
    ), event as (
      insert into events (actor, kind, subject, before, request_id)
      select ${change.principal}, 'tenant.reinstate', tenant.id,
             json_build_object('reason', earlier.suspend_reason), ${change.eventRequestId}
        from tenant join earlier using (id)
    )
    select pg_notify('aerodb_hosts', i.host_id), pg_notify('aerodb_tenants', tenant.id)
      from tenant join instances i on i.id = tenant.instance_id`);
  return started.length === 1;
}
