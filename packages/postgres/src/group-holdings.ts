/**
 * What was made as the group of those who write. On 15 a member may become its group, and nothing
 * fires for a large object, nor for a temporary table that EXPLAIN makes. As the group's it would
 * be metered of nobody, so it is dropped; it keeps no tenant from being served.
 */
import { type Client, DatabaseError } from "pg";
import { databaseFault } from "./database-fault.ts";
import { quoteLiteral } from "./identifier.ts";
import { dropLargeObjects } from "./large-object-drop.ts";
import { WRITERS_ROLE } from "./names.ts";

/** Who holds what it waits for is ended before by the watch over locks. */
const LOCK_TIMEOUT_MS = 3_000;
const MOST_AT_ONCE = 100;

/** Of a row `d` of pg_shdepend by which a role `r` owns something. */
export const OF_NOBODY = `(r.rolname = ${quoteLiteral(WRITERS_ROLE)} and (
  d.classid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass
  or d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and exists (
    select from pg_catalog.pg_class c where c.oid = d.objid and c.relpersistence = 't')))`;

const FOUND = `
  select distinct case when d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    then pg_catalog.format('drop %s %I.%I cascade',
      case c.relkind when 'm' then 'materialized view' else 'table' end, n.nspname, c.relname)
    end as drops
  from pg_catalog.pg_roles r
  join pg_catalog.pg_shdepend d on d.refobjid = r.oid and d.deptype = 'o'
    and d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
  left join pg_catalog.pg_class c on c.oid = d.objid
    and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where ${OF_NOBODY} limit ${MOST_AT_ONCE}`;

/** One question when there is nothing, as ever since 16. Safe to repeat. */
export async function dropGroupHoldings(client: Client): Promise<void> {
  try {
    const { rows } = await client.query<{ readonly drops: string | null }>(FOUND);
    for (const { drops } of rows) {
      if (drops === null) await dropLargeObjects(client, WRITERS_ROLE);
      else await dropTable(client, drops);
    }
  } catch (error) {
    throw databaseFault(error, "drop what was made as a group");
  }
}

/** One that somebody holds, or that is gone, keeps nobody from the others. */
async function dropTable(client: Client, drops: string): Promise<void> {
  try {
    await client.query(`set local lock_timeout = '${LOCK_TIMEOUT_MS}ms'; ${drops}`);
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
  }
}
