/** The use cases that the API serves, bound to one control. */

import type { Control } from "../app/control.ts";
import { diagnose } from "../app/diagnosis.ts";
import { listEvents } from "../app/events.ts";
import { type Agents, openHostQuestions } from "../app/host-questions.ts";
import { removeHost } from "../app/host-remove.ts";
import { describeHost, listHosts } from "../app/hosts.ts";
import * as identities from "../app/identities.ts";
import { getTenantIsolation, proveTenantIsolation, type Signer } from "../app/isolation.ts";
import { createKey, listKeys, revokeKey } from "../app/keys.ts";
import { readInstanceLog, readTenantLog } from "../app/logs.ts";
import { getHostMetrics, getTenantMetrics } from "../app/metrics.ts";
import { getOperation, listOperations } from "../app/operations.ts";
import { listPlans, updatePlan } from "../app/plans.ts";
import { checkReadiness, type Readiness } from "../app/readiness.ts";
import { listRegions } from "../app/regions.ts";
import { applySharedTables, listSharedTables } from "../app/shared-tables.ts";
import { sweepOrphans } from "../app/sweep.ts";
import { openTenants, type Tenants } from "../app/tenants.ts";
import type { Admission } from "./admission-service.ts";
import type { Events } from "./event-service.ts";
import type { Hosts } from "./host-service.ts";
import type { Isolations } from "./isolation-reports.ts";
import type { Keys } from "./key-service.ts";
import type { Logs } from "./log-parts.ts";
import type { Metrics } from "./metric-service.ts";
import type { Operations } from "./operation-service.ts";
import type { Plans } from "./plan-service.ts";
import type { Regions } from "./region-service.ts";
import type { SharedTables } from "./shared-table-service.ts";

export interface Application {
  readonly tenants: Tenants;
  readonly plans: Plans;
  readonly regions: Regions;
  readonly hosts: Hosts;
  readonly admission: Admission;
  readonly logs: Logs;
  readonly isolation: Isolations;
  readonly metrics: Metrics;
  readonly operations: Operations;
  readonly events: Events;
  readonly keys: Keys;
  readonly sharedTables: SharedTables;
  checkReadiness(): Promise<Readiness>;
}

export function openApplication(control: Control, agents: Agents, signer: Signer): Application {
  const questions = openHostQuestions(control, agents);
  return {
    tenants: openTenants(control),
    plans: {
      list: () => listPlans(control),
      update: (caller, change) => updatePlan(control, caller, change),
    },
    regions: { list: () => listRegions(control) },
    hosts: {
      list: () => listHosts(control),
      get: (host) => describeHost(control, host),
      remove: (caller, ask) => removeHost(control, caller, ask),
      diagnose: (signal) => diagnose(control, questions, signal),
      sweep: (caller, findings, signal) =>
        sweepOrphans(control, { questions, caller, findings, signal }),
    },
    logs: {
      ofTenant: (tenant, part, signal) =>
        readTenantLog(control, { questions, tenant, part, signal }),
      ofInstance: (instance, part, signal) =>
        readInstanceLog(control, { questions, instance, part, signal }),
    },
    isolation: {
      get: (tenant) => getTenantIsolation(control, signer, tenant),
      prove: (tenant, signal) =>
        proveTenantIsolation(control, signer, { questions, tenant, signal }),
    },
    admission: {
      listJoinTokens: () => identities.listJoinTokens(control),
      revokeJoinToken: (caller, tokenId) => identities.revokeJoinToken(control, caller, tokenId),
      revokeHost: (caller, ask) => identities.revokeHost(control, caller, ask),
      listGateways: () => identities.listGateways(control),
      revokeGateway: (caller, ask) => identities.revokeGateway(control, caller, ask),
    },
    metrics: {
      ofTenant: (tenant, span) => getTenantMetrics(control, tenant, span),
      ofHost: (host, span) => getHostMetrics(control, host, span),
    },
    operations: {
      get: (operationId) => getOperation(control, operationId),
      list: (filter) => listOperations(control, filter),
    },
    events: { list: (filter) => listEvents(control, filter) },
    keys: {
      create: (caller, ask) => createKey(control, caller, ask),
      list: () => listKeys(control),
      revoke: (caller, keyId) => revokeKey(control, caller, keyId),
    },
    sharedTables: {
      list: () => listSharedTables(control),
      apply: (caller, ask, signal) =>
        applySharedTables(control, { questions, caller, ...ask, signal }),
    },
    checkReadiness: () => checkReadiness(control),
  };
}
