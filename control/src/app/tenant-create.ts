import { violates } from "@aerodb/db";
import { Fault, type OperationId, type TenantId } from "@aerodb/model";
import { generatePassword, scramVerifier } from "@aerodb/postgres";
import { failpoint, newId } from "@aerodb/runtime";
import { readBackground, type TenantBackground } from "../store/tenant-background.ts";
import { readTenantInstance } from "../store/tenant-instance.ts";
import { readTenant, type TenantProgress } from "../store/tenants.ts";
import type { Caller, Control } from "./control.ts";
import { type TenantView, viewTenant } from "./tenant-connection.ts";
import { placeTenant } from "./tenant-place.ts";
import {
  type CheckedRequest,
  checkRequest,
  type NewTenant,
  nameExists,
  settleTerms,
} from "./tenant-request.ts";
import { operationMs, untilCovered, untilTenant } from "./waiting.ts";

export type { NewTenant };

export interface CreateRequest {
  readonly caller: Caller;
  readonly ask: NewTenant;
  /** Aborted when the caller goes away; the creation goes on. */
  readonly signal: AbortSignal;
}

type Earlier = NonNullable<TenantBackground["earlier"]>;

/**
 * Makes a tenant and answers once it accepts the connection that is returned. A repeat with the
 * same request id gives the same tenant without the password, for only its verifier was kept.
 */
export async function createTenant(control: Control, create: CreateRequest): Promise<TenantView> {
  const { caller, ask, signal } = create;
  const request = checkRequest(ask);
  const query = backgroundQuery(caller, request);
  const password = generatePassword();
  const [background, verifier] = await Promise.all([
    readBackground(control.database, query),
    scramVerifier(password),
  ]);
  if (background.earlier !== null) {
    return repeatCreate(control, { earlier: background.earlier, request, signal });
  }
  const terms = settleTerms(request, background);
  const tenant = {
    tenantId: newId("ten"),
    operationId: newId("op"),
    name: request.name,
    plan: request.plan,
    region: terms.region,
    isolation: terms.isolation,
    labels: request.labels,
    verifier,
    connectionLimit: terms.plan.connectionLimit,
    principal: caller.principal,
    eventRequestId: caller.requestId,
    requestId: request.requestId,
    requestSha256: request.requestId === null ? null : request.sha256,
    operationMs: operationMs(control),
  };
  const { tenantId, operationId } = tenant;
  try {
    const wait = { tenantId, operationId, signal };
    const made = await untilReady(control, wait, async () => {
      await failpoint("control.create.before_commit");
      await placeTenant(control, { query, background, terms, tenant });
      await failpoint("control.create.after_commit");
    });
    return { ...viewTenant(control.settings, made.tenant, password), ...made.chosen };
  } catch (error) {
    return await refuseTaken(control, error, { caller, request, signal });
  }
}

function backgroundQuery({ principal }: Caller, { name, plan, region, requestId }: CheckedRequest) {
  return { name, plan, region, principal, requestId };
}

/**
 * Waits until a tenant is active and the gateways know. `start` runs first, with the ear already to
 * the ground: the answer of a quick host is not missed, and no look is spent on a tenant just
 * written.
 */
async function untilReady(
  control: Control,
  wait: { readonly tenantId: TenantId; readonly operationId: OperationId; signal: AbortSignal },
  start?: () => Promise<void>,
): Promise<{ readonly tenant: TenantProgress; readonly chosen: Pick<TenantView, "postgres"> }> {
  const expecting = "the tenant's host to make it";
  let started = start === undefined;
  const tenant = await untilTenant(control, { ...wait, expecting }, async () => {
    if (started) return lookReady(control, wait);
    started = true;
    await start?.();
    return undefined;
  });
  await failpoint("control.create.after_ready");
  const [postgres] = await Promise.all([
    readTenantInstance(control.database, tenant.id),
    untilCovered(control, tenant.routeGeneration, wait.signal),
  ]);
  await failpoint("control.create.after_covered");
  return { tenant, chosen: postgres === undefined ? {} : { postgres } };
}

async function lookReady(
  control: Control,
  { tenantId, operationId }: { readonly tenantId: TenantId; readonly operationId: OperationId },
): Promise<TenantProgress | undefined> {
  const tenant = await readTenant(control.database, tenantId);
  if (tenant?.status === "active") return tenant;
  if (tenant?.status === "creating") return undefined;
  const lost = tenant?.status === "failed";
  const sentence = lost
    ? "The tenant's host was lost before the tenant was ready: delete it."
    : "The tenant was deleted before it was ready.";
  throw new Fault("OPERATION_FAILED", sentence, {
    details: { operation_id: operationId, tenant_id: tenantId },
  });
}

/** The same request again: the same tenant, or a refusal when it is another under the same id. */
async function repeatCreate(
  control: Control,
  repeat: { readonly earlier: Earlier; readonly request: CheckedRequest; signal: AbortSignal },
): Promise<TenantView> {
  const { earlier, request, signal } = repeat;
  if (earlier.requestSha256 !== request.sha256.toString("hex")) {
    const sentence = `The request id ${JSON.stringify(request.requestId)} was used for another`;
    throw new Fault("REQUEST_ID_REUSED", `${sentence} request: choose a new one.`, {
      details: { tenant_id: earlier.tenantId },
    });
  }
  const tenant = await readTenant(control.database, earlier.tenantId);
  if (tenant === undefined || tenant.status === "deleting" || tenant.status === "deleted") {
    const sentence = "The tenant that this request made was deleted since";
    throw new Fault("REQUEST_ID_REUSED", `${sentence}: choose a new request id.`, {
      details: { tenant_id: earlier.tenantId },
    });
  }
  const made = await untilReady(control, { ...earlier, signal });
  return { ...viewTenant(control.settings, made.tenant), ...made.chosen };
}

/**
 * What the unique indexes refuse: a name that others took, or a repeat that raced with its first.
 */
async function refuseTaken(
  control: Control,
  error: unknown,
  create: { readonly caller: Caller; readonly request: CheckedRequest; signal: AbortSignal },
): Promise<TenantView> {
  const { caller, request, signal } = create;
  const nameTaken = violates(error, "tenants_name");
  if (!nameTaken && !violates(error, "operations_request")) throw error;
  if (request.requestId !== null) {
    const query = backgroundQuery(caller, request);
    const { earlier } = await readBackground(control.database, query);
    if (earlier !== null) return repeatCreate(control, { earlier, request, signal });
  }
  throw nameExists(request.name);
}
