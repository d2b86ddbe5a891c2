/**
 * Sessions of a tenant whose writes are refused that could still write by what they began with: in
 * a transaction that wrote or was about to, into temporary tables, or, where Postgres lets a member
 * become its group, as that.
 */
import { Fault, type TenantId } from "@aerodb/model";
import { monotonicMs, sleep } from "@aerodb/runtime";
import type { Client } from "pg";
import { databaseFault } from "./database-fault.ts";
import { REFUSED_SINCE } from "./writes-wall.ts";

/** Whoever is about to end its transaction gets away with it. */
const GRACE_MS = 1_000;
const DEADLINE_MS = 6_000;
const PAUSE_MS = 25;

/** Since when writes of a role `r` are refused; null where they are not. */
const SINCE = `(select pg_catalog.to_timestamp(pg_catalog.substr(d.description,
    pg_catalog.length('${REFUSED_SINCE}') + 1)::pg_catalog.float8)
  from pg_catalog.pg_shdescription d
  where d.objoid = r.oid and d.classoid = 'pg_catalog.pg_authid'::pg_catalog.regclass
    and pg_catalog.starts_with(d.description, '${REFUSED_SINCE}'))`;
/** Before 16 the server counts its sessions in another way than temporary schemas do. */
const KNOWS_SESSIONS =
  "pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 160000";
const HOLDS_TEMPORARY = `exists (
  select from pg_catalog.pg_stat_get_backend_idset() b(id)
  join pg_catalog.pg_namespace n on n.nspname = 'pg_temp_' || b.id
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relowner = r.oid
  where pg_catalog.pg_stat_get_backend_pid(b.id) = a.pid)`;

/**
 * A session looks whether rights have changed when it locks a table anew. One that holds what an
 * insert locks, though it wrote nothing yet, would not look before its transaction ends.
 */
const MAY_WRITE = `(a.backend_xid is not null or exists (
  select from pg_catalog.pg_locks l where l.pid = a.pid and l.locktype = 'relation'
    and l.granted and l.mode not in ('AccessShareLock', 'RowShareLock')))`;

const EARLIER = `
  from pg_catalog.pg_stat_activity a cross join lateral (select ${SINCE} as at) since
  where a.usesysid = r.oid and a.pid <> pg_catalog.pg_backend_pid()
    and (a.xact_start < since.at and ${MAY_WRITE}
      or case when ${KNOWS_SESSIONS} then since.at is not null and ${HOLDS_TEMPORARY}
        else a.backend_start < since.at end)`;

/** How many there are of a role `r`: sessions are looked at only where writes are refused. */
export const EARLIER_WRITERS = `case when ${SINCE} is null then 0
  else (select pg_catalog.count(*)::pg_catalog.int4 ${EARLIER}) end`;

/** Ends them, once they had a moment to end by themselves. Safe to repeat. */
export async function endEarlierWriters(client: Client, tenantId: TenantId): Promise<void> {
  const startMs = monotonicMs();
  try {
    for (;;) {
      const waited = monotonicMs() - startMs;
      const text = waited < GRACE_MS ? COUNT : TERMINATE;
      const { rows } = await client.query<{ readonly pid: number }>(text, [tenantId]);
      if (rows.length === 0) return;
      if (waited > DEADLINE_MS) break;
      await sleep(PAUSE_MS);
    }
  } catch (error) {
    throw databaseFault(error, `end who writes for ${tenantId}`);
  }
  throw new Fault("OPERATION_TIMED_OUT", `Waited too long for ${tenantId} to end what it writes.`);
}

const OF_TENANT = `from pg_catalog.pg_roles r cross join lateral (select a.pid ${EARLIER}) e
  where r.rolname = $1`;
const COUNT = `select e.pid ${OF_TENANT}`;
const TERMINATE = `select e.pid, pg_catalog.pg_terminate_backend(e.pid) ${OF_TENANT}`;
