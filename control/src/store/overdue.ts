/** What time ends: operations past their deadline, and rows nobody needs any more. */
import { type Db, sql } from "@aerodb/db";
import type { HostId, InstanceId, OperationId, TenantId } from "@aerodb/model";
import type { OperationKind } from "./operations.ts";

export interface OverdueOperation {
  readonly id: OperationId;
  readonly kind: OperationKind;
  readonly tenantId: TenantId;
  readonly instanceId: InstanceId;
  readonly hostId: HostId;
}

/** Operations past their deadline, those that have waited longest first. */
export async function listOverdue(db: Db, limit: number): Promise<OverdueOperation[]> {
  return db.query<OverdueOperation>(sql`
    select o.id, o.kind, o.tenant_id as "tenantId", i.id as "instanceId",
           i.host_id as "hostId"
      from operations o
      join tenants t on t.id = o.tenant_id
      join instances i on i.id = t.instance_id
     where o.done_at is null and o.deadline_at <= now()
     order by o.deadline_at limit ${limit}`);
}

/** Ends an overdue rotation: the host still gets the new verifier, but nobody waits for it. */
export async function endOverdueRotation(db: Db, id: OperationId, error: string): Promise<void> {
  await db.query(sql`
    with operation as (
      update operations set done_at = now(), error = ${error}
       where id = ${id} and kind = 'rotate_credentials' and done_at is null
         and deadline_at <= now()
      returning id, tenant_id
    ), event as (
      insert into events (actor, kind, subject, after)
      select 'system', 'operation.given_up', id, json_build_object('tenant_id', tenant_id)
        from operation
    )
    select pg_notify('aerodb_tenants', tenant_id) from operation`);
}

/**
 * A deletion, a suspension and what ends one are never given up: they get more time, and an event
 * says that they took too long.
 */
export async function prolongOperation(
  db: Db,
  id: OperationId,
  operationMs: number,
): Promise<void> {
  await db.query(sql`
    with operation as (
      update operations
         set deadline_at = now() + ${operationMs} * interval '1 millisecond'
       where id = ${id} and done_at is null and deadline_at <= now()
         and kind in ('delete_tenant', 'suspend_tenant', 'reinstate_tenant')
      returning id, tenant_id
    )
    insert into events (actor, kind, subject, after)
    select 'system', 'operation.overdue', id, json_build_object('tenant_id', tenant_id)
      from operation`);
}

/**
 * Removes tenants deleted more than `days` days ago, at most `limit`, with their operations, and
 * the instances that were theirs. Returns how many tenants.
 */
export async function purgeDeleted(
  db: Db,
  purge: { readonly days: number; readonly limit: number },
): Promise<number> {
  const purged = await db.query(sql`
    delete from tenants
     where id in (select id from tenants
                   where status = 'deleted'
                     and deleted_at < now() - ${purge.days} * interval '1 day'
                   order by id limit ${purge.limit} for update skip locked)
    returning id`);
  await db.query(sql`
    delete from instances i
     where gone_at < now() - ${purge.days} * interval '1 day'
       and not exists (select from tenants t where t.instance_id = i.id)`);
  return purged.length;
}

/** Removes join tokens that expired more than a day ago and were not used. */
export async function purgeJoinTokens(db: Db): Promise<void> {
  await db.query(sql`
    delete from join_tokens where used_by is null and expires_at < now() - interval '1 day'`);
}

/** Forgets idempotency keys older than a day. */
export async function purgeRequestIds(db: Db): Promise<void> {
  await db.query(sql`
    update operations set request_id = null, request_sha256 = null
     where request_id is not null and created_at < now() - interval '1 day'`);
}
