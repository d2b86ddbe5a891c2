/** What tenants use of their quotas: shown, changed, and acted on. */
import { Fault, QUOTA_RESOURCES, type QuotaResource, type TenantId } from "@aerodb/model";
import { failpoint } from "@aerodb/runtime";
import { explainQuota, explainWrites } from "../metering/explain-quota.ts";
import { stageOf } from "../metering/quota.ts";
import { type Grace, suspends, suspensionAt } from "../metering/quota-suspension.ts";
import { readTenantGrace } from "../store/quota-suspensions.ts";
import {
  listQuotaStandings,
  listTightStandings,
  listWritesDisagreements,
  type QuotaOverride,
  type QuotaStanding,
  writeQuotaOverrides,
  writeQuotaStage,
} from "../store/quotas.ts";
import { setWritesRefused } from "../store/tenant-writes.ts";
import type { Caller, Control } from "./control.ts";
import { actOnSuspensions, graceOf } from "./quota-suspensions.ts";
import { deriveBillsOf, deriveRunningBills } from "./running-bills.ts";
import { requireCapAboveBasePrice } from "./spend-cap.ts";
import { requireTenant, tenantNotActive } from "./tenant-view.ts";

export type { QuotaOverride, QuotaStanding };
export { explainQuota, suspends, suspensionAt };

export interface TenantQuotas {
  readonly tenantId: TenantId;
  readonly tenantName: string;
  /** In the order of `QUOTA_RESOURCES`. */
  readonly standings: readonly QuotaStanding[];
  readonly grace: Grace;
  /** Whether it is suspended for a quota, and not by hand. */
  readonly suspendedByQuota: boolean;
  /** When it was last given its service back: grace begins anew then. */
  readonly reinstatedAt: Date | undefined;
}

export interface QuotasAsk {
  readonly tenant: string;
  readonly overrides: readonly QuotaOverride[];
  /** Its own grace; undefined: the platform's counts. */
  readonly grace?: Pick<Grace, "seconds"> | undefined;
}

/** TENANT_NOT_FOUND. A tenant that does not serve uses nothing. */
export async function getTenantQuotas(control: Control, tenant: string): Promise<TenantQuotas> {
  const { id, name } = await requireTenant(control, tenant);
  const found = await listQuotaStandings(control.database, id);
  const row = await readTenantGrace(control.database, id);
  return {
    ...{ tenantId: id, tenantName: name, standings: found.sort(inOrder) },
    ...{ grace: graceOf(control, row), suspendedByQuota: row.suspendedByQuota },
    reinstatedAt: row.reinstatedAt ?? undefined,
  };
}

/**
 * Gives a tenant quotas of its own in place of those it had; of what is left out, those of its plan
 * count again. They are acted on at once. TENANT_NOT_FOUND, TENANT_NOT_ACTIVE.
 */
export async function setTenantQuotas(
  control: Control,
  caller: Caller,
  ask: QuotasAsk,
): Promise<TenantQuotas> {
  requireEachOnce(ask.overrides);
  const tenant = await requireTenant(control, ask.tenant);
  if (tenant.status !== "active" && tenant.status !== "suspended") throw tenantNotActive(tenant);
  const cap = ask.overrides.find(({ resource }) => resource === "spend_micro_usd_per_month")?.quota;
  if (cap !== undefined) await requireCapAboveBasePrice(control, tenant.plan, cap);
  await writeQuotaOverrides(control.database, {
    tenantId: tenant.id,
    overrides: ask.overrides,
    grace: ask.grace,
    principal: caller.principal,
    eventRequestId: caller.requestId,
  });
  await failpoint("control.quotas.after_commit");
  await deriveBillsOf(control, [tenant.id]);
  await enterStages(control, await listQuotaStandings(control.database, tenant.id));
  await actOnWrites(control, tenant.id);
  await actOnSuspensions(control, tenant.id);
  return getTenantQuotas(control, tenant.id);
}

function requireEachOnce(overrides: readonly QuotaOverride[]): void {
  const twice = overrides.find(
    ({ resource }, index) => overrides.findIndex((each) => each.resource === resource) !== index,
  );
  if (twice === undefined) return;
  throw new Fault("INVALID_ARGUMENT", `The quota of ${twice.resource} is given twice.`);
}

/** Has every tenant in the stage that its use asks for. Repeatable. */
export async function evaluateQuotas(control: Control): Promise<void> {
  await deriveRunningBills(control);
  await enterStages(control, await listTightStandings(control.database));
  await actOnWrites(control);
  await actOnSuspensions(control);
}

async function enterStages(control: Control, standings: readonly QuotaStanding[]): Promise<void> {
  for (const standing of standings) {
    const stage = stageOf(standing);
    if (stage === standing.stage) continue;
    await writeQuotaStage(control.database, standing, stage);
    await failpoint("control.quotas.after_stage");
    const { tenantId: tenant, resource, used, quota } = standing;
    control.logger.info(
      { tenant, resource, stage, used: String(used), quota: String(quota) },
      "a tenant entered another stage of a quota",
    );
  }
}

/**
 * Has writes refused to who stores all it may or has come to its spend cap, and accepted again from
 * who has done neither.
 */
async function actOnWrites(control: Control, tenantId?: TenantId): Promise<void> {
  for (const found of await listWritesDisagreements(control.database, tenantId)) {
    const { refused } = found;
    const change = {
      ...{ tenantId: found.tenantId, refused, actor: "system" },
      because: explainWrites(found),
    };
    await setWritesRefused(control.database, change);
    await failpoint("control.quotas.after_act");
  }
}

function inOrder(a: QuotaStanding, b: QuotaStanding): number {
  return indexOf(a.resource) - indexOf(b.resource);
}

function indexOf(resource: QuotaResource): number {
  return QUOTA_RESOURCES.indexOf(resource);
}
