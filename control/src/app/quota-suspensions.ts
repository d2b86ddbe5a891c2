/**
 * Suspends who has stayed at a quota for its grace, and gives service back once the cause is gone.
 * Desired state only: hosts and gateways follow by themselves. Each step is one statement that does
 * nothing where it was done, so that it may be cut off anywhere and done by several controls.
 */
import type { TenantId } from "@aerodb/model";
import { failpoint, newId } from "@aerodb/runtime";
import { type Grace, type SuspensionStep, suspensionStep } from "../metering/quota-suspension.ts";
import { behindOthers } from "../store/behind-others.ts";
import { listSuspensionRows, type SuspensionRow } from "../store/quota-suspensions.ts";
import { startReinstatement, startSuspension } from "../store/tenant-suspend.ts";
import type { Control } from "./control.ts";
import { operationMs } from "./waiting.ts";

/** Of all tenants, or of one. Repeatable. */
export async function actOnSuspensions(control: Control, tenantId?: TenantId): Promise<void> {
  for (const row of await listSuspensionRows(control.database, tenantId)) {
    const grace = graceOf(control, row);
    const reinstatedAt = row.reinstatedAt ?? undefined;
    const step = suspensionStep({ ...row, grace, reinstatedAt }, row.now);
    if (step !== undefined) await take(control, row.tenantId, step);
  }
}

/** The tenant's own grace, else the platform's. */
export function graceOf(
  { settings }: Control,
  row: Pick<SuspensionRow, "graceOverridden" | "graceSeconds">,
): Grace {
  const overridden = row.graceOverridden;
  return {
    overridden,
    seconds: overridden ? (row.graceSeconds ?? undefined) : settings.quotaGraceSeconds,
  };
}

async function take(
  control: Control,
  tenantId: TenantId,
  step: NonNullable<SuspensionStep>,
): Promise<void> {
  const change = {
    ...{ tenantId, operationId: newId("op"), byQuota: true },
    ...{ principal: "system", eventRequestId: "", operationMs: operationMs(control) },
  };
  switch (step.kind) {
    case "suspend": {
      const { reason } = step;
      await failpoint("control.quotas.before_suspend");
      await behindOthers(control.database, (db) => startSuspension(db, { ...change, reason }));
      await failpoint("control.quotas.after_suspend");
      control.logger.warn({ tenant: tenantId, reason }, "suspended a tenant for a quota");
      return;
    }
    case "reinstate":
      await failpoint("control.quotas.before_reinstate");
      await behindOthers(control.database, (db) => startReinstatement(db, change));
      await failpoint("control.quotas.after_reinstate");
      control.logger.info(
        { tenant: tenantId },
        "gave a tenant its service back: its quota allows it",
      );
      return;
  }
}
