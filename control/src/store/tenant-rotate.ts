import { type Db, sql } from "@aerodb/db";
import type { OperationId, TenantId } from "@aerodb/model";

/** The tenant's verifier; undefined when there is no such tenant. */
export async function readVerifier(db: Db, tenantId: TenantId): Promise<string | undefined> {
  const [tenant] = await db.query<{ readonly verifier: string }>(sql`
    select verifier from tenants where id = ${tenantId} and deleted_at is null`);
  return tenant?.verifier;
}

export interface VerifierChange {
  readonly tenantId: TenantId;
  readonly operationId: OperationId;
  readonly verifier: string;
  readonly principal: string;
  readonly eventRequestId: string;
  readonly operationMs: number;
}

/**
 * Gives an active tenant another verifier. A rotation that is under way ends without success: the
 * newest wins. Undefined when the tenant is not active; else the generation in which the verifier
 * is in force.
 */
export async function replaceVerifier(db: Db, change: VerifierChange): Promise<bigint | undefined> {
  const [replaced] = await db.query<{ generation: bigint }>(sql`
    with bump as (
      update platform set generation = generation + 1 returning generation
    ), tenant as (
      update tenants t
         set verifier = ${change.verifier}, generation = bump.generation, updated_at = now(),
             -- Of a rotation that is under way the verifier was never in force.
             previous_verifier = coalesce(nullif(t.previous_verifier, ''), t.verifier),
             route_generation = bump.generation
        from bump
       where t.id = ${change.tenantId} and t.status = 'active'
      returning t.id, t.instance_id, t.generation
    ), closed as (
      update operations o
         set done_at = now(), error = 'A newer rotation took the place of this one.'
        from tenant
       where o.tenant_id = tenant.id and o.done_at is null
      returning o.id
    ), operation as (
      insert into operations (id, kind, tenant_id, principal, generation, deadline_at)
      select ${change.operationId}, 'rotate_credentials', tenant.id, ${change.principal},
             tenant.generation, now() + ${change.operationMs} * interval '1 millisecond'
        from tenant, (select count(*) from closed) ended
      returning id
    ), step as (
      insert into operation_steps (operation_id, position, name)
      select id, 1, 'verifier_replaced' from operation
    ), event as (
      insert into events (actor, kind, subject, request_id)
      select ${change.principal}, 'tenant.rotate', id, ${change.eventRequestId} from tenant
    )
    select tenant.generation, pg_notify('aerodb_hosts', i.host_id),
           pg_notify('aerodb_tenants', tenant.id), pg_notify('aerodb_routes', '')
      from tenant join instances i on i.id = tenant.instance_id`);
  return replaced?.generation;
}
