/** Instances that hosts keep ready: what they are asked to keep, and what they say they have. */
import { type Database, type Db, sql } from "@aerodb/db";
import type { HostId, InstanceId } from "@aerodb/model";

/** What a dedicated instance is made with, whoever it is for. */
export interface WarmShape {
  readonly engineMajor: number;
  readonly maxConnections: number;
  readonly memoryMiB: number;
  readonly cpuMillis: number;
  readonly storageMiB: number;
  readonly pidsLimit: number;
}

export interface WarmInstance {
  readonly id: InstanceId;
  readonly shape: WarmShape;
}

/**
 * The shapes of the plans whose tenants have an instance of their own, each once, with the engine
 * that a new instance on the host gets. None for a host that cannot run them.
 */
export function readWarmShapes(db: Db, hostId: HostId): Promise<WarmShape[]> {
  return db.query(sql`
    select distinct engine.major as "engineMajor", p.connection_limit as "maxConnections",
           p.memory_mib as "memoryMiB", p.cpu_millis as "cpuMillis",
           p.storage_mib as "storageMiB", p.pids_limit as "pidsLimit"
      from hosts h
     cross join lateral (
       select max(substring(version from '^[0-9]+')::integer) as major
         from unnest(h.engines) as version) engine
      join plans p on p.default_isolation = 'database'
                  and p.required_capabilities <@ h.capabilities
     where h.id = ${hostId} and h.status = 'open' and engine.major is not null
     order by 1, 2, 3, 4, 5, 6`);
}

/**
 * Takes in all that a host keeps ready. What a tenant was given meanwhile is not offered again: the
 * host's row is held first, as who gives one away holds it too, so that the second statement sees
 * what they wrote.
 */
export async function replaceWarmInstances(
  database: Database,
  hostId: HostId,
  ready: readonly WarmInstance[],
): Promise<void> {
  const shapes = ready.map(({ shape }) => shape);
  await database.transaction(async (db) => {
    await db.query(sql`select from hosts where id = ${hostId} for no key update`);
    await db.query(sql`
      with ready as (
        select * from unnest(${ready.map(({ id }) => id)}::text[],
                             ${shapes.map(({ engineMajor }) => engineMajor)}::integer[],
                             ${shapes.map(({ maxConnections }) => maxConnections)}::integer[],
                             ${shapes.map(({ memoryMiB }) => memoryMiB)}::integer[],
                             ${shapes.map(({ cpuMillis }) => cpuMillis)}::integer[],
                             ${shapes.map(({ storageMiB }) => storageMiB)}::integer[],
                             ${shapes.map(({ pidsLimit }) => pidsLimit)}::integer[])
                  as r (id, engine_major, max_connections, memory_mib, cpu_millis, storage_mib,
                        pids_limit)
         where not exists (select from instances i where i.id = r.id)
      ), gone as (
        delete from warm_instances
         where host_id = ${hostId} and id not in (select id from ready)
      )
      insert into warm_instances (id, host_id, engine_major, max_connections, memory_mib,
               cpu_millis, storage_mib, pids_limit)
      select id, ${hostId}, engine_major, max_connections, memory_mib, cpu_millis, storage_mib,
             pids_limit
        from ready
          on conflict (id) do nothing`);
  });
}
