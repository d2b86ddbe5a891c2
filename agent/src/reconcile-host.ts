/**
 * Decides what a host needs next, and does none of it. Each subject (an instance, a tenant) is
 * decided on its own, so that one change among ten thousand costs one decision.
 */
import type { InstanceId, TenantId } from "@aerodb/model";
import { isAsDesired, type ListedTenant, type SharedTableChange } from "@aerodb/postgres";
import type { Desired, DesiredInstance, DesiredTenant } from "./desired.ts";
import type { RunningInstance } from "./drivers/driver.ts";
import { type AppliedSpec, type InstanceSpec, isApplied, needsRestart } from "./instance-spec.ts";

/** An instance that has its data on the host. */
export interface SeenInstance {
  /** Its server, when it is up. */
  readonly running: RunningInstance | undefined;
  /** What it holds; undefined until it was listed since its server came up. */
  readonly tenants: ReadonlyMap<TenantId, ListedTenant> | undefined;
  /** What its server was started with or brought to; undefined when that is not known. */
  readonly applied?: AppliedSpec | undefined;
  /** Number of the newest change of shared tables that it has; undefined when not known. */
  readonly newestChange?: number | undefined;
}

export type SeenHost = ReadonlyMap<InstanceId, SeenInstance>;

export type InstanceStep =
  | { readonly kind: "make_instance"; readonly spec: InstanceSpec }
  | { readonly kind: "start_instance"; readonly spec: InstanceSpec }
  | { readonly kind: "list_tenants"; readonly instance: RunningInstance }
  | {
      readonly kind: "resize_instance";
      readonly instance: RunningInstance;
      readonly spec: InstanceSpec;
      readonly applied: AppliedSpec | undefined;
    }
  | {
      readonly kind: "change_tables";
      readonly instance: RunningInstance;
      readonly changes: readonly SharedTableChange[];
    }
  | {
      readonly kind: "stop_instance";
      readonly instance: RunningInstance;
      /** Whether it comes back at once: its sessions are let leave, and come back too. */
      readonly restarts: boolean;
    }
  | { readonly kind: "destroy_instance"; readonly id: InstanceId };

export type TenantStep =
  | {
      readonly kind: "ensure_tenant" | "suspend_tenant";
      readonly instance: RunningInstance;
      readonly tenant: DesiredTenant;
      readonly dedicated: boolean;
    }
  | {
      readonly kind: "drop_tenant";
      readonly instance: RunningInstance;
      readonly tenantId: TenantId;
    };

export type Step = InstanceStep | TenantStep;

/** Every step that can be taken now. What is not listed in desired is left alone. */
export function nextSteps(desired: Desired, seen: SeenHost): Step[] {
  const { changes = [] } = desired;
  const instances = new Map(desired.instances.map((each) => [each.spec.id, each]));
  return [
    ...desired.instances.map((each) => nextInstanceStep(each, seen.get(each.spec.id), changes)),
    ...desired.tenants.map((each) =>
      nextTenantStep(each, {
        instance: instances.get(each.instanceId),
        seen: seen.get(each.instanceId),
        changes,
      }),
    ),
  ].filter((step) => step !== undefined);
}

/** What an instance needs next; undefined when it is as it should be. */
export function nextInstanceStep(
  desired: DesiredInstance,
  seen: SeenInstance | undefined,
  changes: readonly SharedTableChange[],
): InstanceStep | undefined {
  const { spec, present, kept = false } = desired;
  if (present) {
    // It would be there again, and empty: whoever has its data is to put it back.
    if (seen === undefined) return kept ? undefined : { kind: "make_instance", spec };
    if (seen.running === undefined) return { kind: "start_instance", spec };
    const { running: instance, applied } = seen;
    // What is stopped and should be there is started again.
    if (needsRestart(spec, applied)) return { kind: "stop_instance", instance, restarts: true };
    if (seen.tenants === undefined) return { kind: "list_tenants", instance };
    if (!isApplied(spec, applied)) return { kind: "resize_instance", instance, spec, applied };
    return lacksChange(spec, seen, changes)
      ? { kind: "change_tables", instance, changes }
      : undefined;
  }
  if (seen === undefined) return undefined;
  if (seen.running !== undefined) {
    return { kind: "stop_instance", instance: seen.running, restarts: false };
  }
  return { kind: "destroy_instance", id: spec.id };
}

function lacksChange(
  spec: InstanceSpec,
  { newestChange = 0 }: SeenInstance,
  changes: readonly SharedTableChange[],
): boolean {
  return spec.shared && (changes.at(-1)?.number ?? 0) > newestChange;
}

/** What a tenant needs next; undefined when it is as it should be or waits for its instance. */
export function nextTenantStep(
  desired: DesiredTenant,
  where: {
    readonly instance: DesiredInstance | undefined;
    readonly seen: SeenInstance | undefined;
    readonly changes: readonly SharedTableChange[];
  },
): TenantStep | undefined {
  const { instance, seen, changes } = where;
  // An instance that should be no more takes its tenants along: nothing is dropped one by one.
  if (instance === undefined || !instance.present) return undefined;
  if (seen?.running === undefined || seen.tenants === undefined) return undefined;
  const listed = seen.tenants.get(desired.tenantId);
  const { running } = seen;

  if (!desired.present) {
    if (listed === undefined) return undefined;
    return { kind: "drop_tenant", instance: running, tenantId: desired.tenantId };
  }
  if (listed !== undefined && isAsDesired(listed, desired)) return undefined;
  // The first of an instance finds all shared tables there. Who comes later has what its neighbours
  // have, though a change fails.
  if (seen.tenants.size === 0 && lacksChange(instance.spec, seen, changes)) return undefined;
  const dedicated = !instance.spec.shared;
  const kind = desired.suspended ? "suspend_tenant" : "ensure_tenant";
  return { kind, instance: running, tenant: desired, dedicated };
}
