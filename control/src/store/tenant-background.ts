/** What has to be known before a tenant can be placed, in one round trip. */
import { type Db, sql } from "@aerodb/db";
import type { HostId, InstanceId, Isolation, OperationId, TenantId } from "@aerodb/model";

export interface TenantBackground {
  /** Null: there is no such plan. */
  readonly plan: {
    readonly isolations: readonly Isolation[];
    readonly defaultIsolation: Isolation;
    readonly connectionLimit: number;
    readonly memoryMiB: number;
    readonly cpuMillis: number;
    readonly storageMiB: number;
    readonly pidsLimit: number;
    readonly importance: number;
    readonly requiredCapabilities: readonly string[];
  } | null;
  readonly plans: readonly string[];
  readonly regions: readonly string[];
  /** The only region with hosts that may be placed on; null: none, or several. */
  readonly defaultRegion: string | null;
  /** Hosts of the region asked for, or of the default one. */
  readonly hosts: readonly PlaceableHost[];
  /** Shared instances of that region with room for a tenant. */
  readonly sharedInstances: readonly {
    readonly id: InstanceId;
    readonly hostId: HostId;
    readonly running: boolean;
    readonly tenantCount: number;
    readonly maxTenants: number;
  }[];
  /** Status of the tenant that holds the name; null when it is free. */
  readonly nameHeldBy: string | null;
  /** What the request id was used for before; null when it was not. */
  readonly earlier: {
    readonly tenantId: TenantId;
    readonly operationId: OperationId;
    /** SHA-256 of what was asked for then, hex. */
    readonly requestSha256: string;
  } | null;
}

/** What placing needs to know of a host. */
export interface PlaceableHost {
  readonly id: HostId;
  readonly name: string;
  readonly connected: boolean;
  readonly cordoned: boolean;
  readonly capacityMemoryMiB: number;
  readonly capacityCpuMillis: number;
  readonly reservedMemoryMiB: number;
  readonly reservedCpuMillis: number;
  readonly engines: readonly string[];
  readonly enginesUnderFloor: readonly string[];
  readonly capabilities: readonly string[];
  readonly storageMiB: number | null;
  readonly freeStorageMiB: number | null;
}

export interface BackgroundQuery {
  readonly name: string;
  readonly plan: string;
  /** Empty: the default one. */
  readonly region: string;
  readonly principal: string;
  /** Null: none was given. */
  readonly requestId: string | null;
}

export async function readBackground(db: Db, query: BackgroundQuery): Promise<TenantBackground> {
  const { name, plan, region, principal, requestId } = query;
  const [background] = await db.query<TenantBackground>(sql`
    with usable as (
      select distinct region from hosts where revoked_at is null
    ), home as (
      -- Where no region has hosts, the only one is good for a refusal that says so.
      select coalesce(nullif(${region}, ''), chosen) as region, chosen
        from (select case when (select count(*) from usable) = 1 then (select region from usable)
                          when not exists (select from usable) and count(*) = 1 then min(name)
                     end as chosen
                from regions) as of_all
    )
    select
      (select json_build_object(
                'isolations', isolations, 'defaultIsolation', default_isolation,
                'connectionLimit', connection_limit, 'memoryMiB', memory_mib,
                'cpuMillis', cpu_millis, 'storageMiB', storage_mib, 'pidsLimit', pids_limit,
                'importance', importance, 'requiredCapabilities', required_capabilities)
         from plans where name = ${plan}) as plan,
      array(select name from plans order by sort_order) as plans,
      array(select name from regions order by name) as regions,
      home.chosen as "defaultRegion",
      (select coalesce(json_agg(json_build_object(
                'id', id, 'name', name, 'cordoned', status = 'cordoned',
                'connected', session_token is not null
                  and last_seen_at > now() - interval '45 seconds',
                'capacityMemoryMiB', capacity_memory_mib,
                'capacityCpuMillis', capacity_cpu_millis,
                'reservedMemoryMiB', reserved_memory_mib,
                'reservedCpuMillis', reserved_cpu_millis, 'engines', engines,
                'enginesUnderFloor', engines_under_floor, 'capabilities', capabilities,
                'storageMiB', storage_mib, 'freeStorageMiB', free_storage_mib) order by id), '[]')
         from hosts
        where hosts.region = home.region and removed_at is null) as hosts,
      (select coalesce(json_agg(json_build_object(
                'id', id, 'hostId', host_id, 'running', observed_state = 'running',
                'tenantCount', tenant_count, 'maxTenants', max_tenants) order by id), '[]')
         from instances
        where instances.region = home.region and shared and presence = 'present'
          and tenant_count < max_tenants) as "sharedInstances",
      (select status from tenants
        where name = ${name} and deleted_at is null) as "nameHeldBy",
      (select json_build_object('tenantId', tenant_id, 'operationId', id,
                'requestSha256', encode(request_sha256, 'hex'))
         from operations
        where principal = ${principal} and request_id = ${requestId}) as earlier
      from home`);
  if (background === undefined) throw new Error("bug: the background of a tenant is no row");
  return background;
}
