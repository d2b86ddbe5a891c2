import { type Db, sql } from "@aerodb/db";
import type { HostId, InstanceId, Isolation, OperationId, TenantId } from "@aerodb/model";

/** A tenant that is decided upon, with where it goes. */
export interface TenantInsert {
  readonly tenantId: TenantId;
  readonly operationId: OperationId;
  readonly name: string;
  readonly plan: string;
  readonly region: string;
  readonly isolation: Isolation;
  readonly labels: Readonly<Record<string, string>>;
  readonly verifier: string;
  readonly connectionLimit: number;
  readonly instanceId: InstanceId;
  readonly hostId: HostId;
  /** The instance to make; undefined: it is there and has room. */
  readonly newInstance: NewInstance | undefined;
  readonly principal: string;
  readonly eventRequestId: string;
  readonly requestId: string | null;
  readonly requestSha256: Uint8Array | null;
  readonly operationMs: number;
}

export interface NewInstance {
  readonly shared: boolean;
  readonly engineMajor: number;
  readonly maxConnections: number;
  readonly maxTenants: number;
  readonly memoryMiB: number;
  readonly cpuMillis: number;
  readonly storageMiB: number;
  readonly pidsLimit: number;
  readonly importance: number;
  /** How many times over the host's processor time may be promised. */
  readonly cpuOvercommit: number;
  readonly reason: string;
}

/**
 * Writes a tenant, its place, its operation and its event. False when the place was taken
 * meanwhile: then nothing is written (but the counter) and the caller chooses again. The unique
 * indexes `tenants_name` and `operations_request` refuse a taken name and a used request id.
 *
 * The counter's row comes first in every statement that takes it, so none waits for another in a
 * circle.
 */
export async function insertTenant(db: Db, tenant: TenantInsert): Promise<boolean> {
  const made = tenant.newInstance;
  const written = await db.query(sql`
    with bump as (
      update platform set generation = generation + 1 returning generation
    ), reserved as (
      update hosts h
         set reserved_memory_mib = reserved_memory_mib + ${made?.memoryMiB ?? 0},
             reserved_cpu_millis = reserved_cpu_millis + ${made?.cpuMillis ?? 0}
        from bump
       where h.id = ${tenant.hostId} and ${made !== undefined}::boolean and status = 'open'
         and removed_at is null
         and reserved_memory_mib + ${made?.memoryMiB ?? 0} <= capacity_memory_mib
         and reserved_cpu_millis + ${made?.cpuMillis ?? 0}
             <= capacity_cpu_millis * ${made?.cpuOvercommit ?? 1}::integer
      returning h.id
    ), joined as (
      update instances i set tenant_count = tenant_count + 1
        from bump
       where i.id = ${tenant.instanceId} and ${made === undefined}::boolean and shared
         and presence = 'present' and tenant_count < max_tenants
      returning i.id
    ), made as (
      insert into instances (id, host_id, placement_reason, memory_mib, cpu_millis,
               storage_mib, pids_limit, importance, region, shared, engine_major,
               max_connections, max_tenants, tenant_count, generation, route_generation)
      select coalesce(take_warm_instance(reserved.id, asked), ${tenant.instanceId}), reserved.id,
             ${made?.reason ?? ""}, memory_mib, cpu_millis, storage_mib, pids_limit, importance,
             ${tenant.region}, shared, engine_major, max_connections, max_tenants, 1,
             bump.generation, bump.generation
        from reserved, bump,
             json_populate_record(null::instances, ${askedOf(made)}::json) asked
      returning id
    ), tenant as (
      insert into tenants (id, name, plan, region, isolation, status, labels, instance_id,
               verifier, connection_limit, generation, route_generation)
      select ${tenant.tenantId}, ${tenant.name}, ${tenant.plan}, ${tenant.region},
             ${tenant.isolation}, 'creating', ${JSON.stringify(tenant.labels)}::jsonb, place.id,
             ${tenant.verifier}, ${tenant.connectionLimit}::integer, bump.generation,
             bump.generation
        from (select id from joined union all select id from made) place, bump
      returning id, generation, instance_id
    ), operation as (
      insert into operations (id, kind, tenant_id, principal, request_id, request_sha256,
               generation, deadline_at)
      select ${tenant.operationId}, 'create_tenant', tenant.id, ${tenant.principal},
             ${tenant.requestId}, ${tenant.requestSha256}::bytea, generation,
             now() + ${tenant.operationMs} * interval '1 millisecond'
        from tenant
      returning id
    ), step as (
      insert into operation_steps (operation_id, position, name)
      select id, 1, 'placed' from operation
    ), event as (
      insert into events (actor, kind, subject, after, request_id)
      select ${tenant.principal}, 'tenant.create', id, json_build_object(
               'name', ${tenant.name}::text, 'plan', ${tenant.plan}::text,
               'isolation', ${tenant.isolation}::text, 'region', ${tenant.region}::text,
               'host_id', ${tenant.hostId}::text, 'instance_id', instance_id),
             ${tenant.eventRequestId}
        from tenant
    )
    select pg_notify('aerodb_hosts', ${tenant.hostId}), pg_notify('aerodb_routes', '')
      from tenant`);
  return written.length === 1;
}

/** What an instance is made with, named as its columns are. */
function askedOf(made: NewInstance | undefined): string {
  return JSON.stringify({
    memory_mib: made?.memoryMiB,
    cpu_millis: made?.cpuMillis,
    storage_mib: made?.storageMiB,
    pids_limit: made?.pidsLimit,
    importance: made?.importance,
    shared: made?.shared,
    engine_major: made?.engineMajor,
    max_connections: made?.maxConnections,
    max_tenants: made?.maxTenants,
  });
}

/**
 * Held to the end of the transaction by who makes a shared instance in a region, so that a burst of
 * first tenants makes one instance and not one each.
 */
export async function lockSharedPlacement(db: Db, region: string): Promise<void> {
  await db.query(sql`
    select pg_advisory_xact_lock(hashtextextended(${`shared instances of ${region}`}, 0))`);
}
