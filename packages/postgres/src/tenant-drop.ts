/**
 * Dropping a tenant, and its rows of shared tables. Its objects are dropped with its own rights: no
 * statement of the superuser touches what a tenant made. A drop runs no code of the tenant's (event
 * triggers are for superusers only), so the session cannot be turned back from within.
 */
import type { TenantId } from "@aerodb/model";
import { monotonicMs } from "@aerodb/runtime";
import { type Client, DatabaseError } from "pg";
import { databaseFault } from "./database-fault.ts";
import { quoteIdentifier } from "./identifier.ts";
import { dropLargeObjects, hasManyLargeObjects, LOCK_TABLE_FULL } from "./large-object-drop.ts";
import { dropSharedRows } from "./shared-rows.ts";
import { barRole, endSessions, findRole } from "./tenant-sessions.ts";
import { doorNamed } from "./wall-functions.ts";

const DEADLINE_MS = 60_000;
/** Long enough that the agent sees who holds it, short enough for who waits for the deletion. */
const LOCK_TIMEOUT_MS = 4_000;
/** Few enough for the lock table of the smallest instance. */
const BATCH_OBJECTS = 64;
const LOCK_NOT_AVAILABLE = "55P03";
/** How often whoever holds a lock on the role is sent away before the drop is tried later. */
const MOST_EVICTIONS = 5;

/**
 * Removes all that an instance holds of a tenant. Repeatable from any point; nothing left is no
 * error. Throws OPERATION_TIMED_OUT when its sessions do not end.
 */
export async function dropTenant(
  client: Client,
  tenantId: TenantId,
  options: { readonly deadlineMs?: number } = {},
): Promise<void> {
  try {
    await drop(client, tenantId, options.deadlineMs ?? DEADLINE_MS);
  } catch (error) {
    throw databaseFault(error, `drop ${tenantId}`);
  }
}

async function drop(client: Client, tenantId: TenantId, deadlineMs: number): Promise<void> {
  const name = quoteIdentifier(tenantId);
  const roleId = await findRole(client, tenantId);
  if (roleId === undefined) {
    await client.query(`drop schema if exists ${name} cascade`);
    return;
  }
  await barRole(client, { id: roleId, name: tenantId }, deadlineMs);
  // Made by the platform, and not the tenant's to drop. What others hang on it goes too.
  await client.query(`drop function if exists ${doorNamed(tenantId)} cascade`);
  await dropSharedRows(client, tenantId, deadlineMs);
  if (await hasManyLargeObjects(client, roleId)) await dropLargeObjects(client, tenantId);
  try {
    await dropAtOnce(client, name, roleId);
  } catch (error) {
    if (!isLockTableFull(error)) throw error;
    await dropInBatches(client, tenantId);
    await dropAtOnce(client, name, roleId);
  }
  // One that was let in just before the role was barred may show up only now.
  await endSessions(client, roleId, monotonicMs() + deadlineMs);
}

/**
 * Drops all in one transaction. Another tenant may hold a lock on the role, by a grant to it in a
 * transaction that it leaves open: that session is ended, for nobody may keep a tenant alive.
 */
async function dropAtOnce(client: Client, name: string, roleId: number): Promise<void> {
  for (let evictions = 0; ; evictions += 1) {
    try {
      await client.query(dropping(name));
      return;
    } catch (error) {
      const blocked = error instanceof DatabaseError && error.code === LOCK_NOT_AVAILABLE;
      if (!blocked || evictions === MOST_EVICTIONS) throw error;
      await client.query(EVICTION, [roleId]);
    }
  }
}

/**
 * Ends the sessions, but for our own, that hold a lock on the role with the oid $1, or on a
 * relation that is its own, on which something was granted to it or with a policy that names it.
 */
const EVICTION = `
select pg_catalog.pg_terminate_backend(l.pid, 1000)
from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.granted and a.usename is distinct from session_user and (
  (l.locktype = 'object' and l.classid = 'pg_catalog.pg_authid'::pg_catalog.regclass
    and l.objid = $1)
  or (l.locktype = 'relation' and l.relation in (
    select case d.classid when 'pg_catalog.pg_policy'::pg_catalog.regclass
      then (select p.polrelid from pg_catalog.pg_policy p where p.oid = d.objid)
      else d.objid end
    from pg_catalog.pg_shdepend d
    where d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass and d.refobjid = $1
      and d.classid in ('pg_catalog.pg_class'::pg_catalog.regclass,
        'pg_catalog.pg_policy'::pg_catalog.regclass))))`;

/**
 * All at once. Several statements in one message are one transaction: when one fails, all are
 * undone, the change of rights included, before anybody else's statement can come.
 */
function dropping(name: string): string {
  return [
    `set local lock_timeout = '${LOCK_TIMEOUT_MS}ms'`,
    `set local session authorization ${name}`,
    // As the tenant: everything it owns.
    "drop owned by current_user cascade",
    "set local session authorization default",
    `drop schema if exists ${name} cascade`,
    // As the platform: it owns nothing any more, only what was granted to it is left.
    `drop owned by ${name}`,
    `drop role ${name}`,
  ].join(";\n");
}

/** Drops in many transactions what needs more locks than one may hold. */
async function dropInBatches(client: Client, tenantId: TenantId): Promise<void> {
  let objects = BATCH_OBJECTS;
  while (objects > 0) objects = await dropBatch(client, tenantId, objects);
}

/** Drops some objects of a tenant, and says how many to try next: none when none are left. */
async function dropBatch(client: Client, tenantId: TenantId, objects: number): Promise<number> {
  const { rows } = await client.query<{ readonly statement: string }>(OBJECTS, [tenantId, objects]);
  if (rows.length === 0) return 0;
  const asTenant = `set local session authorization ${quoteIdentifier(tenantId)}`;
  try {
    await client.query([asTenant, ...rows.map(({ statement }) => statement)].join(";\n"));
    return objects;
  } catch (error) {
    if (!isLockTableFull(error) || objects === 1) throw error;
    return Math.ceil(objects / 4);
  }
}

/**
 * What else than large objects a tenant can have by the thousand: relations, routines and types.
 * What belongs to another object goes with it, partitions before what they are part of. The server
 * quotes names.
 */
const OBJECTS = `
with owner as materialized (
  select oid from pg_catalog.pg_roles where rolname = $1
)
select statement from (
  select 1 as step, c.relhassubclass as last,
    pg_catalog.format('drop %s if exists %I.%I cascade', case c.relkind
      when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
      when 'f' then 'foreign table' when 'c' then 'type' else 'table' end,
      n.nspname, c.relname) as statement
  from owner, pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relowner = owner.oid
    and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')
    and not (c.relkind = 'S' and ${belongs("pg_class", "c", "'i', 'a', 'e'")})
    and not ${belongs("pg_class", "c", "'e'")}
  union all
  select 2, false,
    pg_catalog.format('drop routine if exists %s cascade', p.oid::pg_catalog.regprocedure)
  from owner, pg_catalog.pg_proc p
  where p.proowner = owner.oid and p.prokind <> 'a'
    and not ${belongs("pg_proc", "p", "'i', 'e'")}
  union all
  select 3, false,
    pg_catalog.format('drop type if exists %s cascade', t.oid::pg_catalog.regtype)
  from owner, pg_catalog.pg_type t
  where t.typowner = owner.oid and t.typtype in ('d', 'e', 'r', 'b')
    and not ${belongs("pg_type", "t", "'i', 'e'")}
) as objects
order by step, last limit $2`;

function belongs(catalogue: string, row: string, kinds: string): string {
  const where = `d.classid = 'pg_catalog.${catalogue}'::pg_catalog.regclass`;
  const match = `${where} and d.objid = ${row}.oid and d.deptype in (${kinds})`;
  return `exists (select from pg_catalog.pg_depend d where ${match})`;
}

function isLockTableFull(error: unknown): boolean {
  return error instanceof DatabaseError && error.code === LOCK_TABLE_FULL;
}
