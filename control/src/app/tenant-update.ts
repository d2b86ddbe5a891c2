import { Fault } from "@aerodb/model";
import { CPU_OVERCOMMIT } from "../scheduler/ask.ts";
import { refusalByCapabilities, refusalBySize } from "../scheduler/feasible.ts";
import { findPlanTerms, type PlanTerms } from "../store/plans.ts";
import { readTenantHost, type TenantHost } from "../store/tenant-host.ts";
import { type PlanGrant, writeTenantUpdate } from "../store/tenant-update.ts";
import type { TenantProgress } from "../store/tenants.ts";
import type { Caller, Control } from "./control.ts";
import { planNotFound } from "./plans.ts";
import { requireCapBearsPlan } from "./spend-cap.ts";
import { type TenantView, viewTenant } from "./tenant-connection.ts";
import { requireTenant } from "./tenant-view.ts";
import { requireLabels, requireText } from "./text.ts";

/** What to change; what is left out stays. */
export interface TenantChange {
  readonly plan?: string;
  /** Labels to set; an empty value removes the label. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Settings of Postgres to set; an empty value removes the setting. */
  readonly settings?: Readonly<Record<string, string>>;
  /** `restart`: restart for what waits for that. Empty or left out: do not. */
  readonly apply?: string;
}

export interface UpdateRequest {
  readonly caller: Caller;
  /** Id or name. */
  readonly tenant: string;
  readonly change: TenantChange;
}

const MAX_LABELS = 64;
const MAX_TRIES = 5;

/**
 * Changes the plan, within the same isolation, and the labels. A dedicated instance is given what
 * the new plan says, if its host has that: NO_FEASIBLE_HOST and nothing is changed when it has not.
 * The host brings its limits in line in its own time, without a restart where that can be.
 * QUOTA_EXCEEDED for a plan with which the month would come to the tenant's spend cap.
 */
export async function updateTenant(control: Control, update: UpdateRequest): Promise<TenantView> {
  const { change, caller } = update;
  requireLabels(change.labels ?? {});
  let raced = false;
  for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
    const tenant = await requireTenant(control, update.tenant);
    const terms = await settlePlan(control, tenant, change.plan ?? tenant.plan);
    const labels = Object.entries(change.labels ?? {});
    requireRoom(tenant, labels);
    if (terms.name !== tenant.plan) await requireCapBearsPlan(control, tenant, terms.name);
    const host = change.plan && (await readTenantHost(control.database, tenant.id));
    if (host) requireBearable(host, tenant, terms);
    const outcome = await writeTenantUpdate(control.database, {
      tenantId: tenant.id,
      plan: host ? terms.name : null,
      grant: host ? grantOf(host, terms) : undefined,
      heard: host ? raced || isHeard(host, terms) : false,
      setLabels: Object.fromEntries(labels.filter(([, value]) => value !== "")),
      removeLabels: labels.filter(([, value]) => value === "").map(([name]) => name),
      principal: caller.principal,
      eventRequestId: caller.requestId,
    });
    if (outcome === "written") {
      return viewTenant(control.settings, await requireTenant(control, tenant.id));
    }
    if (outcome === "gone") throw beingDeleted(tenant);
    // The room was taken, or the tenant was changed, between the look and the write. The next
    // write counts on being heard: a generation without a change harms nobody.
    raced = outcome === "raced";
  }
  throw new Fault("UNAVAILABLE", "The tenant or its host was changed meanwhile: try again.");
}

function beingDeleted({ name, status }: TenantProgress): Fault {
  const sentence =
    status === "failed"
      ? `The host of the tenant ${name} was lost: it can only be deleted.`
      : `The tenant ${name} is being deleted.`;
  return new Fault("TENANT_NOT_ACTIVE", sentence, { details: { status } });
}

/** Throws NO_FEASIBLE_HOST when the tenant's host cannot give it what a plan promises. */
function requireBearable(host: TenantHost, tenant: TenantProgress, terms: PlanTerms): void {
  const { dedicated } = host;
  const more = dedicated && {
    memoryMiB: terms.memoryMiB - dedicated.memoryMiB,
    cpuMillis: terms.cpuMillis - dedicated.cpuMillis,
  };
  const refusal =
    (terms.name === tenant.plan
      ? undefined
      : refusalByCapabilities(host, terms.requiredCapabilities)) ??
    (more ? refusalBySize(host, more) : undefined);
  if (refusal === undefined) return;
  throw new Fault(
    "NO_FEASIBLE_HOST",
    `The host ${host.name} cannot give the tenant the plan ${terms.name}. ${refusal.sentence} ` +
      "Moving a tenant to another host is not available in this version.",
    { details: { hosts: [{ host_id: host.id, host: host.name, reason: refusal.sentence }] } },
  );
}

/**
 * A storage limit that is there cannot be taken away, for the data lives in what holds it; with as
 * much as the whole disk it is as good as none.
 */
function grantOf({ dedicated, storageMiB }: TenantHost, terms: PlanTerms): PlanGrant {
  const isLimited = (dedicated?.storageMiB ?? 0) > 0;
  const unlimited = isLimited && terms.storageMiB === 0;
  const limitMiB = unlimited ? (storageMiB ?? 0) : terms.storageMiB;
  return { ...terms, storageMiB: limitMiB, cpuOvercommit: CPU_OVERCOMMIT };
}

/** Whether a plan gives anything that the host does not know. */
function isHeard({ dedicated, connectionLimit }: TenantHost, terms: PlanTerms): boolean {
  if (connectionLimit !== terms.connectionLimit) return true;
  const given = Object.entries(dedicated ?? {}) as [keyof NonNullable<typeof dedicated>, number][];
  return given.some(([name, amount]) => amount !== terms[name]);
}

async function settlePlan(
  control: Control,
  tenant: TenantProgress,
  plan: string,
): Promise<PlanTerms> {
  requireText("The plan", plan);
  const terms = await findPlanTerms(control.database, plan);
  if (terms === undefined) throw await planNotFound(control, plan);
  if (terms.isolations.includes(tenant.isolation)) return terms;
  const allowed = terms.isolations.join(", ");
  throw new Fault(
    "PLAN_CHANGE_NEEDS_MOVE",
    `The plan ${plan} allows ${allowed}; the tenant is isolated by ${tenant.isolation}. ` +
      "Moving a tenant to another isolation is not available in this version.",
    { details: { plan, isolation: tenant.isolation, allowed: terms.isolations } },
  );
}

function requireRoom(tenant: TenantProgress, labels: readonly (readonly [string, string])[]): void {
  const names = new Set(Object.keys(tenant.labels));
  for (const [name, value] of labels) {
    if (value === "") names.delete(name);
    else names.add(name);
  }
  if (names.size <= MAX_LABELS) return;
  const sentence = `A tenant may have ${MAX_LABELS} labels; this would make ${names.size}.`;
  throw new Fault("INVALID_ARGUMENT", sentence);
}
