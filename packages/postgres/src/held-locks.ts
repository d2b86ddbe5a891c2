/**
 * Who holds how much of the tables of locks, which all sessions of a server share, and who holds up
 * the platform or others in what is theirs.
 */
import type { Client } from "pg";
import { databaseFault } from "./database-fault.ts";
import { POOL_ROLE } from "./names.ts";

export interface HeldLocks {
  /** How many are sure to fit, and how many of what serializable transactions have read. */
  readonly capacity: number;
  readonly readCapacity: number;
  /** Sessions of others than the superuser that hold some there. */
  readonly backends: readonly HoldingBackend[];
  /** Sessions of tenants for whose locks one of the platform's has waited too long. */
  readonly blockers: readonly BlockingBackend[];
  /** Those that others wait for, or behind, to get at a relation that is no tenant's but theirs. */
  readonly intruders: readonly BlockingBackend[];
}

type Capacity = Pick<HeldLocks, "capacity" | "readCapacity">;

export interface BlockingBackend {
  /** As the server counts processes. */
  readonly pid: number;
  /** The tenant, or the login of pooled requests. */
  readonly name: string;
}

export interface HoldingBackend {
  /** As the server counts processes. */
  readonly pid: number;
  /** Oid of who logged in. */
  readonly role: string;
  readonly locks: number;
  readonly readLocks: number;
}

/**
 * Reads no table and opens no session, for neither can be had once the table of locks is full. What
 * a session locks first, sixteen tables and more on newer majors, takes no room in it.
 */
const HELD = `
  select l.pid, a.usesysid::pg_catalog.text as role,
    pg_catalog.count(*) filter (where l.mode <> 'SIReadLock')::pg_catalog.int4 as locks,
    pg_catalog.count(*) filter (where l.mode = 'SIReadLock')::pg_catalog.int4 as "readLocks"
  from pg_catalog.pg_lock_status() l
  join pg_catalog.pg_stat_get_activity(null) a on a.pid = l.pid
  where not l.fastpath and a.usesysid <> 10
  group by l.pid, a.usesysid`;
const CAPACITY = `
  select each * sessions as capacity, each_read * sessions as "readCapacity"
  from (select
    pg_catalog.current_setting('max_locks_per_transaction')::pg_catalog.int4 as each,
    pg_catalog.current_setting('max_pred_locks_per_transaction')::pg_catalog.int4 as each_read,
    pg_catalog.current_setting('max_connections')::pg_catalog.int4
      + pg_catalog.current_setting('max_prepared_transactions')::pg_catalog.int4 as sessions) s`;

/** Whoever is about to end gets away with it; a statement of the platform waits longer. */
const PATIENCE_MS = 1_000;
/**
 * Those that were given what the platform waits for: who waits in front of it, for the same one as
 * it does, is a victim too.
 */
const BLOCKERS = `
  with locks as materialized (select * from pg_catalog.pg_lock_status()),
  sessions as materialized (select * from pg_catalog.pg_stat_get_activity(null))
  select distinct s.pid, pg_catalog.pg_get_userbyid(s.usesysid)::pg_catalog.text as name
  from locks w join sessions p on p.pid = w.pid and p.usesysid = 10
  join locks h on h.granted and h.locktype = w.locktype
    and (h.database, h.relation, h.page, h.tuple, h.virtualxid, h.transactionid, h.classid,
      h.objid, h.objsubid) is not distinct from (w.database, w.relation, w.page, w.tuple,
      w.virtualxid, w.transactionid, w.classid, w.objid, w.objsubid)
  join sessions s on s.pid = h.pid
  where not w.granted
    and w.waitstart < pg_catalog.clock_timestamp() - interval '${PATIENCE_MS} milliseconds'
    and h.pid = any (pg_catalog.pg_blocking_pids(w.pid))
    and (pg_catalog.starts_with(pg_catalog.pg_get_userbyid(s.usesysid)::pg_catalog.text, 'ten_')
      or pg_catalog.pg_get_userbyid(s.usesysid) = '${POOL_ROLE}')`;

/**
 * Functions such as `nextval` lock what they are given before they look at rights, so anybody can
 * hold a lock on anybody's relation, what is stored beside it and temporary ones included. Whoever
 * does and keeps another from it is no part of what is going on there; its owner never is meant,
 * nor who only waits.
 */
const INTRUDERS = `
  with locks as materialized (
    select * from pg_catalog.pg_lock_status() where locktype = 'relation'),
  sessions as materialized (
    select pid, usesysid, pg_catalog.pg_get_userbyid(usesysid)::pg_catalog.text as name
    from pg_catalog.pg_stat_get_activity(null))
  select distinct s.pid, s.name
  from locks w join sessions p on p.pid = w.pid
  join locks h on h.relation = w.relation and h.database = w.database and h.pid <> w.pid
  join sessions s on s.pid = h.pid and s.usesysid <> p.usesysid
  join pg_catalog.pg_class c on c.oid = w.relation
  where not w.granted
    and w.waitstart < pg_catalog.clock_timestamp() - interval '${PATIENCE_MS} milliseconds'
    and pg_catalog.starts_with(s.name, 'ten_') and c.relowner <> s.usesysid
    and pg_catalog.starts_with(pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text, 'ten_')`;

/** The session must be open already, and best have asked before. */
export async function listHeldLocks(client: Client): Promise<HeldLocks> {
  try {
    const { rows } = await client.query<Capacity>(CAPACITY);
    const backends = (await client.query<HoldingBackend>(HELD)).rows;
    const blockers = (await client.query<BlockingBackend>(BLOCKERS)).rows;
    const intruders = (await client.query<BlockingBackend>(INTRUDERS)).rows;
    const { capacity = 0, readCapacity = 0 } = rows[0] ?? {};
    return { capacity, readCapacity, backends, blockers, intruders };
  } catch (error) {
    throw databaseFault(error, "list who holds its locks");
  }
}
