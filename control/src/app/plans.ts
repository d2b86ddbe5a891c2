import { CAPABILITIES, Fault, isCapability, type Plan } from "@aerodb/model";
import * as store from "../store/plans.ts";
import type { Caller, Control } from "./control.ts";
import { requireText } from "./text.ts";

/** Every plan on offer, smallest first. */
export function listPlans(control: Control): Promise<readonly Plan[]> {
  return store.listPlans(control.database);
}

export interface PlanChange {
  readonly plan: string;
  /** What hosts must be able to do from now on; undefined: as before. */
  readonly requiredCapabilities: readonly string[] | undefined;
}

/**
 * Changes what a plan requires of hosts, for placements from now on. PLAN_NOT_FOUND, and
 * INVALID_ARGUMENT for a capability that no host can have.
 */
export async function updatePlan(
  control: Control,
  caller: Caller,
  change: PlanChange,
): Promise<Plan> {
  requireText("The plan", change.plan);
  if (change.requiredCapabilities !== undefined) {
    requireCapabilities(change.requiredCapabilities);
    const known = await store.writePlanRequirements(control.database, {
      plan: change.plan,
      requiredCapabilities: [...new Set(change.requiredCapabilities)].sort(),
      principal: caller.principal,
      eventRequestId: caller.requestId,
    });
    if (!known) throw await planNotFound(control, change.plan);
  }
  const plans = await store.listPlans(control.database);
  const plan = plans.find(({ name }) => name === change.plan);
  if (plan === undefined) throw await planNotFound(control, change.plan);
  return plan;
}

/** The refusal of a plan that is none, with those that are. */
export async function planNotFound(control: Control, plan: string): Promise<Fault> {
  const plans = await store.listPlans(control.database);
  const known = plans.map(({ name }) => name).join(", ");
  const sentence = `There is no plan ${JSON.stringify(plan)}: use one of ${known}.`;
  return new Fault("PLAN_NOT_FOUND", sentence);
}

function requireCapabilities(named: readonly string[]): void {
  const unknown = named.find((each) => !isCapability(each));
  if (unknown === undefined) return;
  throw new Fault(
    "INVALID_ARGUMENT",
    `There is no capability ${JSON.stringify(unknown)}: use some of ${CAPABILITIES.join(", ")}.`,
  );
}
