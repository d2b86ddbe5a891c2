import { type Db, sql } from "@aerodb/db";
import type { HostId } from "@aerodb/model";
import type { ObservedInstance } from "./observed.ts";

/**
 * Takes in what a host saw of its instances: each at most once in the list. An instance that should
 * be absent and is gives back what it reserved. Reports on other hosts' instances, and reports that
 * answer an older generation than the catalogue's, change nothing.
 */
export async function takeObservedInstances(
  db: Db,
  hostId: HostId,
  seen: readonly ObservedInstance[],
): Promise<void> {
  await db.query(sql`
    with seen as (
      select r.*, i.presence = 'absent' and r.state = 'absent' as gone,
             (r."socketDirectory" <> ''
               and (r."socketDirectory", r.database) <> (i.socket_directory, i.database))
               as elsewhere,
             i.parked and r.generation >= i.restart_generation
               and (r.state = 'running' or r.reason <> '') as back
        from jsonb_to_recordset(${JSON.stringify(seen.map(spellOut))}::jsonb)
             as r (id text, generation bigint, state text, reason text, "socketDirectory" text,
                   database text, engine text, "systemIdentifier" numeric,
                   "pendingRestart" text[], walls text[], "sharedTableChanges" integer)
        join instances i on i.id = r.id
       where i.host_id = ${hostId} and i.gone_at is null and r.generation >= i.generation
    ), bump as (
      update platform set generation = generation + 1
       where exists (select from seen where gone or elsewhere or back)
      returning generation
    ), instance as (
      update instances i
         set observed_generation = s.generation, observed_state = s.state,
             observed_reason = s.reason,
             socket_directory = coalesce(nullif(s."socketDirectory", ''), i.socket_directory),
             database = coalesce(nullif(s.database, ''), i.database),
             engine = coalesce(nullif(s.engine, ''), i.engine),
             pending_restart = s."pendingRestart",
             walls = case s.state when 'running' then s.walls else i.walls end,
             shared_table_changes = greatest(i.shared_table_changes, s."sharedTableChanges"),
             system_identifier = coalesce(nullif(s."systemIdentifier", 0), i.system_identifier),
             parked = i.parked and not s.back,
             route_generation = case when s.gone or s.elsewhere or s.back then bump.generation
                                     else i.route_generation end,
             gone_at = case when s.gone then now() end,
             tenant_count = case when s.gone then 0 else i.tenant_count end
        from seen s left join bump on true
       where i.id = s.id and i.gone_at is null and i.generation <= s.generation
         and (s.gone or s.elsewhere or s.back or i.observed_generation < s.generation
              or i.shared_table_changes < s."sharedTableChanges"
              or (i.observed_state, i.observed_reason, i.engine, i.pending_restart, i.walls)
                 is distinct from
                 (s.state, s.reason, coalesce(nullif(s.engine, ''), i.engine), s."pendingRestart",
                  case s.state when 'running' then s.walls else i.walls end))
      returning i.id, i.memory_mib, i.cpu_millis, s.gone,
                s.gone or s.elsewhere or s.back as routed, i.shared
    ), given_back as (
      update hosts h
         set reserved_memory_mib = h.reserved_memory_mib - back.memory_mib,
             reserved_cpu_millis = h.reserved_cpu_millis - back.cpu_millis
        from (select sum(memory_mib) as memory_mib, sum(cpu_millis) as cpu_millis
                from instance where gone having count(*) > 0) back
       where h.id = ${hostId}
    ), event as (
      insert into events (actor, kind, subject)
      select ${hostId}, 'instance.gone', id from instance where gone
    )
    select pg_notify('aerodb_routes', '') where exists (select from instance where routed)
    union all
    -- Somebody may wait for what became of a change; who waits for a creation hears of the tenant.
    select pg_notify('aerodb_tenants', t.id)
      from instance n join tenants t on t.instance_id = n.id
     where not n.shared and t.status in ('active', 'suspended')
    union all
    select pg_notify('aerodb_shared_tables', '') where exists (select from instance where shared)`);
}

/** Within JSON a number of 64 bits would lose its end. */
function spellOut({ generation, systemIdentifier, lastEnd: _, ...seen }: ObservedInstance) {
  return { ...seen, generation: String(generation), systemIdentifier: String(systemIdentifier) };
}
