/** What hosts found by themselves, as events: each once, however often it is reported. */
import { type Db, sql } from "@aerodb/db";
import type { HostId } from "@aerodb/model";
import type { ServerEnd } from "./observed.ts";

/** The end of an instance's server that nobody had ordered. */
export interface EndOf extends ServerEnd {
  readonly id: string;
}

/**
 * Takes in the last ends of servers, each at most once in the list. Those that are not newer than
 * what is known, and those of other hosts' instances, change nothing; of those that follow within a
 * minute on one that was told only the number is kept.
 */
export async function takeServerEnds(
  db: Db,
  hostId: HostId,
  ends: readonly EndOf[],
): Promise<void> {
  const spelt = ends.map(({ number, ...end }) => ({ ...end, number: String(number) }));
  await db.query(sql`
    with instance as (
      update instances i
         set end_number = e.number,
             end_told_at = case when i.end_told_at > now() - interval '1 minute'
                                then i.end_told_at else now() end
        from jsonb_to_recordset(${JSON.stringify(spelt)}::jsonb)
             as e (id text, number bigint, hung boolean, reason text)
       where i.id = e.id and i.host_id = ${hostId} and i.gone_at is null
         and i.end_number < e.number
      returning i.id, e.hung, e.reason, i.end_told_at = now() as told
    )
    insert into events (actor, kind, subject, after)
    select ${hostId}, case when hung then 'instance.hang' else 'instance.crash' end, id,
           json_build_object('reason', reason)
      from instance where told`);
}

/** Takes in whether a host's disk is so full that nothing is written there. */
export async function takeDiskFull(db: Db, hostId: HostId, full: boolean): Promise<void> {
  await db.query(sql`
    with host as (
      update hosts set disk_full = ${full}
       where id = ${hostId} and disk_full <> ${full}
      returning id
    )
    insert into events (actor, kind, subject)
    select ${hostId}, ${full ? "host.disk_full" : "host.disk_freed"}, id from host`);
}
