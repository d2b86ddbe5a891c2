/** A tenant's rows in the tables that all tenants of its instance share, when it is dropped. */
import { Fault, type TenantId } from "@aerodb/model";
import { monotonicMs, sleep } from "@aerodb/runtime";
import type { Client } from "pg";
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";
import {
  SHARED_NAMESPACE,
  SHARED_OWNER,
  TENANT_COLUMN,
} from "./isolation/rules-of-shared-tables.ts";
import { POOL_ROLE, SHARED_SCHEMA } from "./names.ts";

/** Rows that are deleted in one transaction: a matter of a second. */
const BATCH_ROWS = 10_000;
const PAUSE_MS = 10;

/**
 * Deletes all rows of a tenant that may not log in any more. Repeatable from any point. Throws
 * OPERATION_TIMED_OUT when requests over the pooled login, which may still write some, do not end.
 */
export async function dropSharedRows(
  client: Client,
  tenantId: TenantId,
  deadlineMs: number,
): Promise<void> {
  const { rows: tables } = await client.query<{ readonly name: string }>(TABLES);
  if (tables.length === 0) return;
  await awaitRequests(client, monotonicMs() + deadlineMs);
  for (const { name } of tables) {
    while ((await deleteBatch(client, name, tenantId)) === BATCH_ROWS);
  }
}

/** In an instance of its own a tenant may have a schema of that name, which is its affair. */
const TABLES = `
  select c.relname as name from pg_catalog.pg_class c
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = '${TENANT_COLUMN}'
  where c.relnamespace = ${SHARED_NAMESPACE} and c.relkind = 'r'
    and c.relowner = ${SHARED_OWNER} and a.atttypid = 'pg_catalog.text'::pg_catalog.regtype`;

/** Those that began before now: one that begins later finds that its tenant may not log in. */
async function awaitRequests(client: Client, deadline: number): Promise<void> {
  const { rows } = await client.query<{ readonly at: string }>(
    "select pg_catalog.clock_timestamp()::pg_catalog.text as at",
  );
  const text = `select from pg_catalog.pg_stat_activity
    where usename = $1 and xact_start < $2::pg_catalog.timestamptz`;
  while ((await client.query(text, [POOL_ROLE, rows[0]?.at])).rowCount !== 0) {
    if (monotonicMs() > deadline) {
      throw new Fault("OPERATION_TIMED_OUT", "Waited too long for pooled requests to end.");
    }
    await sleep(PAUSE_MS);
  }
}

/**
 * All of them go, so foreign keys among them need not be looked at, nor their order kept: no
 * trigger of any other kind is on a shared table.
 */
async function deleteBatch(client: Client, table: string, tenantId: TenantId): Promise<number> {
  const name = `${quoteIdentifier(SHARED_SCHEMA)}.${quoteIdentifier(table)}`;
  const own = `${quoteIdentifier(TENANT_COLUMN)} = ${quoteLiteral(tenantId)}`;
  const batch = `select ctid from ${name} where ${own} limit ${BATCH_ROWS}`;
  const results: unknown = await client.query(
    [
      "set local session_replication_role = 'replica'",
      `delete from ${name} where ctid = any (array(${batch}))`,
    ].join(";\n"),
  );
  return (results as readonly { readonly rowCount: number }[]).at(-1)?.rowCount ?? 0;
}
