/** The end of a host: its identity, what describes it, and what was placed on it. */
import { type Db, sql } from "@aerodb/db";
import type { HostId } from "@aerodb/model";

/** A host as who removes it must know it, removed ones too. */
export interface RemovableHost {
  readonly id: HostId;
  readonly name: string;
  readonly connected: boolean;
  readonly revoked: boolean;
  /** Null: it was not. */
  readonly removedAt: Date | null;
  /** Tenants on it that are not deleted. */
  readonly tenants: number;
}

/**
 * The host of this id or name, held to the end of the transaction together with the counter, which
 * whoever places or reports something takes first. Of several with the name it is the one that is
 * there, else the one that was removed last.
 */
export async function lockRemovableHost(
  db: Db,
  idOrName: string,
): Promise<RemovableHost | undefined> {
  await db.query(sql`select generation from platform for update`);
  const [host] = await db.query<RemovableHost>(sql`
    select h.id, h.name, h.revoked_at is not null as revoked, h.removed_at as "removedAt",
           h.session_token is not null
             and h.last_seen_at > now() - interval '45 seconds' as connected,
           (select count(*) from tenants t join instances i on i.id = t.instance_id
             where i.host_id = h.id and t.deleted_at is null)::integer as tenants
      from hosts h
     where h.id = ${idOrName} or h.name = ${idOrName}
     order by h.removed_at desc nulls first limit 1 for update`);
  return host;
}

export interface HostRemoval {
  readonly hostId: HostId;
  /** Whether the machine and its data are gone. */
  readonly lost: boolean;
  readonly principal: string;
  readonly eventRequestId: string;
}

/** What a tenant says of itself whose host was lost. */
const HOST_LOST = "Its host was lost, and its data with it: delete the tenant.";

/**
 * Removes a host that is held. Instances that it had are gone. Its tenants, if there are any, have
 * failed; those that were being deleted are deleted. Streams of the host end, and gateways forget
 * what was there. Returns when that was.
 */
export async function endHost(db: Db, removal: HostRemoval): Promise<Date> {
  const { hostId, principal, eventRequestId } = removal;
  if (removal.lost) await failTenants(db, removal);
  const [removed] = await db.query<{ removedAt: Date }>(sql`
    with bump as (
      update platform set generation = generation + 1 returning generation
    ), instance as (
      update instances i
         set presence = 'absent', tenant_count = 0, gone_at = now(),
             generation = bump.generation, route_generation = bump.generation
        from bump
       where i.host_id = ${hostId} and i.gone_at is null
    ), certificate as (
      update certificates set refused_at = now()
       where subject = ${hostId} and refused_at is null
    ), token as (
      delete from join_tokens where rejoins = ${hostId} or used_by = ${hostId}
    ), question as (
      delete from host_questions where host_id = ${hostId}
    ), warm as (
      delete from warm_instances where host_id = ${hostId}
    ), sample as (
      delete from samples where host_id = ${hostId} and subject = ${hostId}
    ), host as (
      update hosts
         set removed_at = now(), revoked_at = coalesce(revoked_at, now()), session_token = null,
             reserved_memory_mib = 0, reserved_cpu_millis = 0, fingerprint = '{}', engines = '{}',
             engines_under_floor = '{}', capabilities = '{}', labels = '{}'
       where id = ${hostId}
      returning id, name, region, removed_at
    ), event as (
      insert into events (actor, kind, subject, before, after, request_id)
      select ${principal}, 'host.remove', id,
             json_build_object('name', name, 'region', region),
             json_build_object('lost', ${removal.lost}::boolean), ${eventRequestId}
        from host
    )
    select removed_at as "removedAt", pg_notify('aerodb_identities', id),
           pg_notify('aerodb_routes', '')
      from host`);
  if (removed === undefined) throw new Error("bug: a host that is held has no row");
  return removed.removedAt;
}

/** Ends what is under way on the tenants of a host that was lost, and says so of each. */
async function failTenants(db: Db, { hostId, principal, eventRequestId }: HostRemoval) {
  await db.query(sql`
    with bump as (
      update platform set generation = generation + 1 returning generation
    ), tenant as (
      update tenants t
         set status = case t.status when 'deleting' then 'deleted' else 'failed' end,
             status_reason = case t.status when 'deleting' then '' else ${HOST_LOST}::text end,
             verifier = case t.status when 'deleting' then '' else t.verifier end,
             previous_verifier = '',
             deleted_at = case t.status when 'deleting' then now() end,
             suspend_reason = null, quarantine_reason = null,
             generation = bump.generation, route_generation = bump.generation, updated_at = now()
        from bump, instances i
       where i.id = t.instance_id and i.host_id = ${hostId} and t.deleted_at is null
         and t.status <> 'failed'
      returning t.id, t.status
    ), operation as (
      update operations o
         set done_at = now(),
             error = case tenant.status when 'deleted' then ''
                                        else 'The tenant''s host was lost.' end
        from tenant where o.tenant_id = tenant.id and o.done_at is null
    ), event as (
      insert into events (actor, kind, subject, after, request_id)
      select ${principal}, 'tenant.' || status, id,
             json_build_object('lost_host', ${hostId}::text), ${eventRequestId}
        from tenant
    )
    select pg_notify('aerodb_tenants', id) from tenant`);
}

/** Whether this host was removed, as far as that is remembered. */
export async function isRemoved(db: Db, hostId: HostId): Promise<boolean> {
  const found = await db.query(sql`
    select from hosts where id = ${hostId} and removed_at is not null`);
  return found.length === 1;
}

/**
 * Forgets hosts that were removed more than `days` days ago, once no instance refers to them any
 * more. An agent that comes back later is unknown.
 */
export async function purgeRemovedHosts(db: Db, days: number): Promise<void> {
  await db.query(sql`
    delete from hosts h
     where h.removed_at < now() - ${days} * interval '1 day'
       and not exists (select from instances i where i.host_id = h.id)`);
}
