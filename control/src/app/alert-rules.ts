/** Every rule of alerts, as data: what it finds, and how bad that is. */
import type { Db } from "@aerodb/db";
import {
  findBudgetBurns,
  findEndingCertificates,
  findFullDisks,
  findOverdueBackups,
  findQuarantinedTenants,
  findQuotaStages,
  findSilentHosts,
  findSpentBudgets,
  findUnreachableTenants,
} from "../store/alert-findings.ts";
import type { AlertFinding, AlertSeverity } from "../store/alerts.ts";

/** What rules go by besides the catalogue. */
export interface AlertContext {
  /** How long nobody may get through to a tenant. */
  readonly unreachableSeconds: number;
  /** Whether hosts have had the time to be heard by the control that looks. */
  readonly hearsHosts: boolean;
}

export interface AlertRule {
  readonly name: string;
  readonly severity: AlertSeverity;
  /** Undefined where nothing can be said now: alerts stay as they are. */
  readonly find: (db: Db, context: AlertContext) => Promise<readonly AlertFinding[]> | undefined;
}

/** Agents are heard several times in it. */
const SILENT_SECONDS = 60;

/** A backup a day, and two hours in which to make it. */
const BACKUP_HOURS = 26;

export const ALERT_RULES: readonly AlertRule[] = [
  {
    name: "tenant_unreachable",
    severity: "critical",
    find: (db, { unreachableSeconds }) => findUnreachableTenants(db, unreachableSeconds),
  },
  { name: "tenant_quarantined", severity: "critical", find: findQuarantinedTenants },
  { name: "error_budget_burn", severity: "critical", find: findBudgetBurns },
  { name: "error_budget_spent", severity: "critical", find: findSpentBudgets },
  { name: "quota_reached", severity: "critical", find: (db) => findQuotaStages(db, "reached") },
  { name: "quota_warned", severity: "warning", find: (db) => findQuotaStages(db, "warned") },
  {
    name: "host_unreachable",
    severity: "critical",
    find: (db, { hearsHosts }) => (hearsHosts ? findSilentHosts(db, SILENT_SECONDS) : undefined),
  },
  {
    name: "disk_full",
    severity: "critical",
    find: (db) => findFullDisks(db, { from: 95, until: 90 }),
  },
  {
    name: "disk_filling",
    severity: "warning",
    find: (db) => findFullDisks(db, { from: 80, until: 75 }),
  },
  { name: "certificate_expiry", severity: "warning", find: findEndingCertificates },
  {
    name: "backup_overdue",
    severity: "critical",
    // What hosts counted while control was away comes once they are heard.
    find: (db, { hearsHosts }) => (hearsHosts ? findOverdueBackups(db, BACKUP_HOURS) : undefined),
  },
];
