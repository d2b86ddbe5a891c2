/** Refusing a tenant service, and giving it back. */
import { Fault, type OperationId } from "@aerodb/model";
import { failpoint, newId } from "@aerodb/runtime";
import { behindOthers } from "../store/behind-others.ts";
import {
  changeSuspendReason,
  type ServiceChange,
  startReinstatement,
  startSuspension,
} from "../store/tenant-suspend.ts";
import { readTenant, type TenantProgress } from "../store/tenants.ts";
import type { Caller, Control } from "./control.ts";
import type { TenantView } from "./tenant-connection.ts";
import { getTenant, requireTenant, tenantNotActive, tenantNotFound } from "./tenant-view.ts";
import { requireText } from "./text.ts";
import { operationMs, untilCovered, untilTenant } from "./waiting.ts";

export interface ServiceRequest {
  readonly caller: Caller;
  /** Id or name. */
  readonly tenant: string;
  readonly signal: AbortSignal;
}

const MOST_CHARACTERS = 500;

/**
 * Refuses a tenant service and answers once it has none: its host has seen that it cannot log in
 * and holds no session, and gateways refuse it. A second request meanwhile waits for the same.
 */
export async function suspendTenant(
  control: Control,
  request: ServiceRequest & { readonly reason: string },
): Promise<TenantView> {
  const reason = requireReason(request.reason);
  const tenant = await requireTenant(control, request.tenant);
  const change = { ...changeOf(control, request, tenant), reason };
  const wait = { tenantId: tenant.id, operationId: operationOf(tenant, change) };
  const expecting = "the tenant's host to end its sessions";
  let asked = false;
  const done = await untilTenant(
    control,
    { ...wait, expecting, signal: request.signal },
    async () => {
      if (asked) return lookSuspended(control, tenant);
      asked = true;
      await failpoint("control.suspend.before_commit");
      const first = await behindOthers(control.database, (db) => startSuspension(db, change));
      await failpoint("control.suspend.after_commit");
      if (first) return undefined;
      await changeSuspendReason(control.database, change);
      return lookSuspended(control, tenant);
    },
  );
  await failpoint("control.suspend.after_ended");
  await untilCovered(control, done.routeGeneration, request.signal);
  return getTenant(control, tenant.id);
}

/**
 * Gives a tenant service back and answers once it can log in. One that is active is answered as it
 * is. A second request meanwhile waits for the same.
 */
export async function reinstateTenant(
  control: Control,
  request: ServiceRequest,
): Promise<TenantView> {
  const tenant = await requireTenant(control, request.tenant);
  const change = changeOf(control, request, tenant);
  const wait = { tenantId: tenant.id, operationId: operationOf(tenant, change) };
  const expecting = "the tenant's host to let it log in";
  let asked = false;
  const done = await untilTenant(
    control,
    { ...wait, expecting, signal: request.signal },
    async () => {
      if (asked) return lookReinstated(control, tenant);
      asked = true;
      await failpoint("control.reinstate.before_commit");
      const first = await behindOthers(control.database, (db) => startReinstatement(db, change));
      await failpoint("control.reinstate.after_commit");
      return first ? undefined : lookReinstated(control, tenant);
    },
  );
  await failpoint("control.reinstate.after_ready");
  await untilCovered(control, done.routeGeneration, request.signal);
  return getTenant(control, tenant.id);
}

function changeOf(control: Control, { caller }: ServiceRequest, { id }: TenantProgress) {
  return {
    tenantId: id,
    operationId: newId("op"),
    principal: caller.principal,
    eventRequestId: caller.requestId,
    operationMs: operationMs(control),
    byQuota: false,
  };
}

/** What to ask after when the wait is over: what is under way already, else what begins now. */
function operationOf(tenant: TenantProgress, change: ServiceChange): OperationId {
  const underWay = tenant.status === "suspended" ? tenant.operationId : null;
  return underWay ?? change.operationId;
}

async function lookSuspended(
  control: Control,
  { id }: TenantProgress,
): Promise<TenantProgress | undefined> {
  const now = await requireServable(control, id);
  if (now.suspendReason === null) throw superseded(now, "reinstated");
  return now.operationId === null ? now : undefined;
}

async function lookReinstated(
  control: Control,
  { id }: TenantProgress,
): Promise<TenantProgress | undefined> {
  const now = await requireServable(control, id);
  if (now.suspendReason !== null) throw superseded(now, "suspended again");
  return now.status === "active" ? now : undefined;
}

/** A tenant that is there, and is neither coming nor going. */
async function requireServable(
  control: Control,
  id: TenantProgress["id"],
): Promise<TenantProgress> {
  const tenant = await readTenant(control.database, id);
  if (tenant === undefined || tenant.status === "deleted") throw tenantNotFound(id);
  if (tenant.status === "active" || tenant.status === "suspended") return tenant;
  throw tenantNotActive(tenant);
}

function superseded({ name, status }: TenantProgress, how: string): Fault {
  const sentence = `The tenant ${name} was ${how} meanwhile.`;
  return new Fault("SUPERSEDED", sentence, { details: { status } });
}

function requireReason(text: string): string {
  const reason = text.trim();
  requireText("The reason", reason);
  if (reason !== "" && [...reason].length <= MOST_CHARACTERS) return reason;
  const sentence = `The reason must have 1 to ${MOST_CHARACTERS} characters.`;
  throw new Fault("INVALID_ARGUMENT", sentence);
}
