import { Fault, type OperationId } from "@aerodb/model";
import { generatePassword, parseScramVerifier, scramVerifier } from "@aerodb/postgres";
import { failpoint, newId } from "@aerodb/runtime";
import { behindOthers } from "../store/behind-others.ts";
import { findOperation } from "../store/operations.ts";
import { readVerifier, replaceVerifier } from "../store/tenant-rotate.ts";
import { readTenant, type TenantProgress } from "../store/tenants.ts";
import type { Caller, Control } from "./control.ts";
import { type TenantView, viewTenant } from "./tenant-connection.ts";
import { requireTenant, tenantNotActive } from "./tenant-view.ts";
import { operationMs, untilCovered, untilTenant } from "./waiting.ts";

export interface RotateRequest {
  readonly caller: Caller;
  /** Id or name. */
  readonly tenant: string;
  readonly signal: AbortSignal;
}

/**
 * Replaces a tenant's password and answers once the new one is in force. Of two at once the newer
 * wins and the older is SUPERSEDED.
 */
export async function rotateCredentials(
  control: Control,
  rotate: RotateRequest,
): Promise<TenantView> {
  const password = generatePassword();
  const tenant = await requireTenant(control, rotate.tenant);
  const verifier = await scramVerifier(password, await saltOf(control, tenant));
  const change = {
    tenantId: tenant.id,
    operationId: newId("op"),
    verifier,
    principal: rotate.caller.principal,
    eventRequestId: rotate.caller.requestId,
    operationMs: operationMs(control),
  };
  let started = false;
  const wait = { tenantId: tenant.id, operationId: change.operationId, signal: rotate.signal };
  const expecting = "the tenant's host to take the new password";
  await untilTenant(control, { ...wait, expecting }, async () => {
    if (started) return lookInForce(control, change.operationId);
    started = true;
    await failpoint("control.rotate.before_commit");
    const replaced = await behindOthers(control.database, (db) => replaceVerifier(db, change));
    await failpoint("control.rotate.after_commit");
    if (replaced !== undefined) return undefined;
    throw tenantNotActive(await requireTenant(control, tenant.id));
  });
  const inForce = await readTenant(control.database, tenant.id);
  await untilCovered(control, inForce?.routeGeneration ?? 0n, rotate.signal);
  return viewTenant(control.settings, tenant, password);
}

/** The salt stays: gateways tell it before they know which of two passwords will be proven. */
async function saltOf(
  control: Control,
  { id }: TenantProgress,
): Promise<{ readonly salt?: Uint8Array }> {
  const verifier = parseScramVerifier((await readVerifier(control.database, id)) ?? "");
  return verifier === undefined ? {} : { salt: verifier.salt };
}

async function lookInForce(control: Control, id: OperationId): Promise<true | undefined> {
  const operation = await findOperation(control.database, id);
  if (operation?.done === false) return undefined;
  if (operation?.error === "") return true;
  const error = operation?.error ?? "The tenant was deleted meanwhile.";
  throw new Fault("SUPERSEDED", `The new password is not in force. ${error}`, {
    details: { operation_id: id },
  });
}
