/**
 * Autovacuum workers that do not come to an end: as they analyze a table they run the functions in
 * its indexes, which are its owner's, and no timeout binds them. There are three of them for all
 * tables of a server, so a tenant could keep those of all others from being vacuumed.
 */
import type { TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { databaseFault, isOfStatement } from "./database-fault.ts";
import { quoteIdentifier } from "./identifier.ts";
import { IS_TENANT } from "./isolation/rule.ts";

export interface Runaway {
  readonly tenantId: TenantId;
  /** Qualified and quoted. */
  readonly table: string;
}

/** Samples are bounded, whatever the size of a table. */
const PATIENCE_MS = 60_000;
const LOCK_TIMEOUT_MS = 2_000;

/**
 * Ends workers that have analyzed one table of a tenant for too long, and takes the table out of
 * autovacuum, with the tenant's own rights: the next worker would come to it again. Returns what it
 * found.
 */
export async function endRunaways(
  client: Client,
  patienceMs = PATIENCE_MS,
): Promise<readonly Runaway[]> {
  try {
    const { rows } = await client.query<Runaway>(RUNAWAYS, [patienceMs]);
    for (const runaway of rows) await spare(client, runaway);
    return rows;
  } catch (error) {
    throw databaseFault(error, "end workers that come to no end");
  }
}

/** Found first and ended then: as one condition among others it would hit whoever analyzes. */
const RUNAWAYS = `
with found as materialized (
select p.pid, pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text as tenant,
  pg_catalog.format('%I.%I', n.nspname, c.relname) as name
from pg_catalog.pg_stat_progress_analyze p
join pg_catalog.pg_stat_activity a on a.pid = p.pid
join pg_catalog.pg_class c on c.oid = p.relid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where a.backend_type = 'autovacuum worker' and n.nspname ~ ${IS_TENANT}
  and a.xact_start < pg_catalog.clock_timestamp() - $1 * interval '1 millisecond')
select tenant as "tenantId", name as "table" from found
where pg_catalog.pg_terminate_backend(pid, 5000)`;

/** What one tenant makes of it keeps nobody from the next: the worker that comes is found again. */
async function spare(client: Client, runaway: Runaway): Promise<void> {
  try {
    await client.query(sparing(runaway));
  } catch (error) {
    if (!isOfStatement(error)) throw error;
  }
}

function sparing({ tenantId, table }: Runaway): string {
  return [
    `set local lock_timeout = '${LOCK_TIMEOUT_MS}ms'`,
    `set local session authorization ${quoteIdentifier(tenantId)}`,
    `alter table ${table} set (autovacuum_enabled = off)`,
  ].join(";\n");
}
