import { type Db, sql } from "@aerodb/db";
import type { OperationId, TenantId } from "@aerodb/model";

/**
 * Deletes a tenant that has failed, and of which there is nothing left to destroy. False when it
 * has not failed, or is deleted already.
 */
export async function forgetTenant(
  db: Db,
  deletion: {
    readonly tenantId: TenantId;
    readonly operationId: OperationId;
    readonly principal: string;
    readonly eventRequestId: string;
  },
): Promise<boolean> {
  const forgotten = await db.query(sql`
    with bump as (
      update platform set generation = generation + 1
       where exists (select from tenants where id = ${deletion.tenantId} and status = 'failed')
      returning generation
    ), tenant as (
      update tenants t
         set status = 'deleted', status_reason = '', verifier = '', previous_verifier = '',
             deleted_at = now(),
             updated_at = now(), generation = bump.generation, route_generation = bump.generation
        from bump
       where t.id = ${deletion.tenantId} and t.status = 'failed'
      returning t.id, t.name, t.generation
    ), operation as (
      insert into operations (id, kind, tenant_id, principal, generation, deadline_at, done_at)
      select ${deletion.operationId}, 'delete_tenant', id, ${deletion.principal}, generation,
             now(), now()
        from tenant
    ), event as (
      insert into events (actor, kind, subject, before, request_id)
      select ${deletion.principal}, 'tenant.delete', id, json_build_object('name', name),
             ${deletion.eventRequestId}
        from tenant
    )
    select pg_notify('aerodb_tenants', id), pg_notify('aerodb_routes', '') from tenant`);
  return forgotten.length === 1;
}
