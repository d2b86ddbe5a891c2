/** What hosts cost and have, and what is measured in them. */
import { type Db, sql } from "@aerodb/db";
import type { HostId, InstanceId } from "@aerodb/model";

export interface HostPrice {
  /** `any`: every host that has no price of its own. */
  readonly hostId: HostId | "any";
  /** Null: it is of `any`, or its host is forgotten. */
  readonly hostName: string | null;
  readonly activeFrom: Date;
  readonly microUsdPerMonth: bigint;
}

/** Every price there was and is: newest first. */
export function listHostPrices(db: Db): Promise<HostPrice[]> {
  return db.query<HostPrice>(sql`
    select p.host_id as "hostId", h.name as "hostName", p.active_from as "activeFrom",
           p.micro_usd_per_month as "microUsdPerMonth"
      from host_prices p left join hosts h on h.id = p.host_id
     order by p.active_from desc, p.host_id`);
}

/** Writes what a host costs from now on. Nothing is written when it costs that already. */
export async function insertHostPrice(
  db: Db,
  price: {
    readonly hostId: HostId | "any";
    readonly microUsdPerMonth: bigint;
    readonly principal: string;
    readonly eventRequestId: string;
  },
): Promise<void> {
  const { hostId, microUsdPerMonth } = price;
  await db.query(sql`
    with earlier as (
      select micro_usd_per_month as amount from host_prices
       where host_id = ${hostId} order by active_from desc limit 1
    ), price as (
      insert into host_prices (host_id, micro_usd_per_month)
      select ${hostId}, ${microUsdPerMonth}::bigint
       where not exists (select from earlier where amount = ${microUsdPerMonth}::bigint)
      returning *
    )
    insert into events (actor, kind, subject, before, after, request_id)
    select ${price.principal}, 'host_price.create', host_id,
           (select json_build_object('micro_usd_per_month', amount::text) from earlier),
           json_build_object('micro_usd_per_month', micro_usd_per_month::text),
           ${price.eventRequestId}
      from price`);
}

export interface HostCapacity {
  readonly id: HostId;
  readonly memoryMiB: number;
  readonly cpuMillis: number;
  /** Null when its agent did not tell. */
  readonly storageMiB: number | null;
  /** Null: it has no price. */
  readonly microUsdPerMonth: bigint | null;
}

/** Every host that was not removed. */
export function listHostCapacities(db: Db): Promise<HostCapacity[]> {
  return db.query<HostCapacity>(sql`
    select h.id, h.capacity_memory_mib as "memoryMiB", h.capacity_cpu_millis as "cpuMillis",
           least(h.storage_mib, 2147483647)::integer as "storageMiB", p.amount as "microUsdPerMonth"
      from hosts h
      left join lateral (
        select micro_usd_per_month as amount from host_prices
         where host_id in (h.id, 'any')
         order by host_id = h.id desc, active_from desc limit 1) p on true
     where h.removed_at is null order by h.id`);
}

/** An instance with tenants in it, and what was measured of it in the last minutes. */
export interface InstanceUse {
  readonly id: InstanceId;
  readonly hostId: HostId;
  /** Null: nothing was measured lately. */
  readonly memoryBytes: number | null;
  /** How many cores it kept busy. */
  readonly cores: number | null;
  readonly storageBytes: number | null;
  readonly groups: readonly {
    readonly plan: string;
    readonly isolation: string;
    readonly tenants: number;
    /** What was metered of them together. */
    readonly storageBytes: string;
  }[];
}

export function listInstanceUses(db: Db): Promise<InstanceUse[]> {
  return db.query<InstanceUse>(sql`
    with groups as (
      select t.instance_id, t.plan, t.isolation, count(*)::integer as tenants,
             coalesce(sum(g.value), 0)::text as "storageBytes"
        from tenants t
        left join usage_gauges g on g.tenant_id = t.id and g.meter = 'storage_bytes'
       where t.status in ('active', 'suspended')
       group by t.instance_id, t.plan, t.isolation
    ), instances_used as (
      select instance_id, json_agg(json_build_object(
               'plan', plan, 'isolation', isolation, 'tenants', tenants,
               'storageBytes', "storageBytes") order by plan, isolation) as groups
        from groups group by instance_id
    )
    select i.id, i.host_id as "hostId", memory.bytes as "memoryBytes", cpu.cores,
           storage.bytes as "storageBytes", u.groups
      from instances_used u
      join instances i on i.id = u.instance_id
      left join lateral (
        select (s.readings ->> 'memory_bytes')::float8 as bytes from samples s
         where s.subject = i.id and s.at > now() - interval '15 minutes'
           and s.readings ? 'memory_bytes'
         order by s.at desc limit 1) memory on true
      left join lateral (
        select (s.readings ->> 'storage_bytes')::float8 as bytes from samples s
         where s.subject = i.id and s.at > now() - interval '15 minutes'
           and s.readings ? 'storage_bytes'
         order by s.at desc limit 1) storage on true
      left join lateral (
        select sum((s.readings ->> 'cpu_seconds')::float8) / nullif(sum(s.seconds), 0) as cores
          from samples s
         where s.subject = i.id and s.at > now() - interval '15 minutes'
           and s.readings ? 'cpu_seconds') cpu on true
     order by i.id`);
}
