/** What the agent tells control about a subject: pure, from what is desired and what is seen. */
import { isAsDesired } from "@aerodb/postgres";
import type { DesiredInstance, DesiredTenant } from "./desired.ts";
import type { RunningInstance } from "./drivers/driver.ts";
import { isApplied } from "./instance-spec.ts";
import type { SeenInstance } from "./reconcile-host.ts";

/** What is going on with a subject besides what is seen of it. */
export interface Progress {
  /** Whether a step is being taken: what is seen may be out of date. */
  readonly busy: boolean;
  /** Why the last step failed, if it did. */
  readonly failure: string | undefined;
  /** Whether its server was ended because it served nobody: that it runs still says nothing. */
  readonly ended: boolean;
}

export type InstanceStatus =
  | {
      readonly kind: "running";
      readonly running: RunningInstance;
      readonly pendingRestart: readonly string[];
      /** Why it could not be brought to what is desired, or takes no writes; else empty. */
      readonly reason: string;
      /** Number of the newest change of shared tables that it has; 0: none, or not known. */
      readonly newestChange: number;
    }
  | { readonly kind: "starting" | "stopped" | "absent" }
  | { readonly kind: "failed"; readonly reason: string };

export type TenantStatus =
  | { readonly kind: "ready" | "suspended" | "absent" }
  | { readonly kind: "failed"; readonly reason: string };

const DATA_MISSING =
  "Its data is not on its host, where it was before, and is not made anew, empty: " +
  "put it back among the agent's instances, or mount what holds it, and start the agent again.";

/**
 * Undefined when there is nothing to say yet: a subject on which work goes on is never absent, and
 * a server that is to be brought to something else does not answer for that before it is.
 */
export function instanceStatus(
  desired: DesiredInstance,
  seen: SeenInstance | undefined,
  progress: Progress,
): InstanceStatus | undefined {
  const { failure, ended } = progress;
  if (desired.present && !ended && seen?.running !== undefined && seen.tenants !== undefined) {
    return serving(desired, { ...seen, running: seen.running }, failure);
  }
  if (failure !== undefined) return { kind: "failed", reason: failure };
  if (desired.present && desired.kept && seen === undefined) {
    return { kind: "failed", reason: DATA_MISSING };
  }
  if (desired.present) {
    if (seen?.running === undefined) return { kind: "starting" };
    return serving(desired, { ...seen, running: seen.running }, failure);
  }
  if (progress.busy) return undefined;
  return { kind: seen === undefined ? "absent" : "stopped" };
}

function serving(
  { spec }: DesiredInstance,
  { running, applied, newestChange = 0 }: SeenInstance & { readonly running: RunningInstance },
  failure: string | undefined,
): InstanceStatus | undefined {
  if (failure === undefined && !isApplied(spec, applied)) return undefined;
  const pendingRestart = applied?.pendingRestart ?? [];
  const reason = failure ?? spec.readOnly ?? spec.writesRefused ?? "";
  return { kind: "running", running, pendingRestart, reason, newestChange };
}

/** Undefined when there is nothing to say yet. */
export function tenantStatus(
  desired: DesiredTenant,
  seen: SeenInstance | undefined,
  progress: Progress,
): TenantStatus | undefined {
  if (progress.failure !== undefined) return { kind: "failed", reason: progress.failure };
  if (progress.busy) return undefined;
  if (!desired.present) {
    if (seen === undefined) return { kind: "absent" };
    const known = seen.running !== undefined && seen.tenants !== undefined;
    return known && !seen.tenants.has(desired.tenantId) ? { kind: "absent" } : undefined;
  }
  if (seen?.running === undefined) return undefined;
  const listed = seen.tenants?.get(desired.tenantId);
  if (listed === undefined || !isAsDesired(listed, desired)) return undefined;
  return { kind: desired.suspended ? "suspended" : "ready" };
}
