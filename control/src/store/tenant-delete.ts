import { type Db, sql } from "@aerodb/db";
import type { OperationId, TenantId } from "@aerodb/model";

export interface TenantDeletion {
  readonly tenantId: TenantId;
  readonly operationId: OperationId;
  readonly principal: string;
  readonly eventRequestId: string;
  readonly operationMs: number;
  /** Error that ends the operation under way, if there is one. */
  readonly error: string;
  /** Only while this operation still creates the tenant; null: whatever is under way. */
  readonly onlyCreating: OperationId | null;
}

/**
 * Turns a tenant to `deleting`, and its dedicated instance to absent. An operation under way ends
 * with the error. False when the tenant is being deleted or is deleted already: nothing is written
 * then.
 */
export async function startDeletion(db: Db, deletion: TenantDeletion): Promise<boolean> {
  const started = await db.query(sql`
    with bump as (
      update platform set generation = generation + 1 returning generation
    ), tenant as (
      update tenants t
         set status = 'deleting', status_reason = '', suspend_reason = null,
             generation = bump.generation,
             route_generation = bump.generation, updated_at = now()
        from bump
       where t.id = ${deletion.tenantId} and t.status in ('creating', 'active', 'suspended')
         -- The status is looked at again once the row is held: a tenant that became active stays.
         and (${deletion.onlyCreating}::text is null or t.status = 'creating' and exists (
               select from operations o
                where o.id = ${deletion.onlyCreating} and o.tenant_id = t.id
                  and o.done_at is null))
      returning t.id, t.name, t.instance_id, t.generation
    ), dedicated as (
      update instances i set presence = 'absent', generation = tenant.generation
        from tenant
       where i.id = tenant.instance_id and not i.shared
    ), closed as (
      update operations o set done_at = now(), error = ${deletion.error}
        from tenant
       where o.tenant_id = tenant.id and o.done_at is null
      returning o.id
    ), operation as (
      insert into operations (id, kind, tenant_id, principal, generation, deadline_at)
      select ${deletion.operationId}, 'delete_tenant', tenant.id, ${deletion.principal},
             tenant.generation, now() + ${deletion.operationMs} * interval '1 millisecond'
        -- The count makes the operation under way end before this one begins.
        from tenant, (select count(*) from closed) ended
      returning id
    ), step as (
      insert into operation_steps (operation_id, position, name)
      select id, 1, 'refused_to_clients' from operation
    ), event as (
      insert into events (actor, kind, subject, before, request_id)
      select ${deletion.principal}, 'tenant.delete', id, json_build_object('name', name),
             ${deletion.eventRequestId}
        from tenant
    )
    select pg_notify('aerodb_hosts', i.host_id), pg_notify('aerodb_routes', ''),
           pg_notify('aerodb_tenants', tenant.id)
      from tenant join instances i on i.id = tenant.instance_id`);
  return started.length === 1;
}
