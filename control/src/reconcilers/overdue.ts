/** Gives up what took too long. Each operation is one statement that looks again before it acts. */

import { failpoint, newId } from "@aerodb/runtime";
import type { Control } from "../app/control.ts";
import { operationMs } from "../app/waiting.ts";
import { behindOthers } from "../store/behind-others.ts";
import { takeObservedTenants } from "../store/observed-tenants.ts";
import {
  endOverdueRotation,
  listOverdue,
  type OverdueOperation,
  prolongOperation,
} from "../store/overdue.ts";
import { startDeletion } from "../store/tenant-delete.ts";

const MAX_PER_PASS = 500;

/** Acts on every overdue operation. Repeatable; several controls may do it at once. */
export async function giveUpOverdue(control: Control): Promise<void> {
  const overdue = await listOverdue(control.database, MAX_PER_PASS);
  for (const operation of overdue) {
    control.logger.warn({ ...operation }, "an operation passed its deadline");
    await failpoint("control.overdue.before_commit");
    await giveUp(control, operation);
  }
}

async function giveUpCreate(control: Control, operation: OverdueOperation): Promise<void> {
  const deletion = {
    tenantId: operation.tenantId,
    operationId: newId("op"),
    principal: "system",
    eventRequestId: "",
    operationMs: operationMs(control),
    error: "The tenant's host took longer than the deadline.",
    onlyCreating: operation.id,
  };
  await behindOthers(control.database, (db) => startDeletion(db, deletion));
}

async function giveUp(control: Control, operation: OverdueOperation): Promise<void> {
  const { database } = control;
  switch (operation.kind) {
    case "create_tenant":
      await giveUpCreate(control, operation);
      return;
    case "rotate_credentials":
      await endOverdueRotation(
        database,
        operation.id,
        "The tenant's host took longer than the deadline: rotate again.",
      );
      return;
    case "delete_tenant":
      // Its instance may be gone, and a control may have died before it said so.
      await takeObservedTenants(database, operation.hostId, {
        tenants: [],
        absentInstances: [operation.instanceId],
      });
      await prolongOperation(database, operation.id, operationMs(control));
      return;
    case "suspend_tenant":
    case "reinstate_tenant":
      await prolongOperation(database, operation.id, operationMs(control));
      return;
  }
}
