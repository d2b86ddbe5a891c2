/**
 * Refusing a tenant's writes while its storage quota is used up, and accepting them again. It is
 * served all the same: its route stays as it is, and only its host is told.
 */
import { type Db, sql } from "@aerodb/db";
import type { TenantId } from "@aerodb/model";

export interface WritesChange {
  readonly tenantId: TenantId;
  readonly refused: boolean;
  /** Who decided: `system` when nobody did by hand. */
  readonly actor: string;
  /** A sentence for the event. */
  readonly because: string;
  readonly requestId?: string;
}

/**
 * Returns the generation in which its host is told; undefined when that is how it is already, or
 * the tenant is being deleted or gone: nothing is written then (but the counter, when two come at
 * once).
 */
export async function setWritesRefused(db: Db, change: WritesChange): Promise<bigint | undefined> {
  const kind = change.refused ? "tenant.refuse_writes" : "tenant.accept_writes";
  const [changed] = await db.query<{ readonly generation: bigint }>(sql`
    with bump as (
      update platform set generation = generation + 1
       where exists (select from tenants
                      where id = ${change.tenantId} and writes_refused <> ${change.refused}::boolean
                        and status in ('creating', 'active', 'suspended'))
      returning generation
    ), tenant as (
      update tenants t
         set writes_refused = ${change.refused}::boolean, generation = bump.generation,
             updated_at = now()
        from bump
       where t.id = ${change.tenantId} and t.writes_refused <> ${change.refused}::boolean
         and t.status in ('creating', 'active', 'suspended')
      returning t.id, t.instance_id, t.generation
    ), event as (
      insert into events (actor, kind, subject, before, after, request_id)
      select ${change.actor}::text, ${kind}::text, id,
             json_build_object('writes_refused', not ${change.refused}::boolean),
             json_build_object('writes_refused', ${change.refused}::boolean,
                               'because', ${change.because}::text),
             ${change.requestId ?? ""}::text
        from tenant
    )
    select tenant.generation, pg_notify('aerodb_hosts', i.host_id),
           pg_notify('aerodb_tenants', tenant.id)
      from tenant join instances i on i.id = tenant.instance_id`);
  return changed?.generation;
}
