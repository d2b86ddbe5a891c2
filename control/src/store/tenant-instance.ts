/** A tenant's instance: what is chosen for it, what its host says of it, and changes of both. */
import { type Db, sql } from "@aerodb/db";
import type { HostId, InstanceId, TenantId } from "@aerodb/model";

export interface TenantInstance {
  readonly instanceId: InstanceId;
  readonly hostId: HostId;
  readonly shared: boolean;
  readonly engineMajor: number;
  readonly memoryMiB: number;
  readonly settings: Readonly<Record<string, string>>;
  /** What waits for a restart, as the host says; as expected while it has not answered. */
  readonly pendingRestart: readonly string[];
  readonly walls: readonly string[];
  readonly generation: bigint;
  readonly observedGeneration: bigint;
  readonly running: boolean;
  /** Why its server is not what it should be; empty when it is. */
  readonly reason: string;
  readonly extensions: readonly string[];
  readonly tenantGeneration: bigint;
  readonly tenantObservedGeneration: bigint;
  /** Why the tenant is not what it should be in there; empty when it is. */
  readonly tenantReason: string;
}

/** Undefined when there is no such tenant, or it is deleted. */
export async function readTenantInstance(
  db: Db,
  tenantId: TenantId,
): Promise<TenantInstance | undefined> {
  const [instance] = await db.query<TenantInstance>(sql`
    select i.id as "instanceId", i.host_id as "hostId", i.shared,
           i.engine_major as "engineMajor", i.memory_mib as "memoryMiB", i.settings,
           i.pending_restart as "pendingRestart", i.walls, i.generation,
           i.observed_generation as "observedGeneration",
           i.observed_state = 'running' as running, i.observed_reason as reason,
           t.extensions, t.generation as "tenantGeneration",
           t.observed_generation as "tenantObservedGeneration",
           t.status_reason as "tenantReason"
      from tenants t join instances i on i.id = t.instance_id
     where t.id = ${tenantId} and t.deleted_at is null`);
  return instance;
}

/** A change of the instance of an active tenant that has one of its own. */
export interface InstanceChange {
  readonly tenantId: TenantId;
  readonly setSettings: Readonly<Record<string, string>>;
  readonly removeSettings: readonly string[];
  /** What is expected to wait for a restart, until the host says. */
  readonly expectedToWait: readonly string[];
  /** Whether its server is to be restarted. */
  readonly restart: boolean;
  readonly principal: string;
  readonly eventRequestId: string;
}

/**
 * Writes a change and tells the host. Returns the generation in which it is in force; undefined
 * when the tenant is not active or shares its instance, and then nothing is written.
 */
export async function changeInstance(db: Db, change: InstanceChange): Promise<bigint | undefined> {
  const [changed] = await db.query<{ generation: bigint }>(sql`
    with bump as (
      update platform set generation = generation + 1
       where exists (select from tenants t join instances i on i.id = t.instance_id
                      where t.id = ${change.tenantId} and t.status = 'active' and not i.shared)
      returning generation
    ), earlier as (
      select t.id as tenant_id, i.id, i.settings
        from bump, tenants t join instances i on i.id = t.instance_id
       where t.id = ${change.tenantId} and t.status = 'active' and not i.shared
         for update of t, i
    ), instance as (
      update instances i
         set settings = (i.settings || ${JSON.stringify(change.setSettings)}::jsonb)
                        - ${change.removeSettings}::text[],
             pending_restart = array(select distinct unnest(
               i.pending_restart || ${change.expectedToWait}::text[]) order by 1),
             restart_generation = case when ${change.restart}::boolean then bump.generation
                                       else i.restart_generation end,
             -- Whoever is connected leaves before its host has waited long.
             parked = i.parked or ${change.restart}::boolean,
             route_generation = case when ${change.restart}::boolean then bump.generation
                                     else i.route_generation end,
             generation = bump.generation
        from earlier e, bump
       where i.id = e.id and i.presence = 'present'
      returning i.id, i.host_id, i.generation, i.settings
    ), event as (
      insert into events (actor, kind, subject, before, after, request_id)
      select ${change.principal},
             case when ${change.restart}::boolean then 'tenant.restart' else 'tenant.settings' end,
             e.tenant_id, told.before, told.after, ${change.eventRequestId}
        from instance join earlier e using (id)
        -- A restart alone changes nothing of them.
        left join lateral (
          select json_build_object('settings', e.settings) as before,
                 json_build_object('settings', instance.settings) as after
           where instance.settings <> e.settings) told on true
    )
    select generation, pg_notify('aerodb_hosts', host_id), pg_notify('aerodb_routes', '')
      from instance`);
  return changed?.generation;
}

export interface ExtensionChange {
  readonly tenantId: TenantId;
  readonly name: string;
  readonly wanted: boolean;
  readonly principal: string;
  readonly eventRequestId: string;
}

/**
 * Adds an extension to what an active tenant should have, or takes it off that list again, and
 * tells the host; a repeat changes nothing. Returns the generation in which it is in force;
 * undefined when the tenant is not active.
 */
export async function changeExtension(
  db: Db,
  change: ExtensionChange,
): Promise<bigint | undefined> {
  const { tenantId, name, wanted } = change;
  const [changed] = await db.query<{ generation: bigint }>(sql`
    with bump as (
      update platform set generation = generation + 1
       where exists (select from tenants
                      where id = ${tenantId} and status = 'active'
                        and (${name} = any (extensions)) <> ${wanted}::boolean)
      returning generation
    ), tenant as (
      update tenants t
         set extensions = case when ${wanted}::boolean
                               then array_append(array_remove(t.extensions, ${name}), ${name})
                               else array_remove(t.extensions, ${name}) end,
             generation = bump.generation, updated_at = now()
        from bump
       where t.id = ${tenantId} and t.status = 'active'
      returning t.id, t.instance_id, t.generation, t.extensions
    ), event as (
      insert into events (actor, kind, subject, after, request_id)
      select ${change.principal}, 'tenant.extensions', id,
             json_build_object('extensions', extensions), ${change.eventRequestId}
        from tenant
    ), told as (
      select pg_notify('aerodb_hosts', i.host_id)
        from tenant join instances i on i.id = tenant.instance_id
    )
    select coalesce((select generation from tenant), t.generation) as generation,
           (select count(*) from told)
      from tenants t
     where t.id = ${tenantId} and t.status = 'active'`);
  return changed?.generation;
}
