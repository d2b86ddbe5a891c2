import { type Db, sql } from "@aerodb/db";
import type { HostId, TenantId } from "@aerodb/model";

/** Where a tenant is, as far as its host must be able to bear what changes of it. */
export interface TenantHost {
  readonly id: HostId;
  readonly name: string;
  readonly capabilities: readonly string[];
  readonly capacityMemoryMiB: number;
  readonly capacityCpuMillis: number;
  readonly reservedMemoryMiB: number;
  readonly reservedCpuMillis: number;
  /** Size of its disk; null when its agent did not tell. */
  readonly storageMiB: number | null;
  readonly connectionLimit: number;
  /** What its instance was given; null when it shares one. */
  readonly dedicated: {
    readonly memoryMiB: number;
    readonly cpuMillis: number;
    readonly storageMiB: number;
    readonly pidsLimit: number;
    readonly importance: number;
    readonly connectionLimit: number;
  } | null;
}

export async function readTenantHost(db: Db, tenantId: TenantId): Promise<TenantHost | undefined> {
  const [host] = await db.query<TenantHost>(sql`
    select h.id, h.name, h.capabilities,
           h.capacity_memory_mib as "capacityMemoryMiB",
           h.capacity_cpu_millis as "capacityCpuMillis",
           h.reserved_memory_mib as "reservedMemoryMiB",
           h.reserved_cpu_millis as "reservedCpuMillis",
           least(h.storage_mib, 2147483647)::integer as "storageMiB",
           t.connection_limit as "connectionLimit",
           case when not i.shared then json_build_object(
             'memoryMiB', i.memory_mib, 'cpuMillis', i.cpu_millis, 'storageMiB', i.storage_mib,
             'pidsLimit', i.pids_limit, 'importance', i.importance,
             'connectionLimit', i.max_connections) end as dedicated
      from tenants t join instances i on i.id = t.instance_id join hosts h on h.id = i.host_id
     where t.id = ${tenantId} and t.deleted_at is null`);
  return host;
}
