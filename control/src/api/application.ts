/** The use cases that the API serves, bound to one control. */

import { listAlerts } from "../app/alerts.ts";
import { getTenantAvailability } from "../app/availability.ts";
import { summarizeBilling } from "../app/billing-summary.ts";
import type { Control } from "../app/control.ts";
import { calculateCost, createHostPrice, listHostPrices } from "../app/cost.ts";
import { createCreditNote, listCreditNotes } from "../app/credit-notes.ts";
import { diagnose } from "../app/diagnosis.ts";
import { listEvents } from "../app/events.ts";
import { type Agents, openHostQuestions } from "../app/host-questions.ts";
import { removeHost } from "../app/host-remove.ts";
import { describeHost, listHosts } from "../app/hosts.ts";
import * as identities from "../app/identities.ts";
import { renderInvoice } from "../app/invoice-document.ts";
import { verifyInvoices } from "../app/invoice-verify.ts";
import { getInvoice, listInvoices } from "../app/invoices.ts";
import { getTenantIsolation, proveTenantIsolation, type Signer } from "../app/isolation.ts";
import { createKey, listKeys, revokeKey } from "../app/keys.ts";
import { listLargestRelations } from "../app/largest-relations.ts";
import { readInstanceLog, readTenantLog } from "../app/logs.ts";
import { getHostMetrics, getTenantMetrics } from "../app/metrics.ts";
import { getOperation, listOperations } from "../app/operations.ts";
import { listPlans, updatePlan } from "../app/plans.ts";
import * as pricing from "../app/pricing.ts";
import { getTenantQuotas, setTenantQuotas } from "../app/quotas.ts";
import { checkReadiness, type Readiness } from "../app/readiness.ts";
import { listRegions } from "../app/regions.ts";
import { applySharedTables, listSharedTables } from "../app/shared-tables.ts";
import { sweepOrphans } from "../app/sweep.ts";
import { openTenants, type Tenants } from "../app/tenants.ts";
import { getTenantUsage } from "../app/usage-report.ts";
import type { Admission } from "./admission-service.ts";
import type { Alerts } from "./alert-service.ts";
import type { Availabilities } from "./availability-service.ts";
import type { Billing } from "./billing-service.ts";
import type { Events } from "./event-service.ts";
import type { Hosts } from "./host-service.ts";
import type { Isolations } from "./isolation-reports.ts";
import type { Keys } from "./key-service.ts";
import type { Logs } from "./log-parts.ts";
import type { Metrics } from "./metric-service.ts";
import type { Operations } from "./operation-service.ts";
import type { Plans } from "./plan-service.ts";
import type { Pricing } from "./pricing-service.ts";
import type { Quotas } from "./quota-service.ts";
import type { Regions } from "./region-service.ts";
import type { SharedTables } from "./shared-table-service.ts";
import type { Usage } from "./usage-service.ts";

export interface Application {
  readonly tenants: Tenants;
  readonly plans: Plans;
  readonly regions: Regions;
  readonly hosts: Hosts;
  readonly admission: Admission;
  readonly logs: Logs;
  readonly isolation: Isolations;
  readonly metrics: Metrics;
  readonly billing: Billing;
  readonly pricing: Pricing;
  readonly usage: Usage;
  readonly quotas: Quotas;
  readonly availability: Availabilities;
  readonly operations: Operations;
  readonly events: Events;
  readonly alerts: Alerts;
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
    admission: openAdmission(control),
    metrics: {
      ofTenant: (tenant, span) => getTenantMetrics(control, tenant, span),
      ofHost: (host, span) => getHostMetrics(control, host, span),
    },
    billing: openBilling(control),
    pricing: openPricing(control),
    quotas: {
      get: (tenant) => getTenantQuotas(control, tenant),
      set: (caller, ask) => setTenantQuotas(control, caller, ask),
      largest: (ask) => listLargestRelations(control, { ...ask, questions }),
    },
    usage: { ofTenant: (tenant, month) => getTenantUsage(control, tenant, month) },
    availability: { ofTenant: (tenant, month) => getTenantAvailability(control, tenant, month) },
    operations: {
      get: (operationId) => getOperation(control, operationId),
      list: (filter) => listOperations(control, filter),
    },
    events: { list: (filter) => listEvents(control, filter) },
    alerts: { list: (filter) => listAlerts(control, filter) },
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

function openAdmission(control: Control): Admission {
  return {
    listJoinTokens: () => identities.listJoinTokens(control),
    revokeJoinToken: (caller, tokenId) => identities.revokeJoinToken(control, caller, tokenId),
    revokeHost: (caller, ask) => identities.revokeHost(control, caller, ask),
    listGateways: () => identities.listGateways(control),
    revokeGateway: (caller, ask) => identities.revokeGateway(control, caller, ask),
  };
}

function openBilling(control: Control): Billing {
  return {
    invoices: (ask) => listInvoices(control, ask),
    invoice: (tenant, invoice) => getInvoice(control, tenant, invoice),
    render: (ask) => renderInvoice(control, ask),
    credit: (caller, ask) => createCreditNote(control, caller, ask),
    credits: (ask) => listCreditNotes(control, ask),
    summary: () => summarizeBilling(control),
    verify: (ask) => verifyInvoices(control, ask),
  };
}

function openPricing(control: Control): Pricing {
  return {
    calculate: (ask) => pricing.calculatePrice(control, ask),
    rates: () => pricing.listRates(control),
    addRate: (caller, ask) => pricing.createRate(control, caller, ask),
    planPrices: () => pricing.listPlanPrices(control),
    addPlanPrice: (caller, ask) => pricing.createPlanPrice(control, caller, ask),
    hostPrices: () => listHostPrices(control),
    addHostPrice: (caller, ask) => createHostPrice(control, caller, ask),
    cost: () => calculateCost(control),
  };
}
