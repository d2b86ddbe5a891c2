/** Changes of the tables that tenants of shared instances share, and how far instances are. */
import { type Db, sql } from "@aerodb/db";
import type { HostId, InstanceId } from "@aerodb/model";

export interface StoredChange {
  /** Its place in the order, from 1. */
  readonly number: number;
  readonly name: string;
  readonly sha256: string;
  readonly createdAt: Date;
  /** How many shared instances there are. */
  readonly instances: number;
  /** How many of them are known to have it. */
  readonly instancesApplied: number;
}

/** Every change, in order. */
export function listChanges(db: Db): Promise<StoredChange[]> {
  return db.query(sql`
    select c.number, c.name, c.sha256, c.created_at as "createdAt",
           count(i.id)::integer as instances,
           (count(i.id) filter (where i.shared_table_changes >= c.number))::integer
             as "instancesApplied"
      from shared_table_changes c
      left join instances i on i.shared and i.presence = 'present' and i.gone_at is null
     group by c.number order by c.number`);
}

export interface InstanceBehind {
  readonly instanceId: InstanceId;
  readonly hostId: HostId;
  /** The newest that it is known to have; 0: none. */
  readonly newestChange: number;
  readonly reason: string;
}

/** Shared instances that are not known to have all changes, and what their hosts say of them. */
export function listBehind(db: Db): Promise<InstanceBehind[]> {
  return db.query(sql`
    select id as "instanceId", host_id as "hostId", shared_table_changes as "newestChange",
           observed_reason as reason
      from instances
     where shared and presence = 'present' and gone_at is null
       and shared_table_changes < (select max(number) from shared_table_changes)
     order by id`);
}

/** Hosts that should hold a shared instance, and whether their agents are connected. */
export function listSharedHosts(
  db: Db,
): Promise<{ readonly hostId: HostId; readonly connected: boolean }[]> {
  return db.query(sql`
    select h.id as "hostId",
           h.session_token is not null
             and h.last_seen_at > now() - interval '45 seconds' as connected
      from hosts h
     where exists (select from instances i
                    where i.host_id = h.id and i.shared and i.presence = 'present'
                      and i.gone_at is null)
     order by h.id`);
}

export interface NewChange {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
  readonly sha256: string;
  readonly principal: string;
  readonly eventRequestId: string;
}

/** Writes a change and tells every host. False when its number or its name is taken. */
export async function insertChange(db: Db, change: NewChange): Promise<boolean> {
  const inserted = await db.query(sql`
    with bump as (
      update platform set generation = generation + 1 returning generation
    ), change as (
      insert into shared_table_changes (number, name, sql, sha256, generation)
      select ${change.number}::integer, ${change.name}, ${change.sql}, ${change.sha256}, generation
        from bump
          on conflict do nothing
      returning number, name, sha256
    ), event as (
      insert into events (actor, kind, subject, after, request_id)
      select ${change.principal}, 'shared_tables.apply', name,
             json_build_object('number', number, 'sha256', sha256), ${change.eventRequestId}
        from change
    )
    select number, (select count(pg_notify('aerodb_hosts', id)) from hosts) from change`);
  return inserted.length === 1;
}

/** Whether a change is still on its way to a server that runs and of which no failure is said. */
export async function isUnderWay(db: Db, number: number): Promise<boolean> {
  const waiting = await db.query(sql`
    select 1 from instances i join hosts h on h.id = i.host_id
     where i.shared and i.presence = 'present' and i.gone_at is null
       and i.observed_state = 'running' and i.observed_reason = ''
       and i.shared_table_changes < ${number}
       and h.session_token is not null and h.last_seen_at > now() - interval '45 seconds'
     limit 1`);
  return waiting.length > 0;
}
