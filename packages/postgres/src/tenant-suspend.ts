import { Fault } from "@aerodb/model";
import type { Client } from "pg";
import { databaseFault } from "./database-fault.ts";
import { ensureTenant, type TenantRole } from "./tenant-role.ts";
import { barRole, findRole } from "./tenant-sessions.ts";

/** Long enough for what has to be rolled back, short enough that somebody hears of it. */
const DEADLINE_MS = 10_000;

/**
 * Keeps a tenant from logging in, ends its sessions and sees that there are none; what it holds
 * stays, and the rest of its role is made what it should be. Repeatable from any point. Throws
 * OPERATION_TIMED_OUT when its sessions do not end.
 */
export async function suspendTenant(
  client: Client,
  tenant: TenantRole & { readonly dedicated: boolean },
  options: { readonly deadlineMs?: number } = {},
): Promise<void> {
  const { tenantId: name } = tenant;
  try {
    // The door first: whatever else may fail about the role does not leave it open.
    const id = await findRole(client, name);
    if (id !== undefined) await barRole(client, { id, name }, options.deadlineMs ?? DEADLINE_MS);
    await ensureTenant(client, { ...tenant, suspended: true });
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw databaseFault(error, `suspend ${name}`);
  }
}
