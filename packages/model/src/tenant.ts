import { Fault } from "./fault.ts";

/** How a tenant is kept apart from others. */
export const ISOLATIONS = ["schema", "database", "cluster"] as const;
export type Isolation = (typeof ISOLATIONS)[number];

/** Reads an isolation model. Throws INVALID_ISOLATION_MODEL. */
export function parseIsolation(text: string): Isolation {
  const isolation = ISOLATIONS.find((known) => known === text);
  if (isolation !== undefined) return isolation;
  throw new Fault(
    "INVALID_ISOLATION_MODEL",
    `There is no isolation model ${JSON.stringify(text)}: use schema, database or cluster.`,
  );
}

export const TENANT_STATUSES = [
  "creating",
  "active",
  "suspended",
  "failed",
  "deleting",
  "deleted",
] as const;
export type TenantStatus = (typeof TENANT_STATUSES)[number];
export type TenantEvent =
  | "ready"
  | "give_up"
  | "suspend"
  | "reinstate"
  | "lose"
  | "delete"
  | "gone";

/** Every move a tenant can make, in the order of its life: from, event, to, why. */
export const TENANT_MOVES: readonly (readonly [TenantStatus, TenantEvent, TenantStatus, string])[] =
  [
    ["creating", "ready", "active", "its role and schema are there and its instance runs"],
    ["creating", "give_up", "deleting", "its host took longer than the deadline"],
    ["creating", "delete", "deleting", "the caller changed their mind"],
    ["active", "suspend", "suspended", "an administrator refuses it service"],
    ["active", "delete", "deleting", "the caller asked"],
    ["suspended", "reinstate", "active", "service was given back and its host lets it log in"],
    ["suspended", "delete", "deleting", "the caller asked"],
    ["creating", "lose", "failed", "its host was lost with all data on it"],
    ["active", "lose", "failed", "its host was lost with all data on it"],
    ["suspended", "lose", "failed", "its host was lost with all data on it"],
    ["failed", "delete", "deleted", "there is nothing of it left to destroy"],
    ["deleting", "lose", "deleted", "its host was lost, and the tenant's data with it"],
    ["deleting", "gone", "deleted", "its host holds nothing of it any more; the name is free"],
  ];

/** The statuses from which an event may happen. */
export function statusesBefore(event: TenantEvent): readonly TenantStatus[] {
  return TENANT_MOVES.filter(([, on]) => on === event).map(([from]) => from);
}

/** The moves as a diagram, for docs/state-machines.md. */
export function tenantDiagram(): string {
  return [
    "stateDiagram-v2",
    "  [*] --> creating: create",
    ...TENANT_MOVES.map(([from, on, to]) => `  ${from} --> ${to}: ${on}`),
    "  deleted --> [*]",
  ].join("\n");
}
