import type { OperationId } from "@aerodb/model";
import { failpoint, newId } from "@aerodb/runtime";
import { behindOthers } from "../store/behind-others.ts";
import { startDeletion } from "../store/tenant-delete.ts";
import { forgetTenant } from "../store/tenant-forget.ts";
import { readTenant, type TenantProgress } from "../store/tenants.ts";
import type { Caller, Control } from "./control.ts";
import { type TenantView, viewTenant } from "./tenant-connection.ts";
import { requireTenant, tenantNotFound } from "./tenant-view.ts";
import { operationMs, untilCovered, untilTenant } from "./waiting.ts";

export interface RemoveRequest {
  readonly caller: Caller;
  /** Id or name. */
  readonly tenant: string;
  readonly signal: AbortSignal;
}

/**
 * Deletes a tenant and answers once its host holds nothing of it. A second request meanwhile waits
 * for the same deletion; one thereafter is TENANT_NOT_FOUND. One whose host was lost is deleted at
 * once: nobody is left to wait for.
 */
export async function removeTenant(control: Control, remove: RemoveRequest): Promise<TenantView> {
  const tenant = await requireTenant(control, remove.tenant);
  const deletion = {
    tenantId: tenant.id,
    operationId: newId("op"),
    principal: remove.caller.principal,
    eventRequestId: remove.caller.requestId,
    operationMs: operationMs(control),
    error: "The tenant was deleted meanwhile.",
    onlyCreating: null,
  };
  let started = tenant.status === "deleting";
  const operationId = operationUnderWay(tenant) ?? deletion.operationId;
  const wait = { tenantId: tenant.id, operationId, signal: remove.signal };
  const expecting = "the tenant's host to destroy it";
  const gone = await untilTenant(control, { ...wait, expecting }, async () => {
    if (started) return lookGone(control, tenant);
    started = true;
    await failpoint("control.delete.before_commit");
    const first = await behindOthers(control.database, (db) => startDeletion(db, deletion));
    await failpoint("control.delete.after_commit");
    if (first) return undefined;
    await forgetTenant(control.database, deletion);
    return lookGone(control, tenant);
  });
  await failpoint("control.delete.after_gone");
  await untilCovered(control, gone.routeGeneration, remove.signal);
  return viewTenant(control.settings, { ...tenant, status: "deleted" });
}

function operationUnderWay(tenant: TenantProgress): OperationId | undefined {
  return tenant.status === "deleting" ? (tenant.operationId ?? undefined) : undefined;
}

async function lookGone(
  control: Control,
  { id }: TenantProgress,
): Promise<TenantProgress | undefined> {
  const tenant = await readTenant(control.database, id);
  if (tenant === undefined) throw tenantNotFound(id);
  return tenant.status === "deleted" ? tenant : undefined;
}
