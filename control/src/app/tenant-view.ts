import { Fault, isId, parseIsolation, TENANT_STATUSES, type TenantStatus } from "@aerodb/model";
import { listPlans } from "../store/plans.ts";
import { readTenantInstance } from "../store/tenant-instance.ts";
import * as store from "../store/tenants.ts";
import type { Control } from "./control.ts";
import { makePageToken, pageSizeOf, readPageToken } from "./page-token.ts";
import { type TenantView, viewTenant } from "./tenant-connection.ts";

/** Which tenants to list. An empty text and a page size of 0 are as good as left out. */
export interface TenantFilter {
  readonly pageSize?: number;
  readonly pageToken?: string;
  readonly plan?: string;
  /** Without one, those that are deleted are left out. */
  readonly status?: string;
  readonly isolation?: string;
  readonly namePrefix?: string;
}

export interface TenantPage {
  readonly tenants: readonly TenantView[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** One tenant by id or name. TENANT_NOT_FOUND. */
export async function getTenant(control: Control, tenant: string): Promise<TenantView> {
  const found = await requireTenant(control, tenant);
  const instance = await readTenantInstance(control.database, found.id);
  const view = viewTenant(control.settings, found);
  return instance === undefined ? view : { ...view, postgres: instance };
}

/** The tenant of this id or name with what is under way. TENANT_NOT_FOUND. */
export async function requireTenant(
  control: Control,
  idOrName: string,
): Promise<store.TenantProgress> {
  const found = couldBeTenant(idOrName)
    ? await store.findTenant(control.database, idOrName)
    : undefined;
  if (found === undefined) throw tenantNotFound(idOrName);
  return found;
}

export function tenantNotFound(idOrName: string): Fault {
  return new Fault("TENANT_NOT_FOUND", `There is no tenant ${JSON.stringify(idOrName)}.`);
}

const NOT_ACTIVE: Readonly<Record<TenantStatus, string>> = {
  creating: "is being created: wait until it is active",
  active: "was changed meanwhile: ask again",
  suspended: "is suspended: reinstate it first",
  failed: "was lost with its host: delete it",
  deleting: "is being deleted",
  deleted: "is deleted",
};

/** Why something that needs an active tenant is refused. */
export function tenantNotActive({ name, status }: store.Tenant): Fault {
  const sentence = `The tenant ${name} ${NOT_ACTIVE[status]}.`;
  return new Fault("TENANT_NOT_ACTIVE", sentence, { details: { status } });
}

/** Whether a text can be a tenant's id or name at all. */
export function couldBeTenant(text: string): boolean {
  return isId("ten", text) || /^[a-z][a-z0-9-]{2,62}$/.test(text);
}

/** A page of tenants, oldest first. */
export async function listTenants(control: Control, filter: TenantFilter): Promise<TenantPage> {
  const { plan = "", status = "", isolation = "", namePrefix = "" } = filter;
  const limit = pageSizeOf(filter.pageSize);
  const filters = ["tenants", plan, status, isolation, namePrefix];
  const after = readPageToken(filters, filter.pageToken);
  if (isolation !== "") parseIsolation(isolation);
  requireStatus(status);
  if (plan !== "") await requirePlan(control, plan);
  // No name in the catalogue can match this, and not all of it could be asked for there.
  if (!/^[a-z0-9-]*$/.test(namePrefix)) return { tenants: [], nextPageToken: "" };
  const found = await store.listTenants(control.database, {
    plan: plan === "" ? null : plan,
    status: status === "" ? null : status,
    isolation: isolation === "" ? null : isolation,
    namePrefix,
    after,
    limit: limit + 1,
  });
  const page = found.slice(0, limit);
  const last = page.at(-1);
  return {
    tenants: page.map((tenant) => viewTenant(control.settings, tenant)),
    nextPageToken:
      found.length > limit && last !== undefined ? makePageToken(filters, last.id) : "",
  };
}

async function requirePlan(control: Control, plan: string): Promise<void> {
  const known = (await listPlans(control.database)).map(({ name }) => name);
  if (known.some((name) => name === plan)) return;
  const sentence = `There is no plan ${JSON.stringify(plan)}: use one of ${known.join(", ")}.`;
  throw new Fault("PLAN_NOT_FOUND", sentence);
}

function requireStatus(status: string): void {
  if (status === "" || TENANT_STATUSES.some((known) => known === status)) return;
  throw new Fault(
    "INVALID_ARGUMENT",
    `There is no status ${JSON.stringify(status)}: use ${TENANT_STATUSES.join(", ")}.`,
  );
}
