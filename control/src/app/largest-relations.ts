/** What of a tenant takes most room. Nothing of it is kept here: the host's agent is asked. */
import { Fault, type TenantId } from "@aerodb/model";
import { findInstanceHost } from "../store/hosts.ts";
import type { Control } from "./control.ts";
import type { HostQuestions, SizedRelation } from "./host-questions.ts";
import { requireTenant, tenantNotActive } from "./tenant-view.ts";

export interface LargestRelations {
  readonly tenantId: TenantId;
  /** Largest first. */
  readonly relations: readonly SizedRelation[];
}

const USUAL = 10;

/**
 * Asks the tenant's host. TENANT_NOT_FOUND, TENANT_NOT_ACTIVE; UNAVAILABLE and OPERATION_TIMED_OUT
 * when its agent cannot say, or is too old to.
 */
export async function listLargestRelations(
  control: Control,
  ask: {
    readonly questions: HostQuestions;
    readonly tenant: string;
    /** 0: as many as is usual. */
    readonly limit: number;
    readonly signal: AbortSignal;
  },
): Promise<LargestRelations> {
  const tenant = await requireTenant(control, ask.tenant);
  if (tenant.status !== "active" && tenant.status !== "suspended") throw tenantNotActive(tenant);
  const hostId = await findInstanceHost(control.database, tenant.instanceId);
  if (hostId === undefined) {
    throw new Fault("UNAVAILABLE", `The instance of the tenant ${tenant.name} is on no host.`);
  }
  const limit = ask.limit === 0 ? USUAL : ask.limit;
  const question = { kind: "relations", tenantId: tenant.id, limit } as const;
  const { relations } = await ask.questions.ask(hostId, question, ask.signal);
  return { tenantId: tenant.id, relations };
}
