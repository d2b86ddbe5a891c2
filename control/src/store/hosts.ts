import { type Db, sql } from "@aerodb/db";
import type { HostId, InstanceId, RegionName } from "@aerodb/model";

export interface HostResources {
  readonly memoryMiB: number;
  readonly cpuMillis: number;
  readonly storageMiB: number;
}

/** A host as it stands in the catalogue. */
export interface Host {
  readonly id: HostId;
  readonly name: string;
  readonly region: RegionName;
  readonly connected: boolean;
  /** Undefined: its agent has never dialled. */
  readonly lastSeenAt: Date | undefined;
  readonly agentVersion: string;
  readonly capacity: HostResources;
  readonly reserved: HostResources;
  readonly engines: readonly string[];
  /** What placements may ask for. */
  readonly capabilities: readonly string[];
  readonly instances: number;
  readonly tenants: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Null: it is in force. */
  readonly revokedAt: Date | null;
  readonly revokedReason: string;
  /** How far its clock is ahead of control's. Null: not measured yet. */
  readonly clockOffsetMs: number | null;
}

interface HostRow extends Omit<Host, "lastSeenAt"> {
  readonly lastSeenAt: Date | null;
}

/** Every host by name, or those of this id or name; not those that were removed. */
export async function listHosts(db: Db, idOrName: string | null = null): Promise<Host[]> {
  const rows = await db.query<HostRow>(sql`
    select h.id, h.name, h.region, h.last_seen_at as "lastSeenAt",
           h.session_token is not null
             and h.last_seen_at > now() - interval '45 seconds' as connected,
           h.labels, h.revoked_at as "revokedAt", h.revoked_reason as "revokedReason",
           h.clock_offset_ms as "clockOffsetMs",
           h.agent_version as "agentVersion", h.engines, h.capabilities,
           json_build_object('memoryMiB', h.capacity_memory_mib,
                             'cpuMillis', h.capacity_cpu_millis,
                             'storageMiB', coalesce(h.storage_mib, 0)) as capacity,
           json_build_object('memoryMiB', h.reserved_memory_mib,
                             'cpuMillis', h.reserved_cpu_millis,
                             'storageMiB', coalesce(sum(i.storage_mib), 0)) as reserved,
           count(i.id)::integer as instances,
           coalesce(sum(i.tenant_count), 0)::integer as tenants
      from hosts h left join instances i on i.host_id = h.id and i.gone_at is null
     where h.removed_at is null
       and (${idOrName}::text is null or h.id = ${idOrName} or h.name = ${idOrName})
     group by h.id order by h.name`);
  return rows.map(({ lastSeenAt, ...row }) => ({ ...row, lastSeenAt: lastSeenAt ?? undefined }));
}

/** What an agent says of itself when it dials. */
export interface HostSession {
  readonly hostId: HostId;
  readonly token: string;
  readonly agentVersion: string;
  readonly edgeAddress: string;
  readonly bootId: string;
}

/**
 * Starts a session of a host, in the place of any other. Where gateways reach the host by other
 * ways than before, its endpoints change too. False when there is no such host.
 */
export async function startHostSession(db: Db, session: HostSession): Promise<boolean> {
  const started = await db.query(sql`
    with bump as (
      update platform set generation = generation + 1
       where exists (
         select from hosts
          where id = ${session.hostId}
            and (boot_id, edge_address) <> (${session.bootId}, ${session.edgeAddress}))
      returning generation
    ), host as (
      update hosts h
         set session_token = ${session.token}, connected_at = now(), last_seen_at = now(),
             agent_version = ${session.agentVersion}, edge_address = ${session.edgeAddress},
             boot_id = ${session.bootId}
        from (select) always left join bump on true
       where h.id = ${session.hostId} and h.removed_at is null
      returning h.id
    ), endpoint as (
      update instances i set route_generation = bump.generation
        from bump
       where i.host_id = ${session.hostId} and i.gone_at is null
    )
    select pg_notify('aerodb_routes', '') from host`);
  return started.length === 1;
}

/** Writes that two agents ran with the identity of a host. */
export async function noteHostConflict(
  db: Db,
  hostId: HostId,
  parties: Readonly<Record<string, unknown>>,
): Promise<void> {
  await db.query(sql`
    insert into events (actor, kind, subject, after)
    select 'system', 'host.conflict', id, ${JSON.stringify(parties)}::jsonb
      from hosts where id = ${hostId}`);
}

/** A clock that is further off is worth an event. */
const CLOCK_TOLERANCE_MS = 5_000;

/**
 * Marks a session as alive and keeps how far the host's clock is off, if that is known. Tells
 * whether the clock went wrong, or right, with this. Undefined when another took its place.
 */
export async function keepHostSession(
  db: Db,
  session: { readonly hostId: HostId; readonly token: string },
  clockOffsetMs: number | undefined,
): Promise<{ readonly clockTurned: "wrong" | "right" | null } | undefined> {
  const [kept] = await db.query<{ clockTurned: "wrong" | "right" | null }>(sql`
    with earlier as (
      select id, coalesce(clock_offset_ms, 0) as ms from hosts
       where id = ${session.hostId} and session_token = ${session.token}
    ), host as (
      update hosts h
         set last_seen_at = now(),
             clock_offset_ms = coalesce(${clockOffsetMs ?? null}, h.clock_offset_ms)
        from earlier
       where h.id = earlier.id and h.session_token = ${session.token}
      returning h.id, earlier.ms as before, coalesce(h.clock_offset_ms, 0) as after
    ), turn as (
      select id, before, after,
             case when (abs(before) > ${CLOCK_TOLERANCE_MS}) = (abs(after) > ${CLOCK_TOLERANCE_MS})
                  then null when abs(after) > ${CLOCK_TOLERANCE_MS} then 'wrong' else 'right'
             end as kind
        from host
    ), event as (
      insert into events (actor, kind, subject, before, after)
      select 'system', 'host.clock_' || kind, id, json_build_object('offset_ms', before),
             json_build_object('offset_ms', after)
        from turn where kind is not null
    )
    select kind as "clockTurned" from turn`);
  return kept;
}

/** Ends a session, unless another took its place. */
export async function endHostSession(db: Db, hostId: HostId, token: string): Promise<void> {
  await db.query(sql`
    update hosts set session_token = null
     where id = ${hostId} and session_token = ${token}`);
}

/** The host that an instance is placed on, as long as anything of it is there. */
export async function findInstanceHost(db: Db, id: InstanceId): Promise<HostId | undefined> {
  const [row] = await db.query<{ readonly hostId: HostId }>(sql`
    select host_id as "hostId" from instances where id = ${id} and gone_at is null`);
  return row?.hostId;
}
