/**
 * What was found changed of tenants that were as they should be, which nobody asked for, until it
 * is mended: then it is told.
 */
import type { TenantId } from "@aerodb/model";
import { driftOf } from "@aerodb/postgres";
import type { DesiredTenant } from "./desired.ts";
import type { HostState } from "./host-state.ts";
import type { Step } from "./reconcile-host.ts";

export class DriftNotes {
  readonly #rules = new Map<TenantId, readonly string[]>();

  /** Looks at a tenant that was as it should be until its instance was listed again. */
  note(state: Pick<HostState, "seen" | "tenant">, tenantId: TenantId): void {
    const desired = state.tenant(tenantId);
    if (desired?.present !== true) return;
    const listed = state.seen(desired.instanceId)?.tenants?.get(tenantId);
    const rules = listed === undefined ? ["role.present"] : driftOf(listed, desired);
    if (rules.length > 0) this.#rules.set(tenantId, rules);
  }

  /** What a step that was taken has mended, once. */
  take(
    step: Step,
  ): { readonly tenant: DesiredTenant; readonly rules: readonly string[] } | undefined {
    if (step.kind !== "ensure_tenant" && step.kind !== "suspend_tenant") return undefined;
    const { tenant } = step;
    const rules = this.#rules.get(tenant.tenantId);
    this.#rules.delete(tenant.tenantId);
    return rules && { tenant, rules };
  }
}
