/**
 * One statement for a tenant, over a session that serves many tenants. It runs behind the tenant's
 * door, with the tenant's rights and no way to anybody else's, whatever functions, triggers and
 * views of the tenant it meets; what it leaves behind in the session is gone before the next one
 * comes.
 */
import { Fault, type TenantId } from "@aerodb/model";
import type { Client } from "pg";
import { databaseFault } from "./database-fault.ts";
import { quoteIdentifier, quoteLiteral } from "./identifier.ts";
import { MOST_PARAMETERS, platform, searchPath } from "./wall-functions.ts";

export interface PooledStatement {
  /** One that returns rows. Parameters are text: the statement casts each, as in `$1::int`. */
  readonly text: string;
  readonly values: readonly (string | null)[];
}

/** A row as JSON says it. */
export type PooledRow = Readonly<Record<string, unknown>>;

/**
 * Runs one statement as a tenant and returns its rows; all or nothing. The session is one of
 * `connectPool`, and is ended when it could not be cleaned. Throws TENANT_NOT_FOUND for a tenant
 * that is not in the instance, TENANT_NOT_ACTIVE for one that may not log in.
 */
export async function pooledRequest(
  client: Client,
  tenantId: TenantId,
  statement: PooledStatement,
): Promise<readonly PooledRow[]> {
  if (statement.values.length > MOST_PARAMETERS) {
    throw new Fault("INVALID_ARGUMENT", `A request has ${MOST_PARAMETERS} parameters at most.`);
  }
  try {
    const rows = await asTenant(client, tenantId, statement);
    await clean(client);
    return rows;
  } catch (error) {
    // A session that cannot be cleaned serves nobody else.
    await undo(client).catch(() => client.end().catch(() => undefined));
    throw databaseFault(error, `serve a request of ${tenantId}`);
  }
}

async function asTenant(
  client: Client,
  tenantId: TenantId,
  { text, values }: PooledStatement,
): Promise<readonly PooledRow[]> {
  requireLogin(tenantId, await client.query(opening(tenantId)));
  const door = `${platform}.${quoteIdentifier(tenantId)}`;
  const { rows } = await client.query<{ readonly row: PooledRow }>(
    `select door as row from ${door}($1, $2, $3) door`,
    [client.password, text, values],
  );
  // A cursor that is to outlast the transaction would run its query when that ends.
  await client.query("close all; commit");
  return rows.map(({ row }) => row);
}

/** One message. Settings of the role are for those who log in: what a request needs is set here. */
function opening(tenantId: TenantId): string {
  const name = quoteLiteral(tenantId);
  return [
    "begin",
    `set local app.tenant_id = ${name}`,
    `set local application_name = ${quoteLiteral(`aerodb-pool ${tenantId}`)}`,
    `set local search_path = ${searchPath(tenantId)}`,
    // No parameter, the key least of all, is told to whoever meets an error.
    "set local log_parameter_max_length_on_error = 0",
    `select rolcanlogin from pg_catalog.pg_roles where rolname = ${name}`,
  ].join(";\n");
}

/** The client gives one result for each statement of a message. */
function requireLogin(tenantId: TenantId, opened: unknown): void {
  const last = Array.isArray(opened) ? opened.at(-1) : undefined;
  const [row] = (last as { rows?: readonly { rolcanlogin?: unknown }[] } | undefined)?.rows ?? [];
  if (row === undefined) {
    throw new Fault("TENANT_NOT_FOUND", `There is no tenant ${tenantId} in the instance.`);
  }
  if (row.rolcanlogin === true) return;
  throw new Fault("TENANT_NOT_ACTIVE", `The tenant ${tenantId} may not log in.`);
}

async function undo(client: Client): Promise<void> {
  await client.query("rollback");
  await clean(client);
}

/** Takes back settings, temporary tables, prepared statements, cursors, locks and LISTEN. */
async function clean(client: Client): Promise<void> {
  await client.query("discard all");
}
