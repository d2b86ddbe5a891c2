/** What hosts should hold, in the order of ids, as of one generation. */
import { type Db, sql } from "@aerodb/db";
import type { HostId, InstanceId, TenantId } from "@aerodb/model";

export type Presence = "present" | "absent";

export interface DesiredInstance {
  readonly id: InstanceId;
  readonly generation: bigint;
  readonly presence: Presence;
  readonly shared: boolean;
  readonly engineMajor: number;
  readonly maxConnections: number;
  readonly memoryMiB: number;
  readonly cpuMillis: number;
  readonly storageMiB: number;
  readonly pidsLimit: number;
  readonly importance: number;
  readonly settings: Readonly<Record<string, string>>;
  /** A server that was started for an older generation is to be restarted. */
  readonly restartGeneration: bigint;
  /** Postgres's own of the data that the instance was seen with; 0: it was not seen yet. */
  readonly systemIdentifier: bigint;
}

export interface DesiredTenant {
  readonly id: TenantId;
  readonly generation: bigint;
  readonly presence: Presence;
  readonly instanceId: InstanceId;
  readonly verifier: string;
  readonly connectionLimit: number;
  readonly extensions: readonly string[];
  /** Whether its role may not log in. */
  readonly suspended: boolean;
  /** Whether it may add to nothing that it stores. */
  readonly writesRefused: boolean;
}

/** What every shared instance should have. */
export interface DesiredChange {
  readonly number: number;
  readonly generation: bigint;
  readonly name: string;
  readonly sql: string;
}

/** What should be on a host, whole or what changed, as of a generation. */
export interface DesiredState {
  readonly generation: bigint;
  readonly instances: readonly DesiredInstance[];
  readonly tenants: readonly DesiredTenant[];
  readonly sharedTableChanges: readonly DesiredChange[];
}

/** Generations come as text within JSON, where a number would lose its end. */
type Spelled<Thing> = Omit<Thing, "generation"> & { readonly generation: string };

type BigOfInstance = "restartGeneration" | "systemIdentifier";

interface SpelledInstance extends Omit<Spelled<DesiredInstance>, BigOfInstance> {
  readonly restartGeneration: string;
  readonly systemIdentifier: string;
}

interface DesiredRow {
  readonly generation: bigint;
  readonly instances: readonly SpelledInstance[];
  readonly tenants: readonly Spelled<DesiredTenant>[];
  readonly sharedTableChanges: readonly Spelled<DesiredChange>[];
}

/**
 * What changed on a host after a generation; after 0 it is everything. What is gone and confirmed
 * is not listed. One statement, so all of it is as of the generation it carries.
 */
export async function readDesired(db: Db, hostId: HostId, after: bigint): Promise<DesiredState> {
  const [row] = await db.query<DesiredRow>(sql`
    select p.generation,
      (select coalesce(json_agg(json_build_object(
                'id', i.id, 'generation', i.generation::text, 'presence', i.presence,
                'shared', i.shared, 'engineMajor', i.engine_major,
                'maxConnections', i.max_connections, 'memoryMiB', i.memory_mib,
                'cpuMillis', i.cpu_millis, 'storageMiB', i.storage_mib,
                'pidsLimit', i.pids_limit, 'importance', i.importance, 'settings', i.settings,
                'restartGeneration', i.restart_generation::text,
                'systemIdentifier', coalesce(i.system_identifier, 0)::text) order by i.id), '[]')
         from instances i
        where i.host_id = ${hostId} and i.generation > ${after} and i.gone_at is null
      ) as instances,
      (select coalesce(json_agg(json_build_object(
                'id', t.id, 'generation', t.generation::text,
                'presence', case t.status when 'deleting' then 'absent' else 'present' end,
                'instanceId', t.instance_id, 'verifier', t.verifier,
                'connectionLimit', t.connection_limit, 'extensions', t.extensions,
                'suspended', t.suspend_reason is not null,
                'writesRefused', t.writes_refused)
                order by t.id), '[]')
         from instances i
         -- By instance, through its index: a change is found among any number of tenants.
        cross join lateral (
          select * from tenants t
           where t.instance_id = i.id and t.generation > ${after} and t.deleted_at is null
           offset 0) t
        where i.host_id = ${hostId} and i.gone_at is null
      ) as tenants,
      (select coalesce(json_agg(json_build_object(
                'number', c.number, 'generation', c.generation::text, 'name', c.name,
                'sql', c.sql) order by c.number), '[]')
         from shared_table_changes c where c.generation > ${after}
      ) as "sharedTableChanges"
      from platform p`);
  if (row === undefined) throw new Error("bug: the platform has no row");
  return {
    generation: row.generation,
    instances: row.instances.map((instance) => ({
      ...spellOut(instance),
      restartGeneration: BigInt(instance.restartGeneration),
      systemIdentifier: BigInt(instance.systemIdentifier),
    })),
    tenants: row.tenants.map(spellOut),
    sharedTableChanges: row.sharedTableChanges.map(spellOut),
  };
}

function spellOut<Thing extends { readonly generation: string }>(thing: Thing) {
  return { ...thing, generation: BigInt(thing.generation) };
}
