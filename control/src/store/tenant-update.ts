import { type Db, sql } from "@aerodb/db";
import type { TenantId } from "@aerodb/model";

export interface TenantUpdate {
  readonly tenantId: TenantId;
  /** Null: it stays. */
  readonly plan: string | null;
  /** What the plan gives; undefined: what is given stays. */
  readonly grant: PlanGrant | undefined;
  /** Whether the host has to hear of it, from what was read before. */
  readonly heard: boolean;
  readonly setLabels: Readonly<Record<string, string>>;
  readonly removeLabels: readonly string[];
  readonly principal: string;
  readonly eventRequestId: string;
}

/** What a plan gives a tenant, and an instance of its own. */
export interface PlanGrant {
  readonly connectionLimit: number;
  readonly memoryMiB: number;
  readonly cpuMillis: number;
  /** A limit that is there is raised, never lowered: what holds it cannot shrink. */
  readonly storageMiB: number;
  readonly pidsLimit: number;
  readonly importance: number;
  /** How many times over the host's processor time may be promised. */
  readonly cpuOvercommit: number;
}

/** `full`: the host has no room. `raced`: it was changed meanwhile, read again. */
export type UpdateOutcome = "written" | "full" | "raced" | "gone";

/**
 * Changes the plan and the labels of a tenant that is not being deleted, and what its dedicated
 * instance reserves. All of it or nothing. The rows are locked after the counter's, and read as
 * they are then; without a grant what is compared is null, and nothing differs.
 */
export async function writeTenantUpdate(db: Db, update: TenantUpdate): Promise<UpdateOutcome> {
  const { grant } = update;
  const [done] = await db.query<{ outcome: UpdateOutcome }>(sql`
    with bump as (
      update platform set generation = generation + 1 where ${update.heard}::boolean
      returning generation
    ), given as (
      select ${grant?.connectionLimit ?? null}::integer as connection_limit,
             ${grant?.memoryMiB ?? null}::integer as memory_mib,
             ${grant?.cpuMillis ?? null}::integer as cpu_millis,
             ${grant?.storageMiB ?? null}::integer as storage_mib,
             ${grant?.pidsLimit ?? null}::integer as pids_limit,
             ${grant?.importance ?? null}::integer as importance
    ), earlier as (
      select t.id, t.plan, t.labels, i.id as instance_id, i.host_id, bump.generation, given.*,
             given.memory_mib - i.memory_mib as more_memory,
             given.cpu_millis - i.cpu_millis as more_cpu,
             coalesce(t.connection_limit <> given.connection_limit, false) as relimited,
             coalesce(not i.shared
               and (i.memory_mib, i.cpu_millis, i.storage_mib, i.pids_limit, i.importance,
                    i.max_connections)
                <> (given.memory_mib, given.cpu_millis,
                    greatest(i.storage_mib, given.storage_mib), given.pids_limit,
                    given.importance, given.connection_limit), false) as resized
        from given, tenants t join instances i on i.id = t.instance_id left join bump on true
       where t.id = ${update.tenantId} and t.status in ('creating', 'active', 'suspended')
         for update of t, i
    ), reserved as (
      update hosts h
         set reserved_memory_mib = greatest(h.reserved_memory_mib + e.more_memory, 0),
             reserved_cpu_millis = greatest(h.reserved_cpu_millis + e.more_cpu, 0)
        from earlier e
       where h.id = e.host_id and e.resized and e.generation is not null
         and (e.more_memory <= 0
              or h.reserved_memory_mib + e.more_memory <= h.capacity_memory_mib)
         and (e.more_cpu <= 0 or h.reserved_cpu_millis + e.more_cpu
                 <= h.capacity_cpu_millis * ${grant?.cpuOvercommit ?? 1}::integer)
      returning h.id
    ), instance as (
      update instances i
         set memory_mib = e.memory_mib, cpu_millis = e.cpu_millis, pids_limit = e.pids_limit,
             storage_mib = greatest(i.storage_mib, e.storage_mib), importance = e.importance,
             max_connections = e.connection_limit, generation = e.generation
        from earlier e, reserved
       where i.id = e.instance_id
    ), tenant as (
      update tenants t
         set plan = coalesce(${update.plan}, t.plan), updated_at = now(),
             connection_limit = coalesce(e.connection_limit, t.connection_limit),
             labels = (t.labels || ${JSON.stringify(update.setLabels)}::jsonb)
                      - ${update.removeLabels}::text[],
             generation = case when e.relimited then e.generation else t.generation end
        from earlier e left join reserved on true
       where t.id = e.id and (reserved.id is not null or not e.resized)
         and (e.generation is not null or not e.relimited)
      returning t.id, t.plan, t.labels
    ), event as (
      insert into events (actor, kind, subject, before, after, request_id)
      select ${update.principal}, 'tenant.update', tenant.id,
             json_build_object('plan', e.plan, 'labels', e.labels),
             json_build_object('plan', tenant.plan, 'labels', tenant.labels),
             ${update.eventRequestId}
        from tenant join earlier e using (id)
    )
    select case when tenant.id is not null then 'written'
                when e.generation is null then 'raced' else 'full' end as outcome,
           case when tenant.id is not null then pg_notify('aerodb_hosts', e.host_id) end
      from earlier e left join tenant using (id)`);
  return done?.outcome ?? "gone";
}
